"""The sentences around a class name, and which names an object goes by.

ULIP averages a name's vector over 64 templates: 63 in the manner of CLIP's for ImageNet, and one that says what the
modality is. These are sentences of our own in that manner.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vlcli.data.dataset import Example

POINT_CLOUD_TEMPLATE = "a point cloud model of {}"

TEMPLATES = (
    POINT_CLOUD_TEMPLATE,
    "{}",
    "a {}",
    "the {}",
    "one {}",
    "a 3d model of {}",
    "a 3d model of a {}",
    "a 3d scan of a {}",
    "a mesh of a {}",
    "a point cloud of a {}",
    "points on the surface of a {}",
    "a computer drawing of a {}",
    "a computer graphic of the {}",
    "a rendering of {}",
    "a rendering of a {}",
    "a rendering of the {}",
    "a rendered view of a {}",
    "a depth map of a {}",
    "a depth picture of the {}",
    "a shaded view of a {}",
    "a photo of {}",
    "a photo of a {}",
    "a photo of the {}",
    "a photo of one {}",
    "a photo of my {}",
    "a close-up photo of a {}",
    "a close-up photo of the {}",
    "a blurry photo of a {}",
    "a blurry photo of the {}",
    "a sharp photo of a {}",
    "a dark photo of a {}",
    "a dark photo of the {}",
    "a bright photo of a {}",
    "a bright photo of the {}",
    "a grey photo of a {}",
    "a black and white photo of the {}",
    "a colour photo of a {}",
    "a cropped photo of a {}",
    "a cropped photo of the {}",
    "a low resolution photo of a {}",
    "a low resolution photo of the {}",
    "a photo of a small {}",
    "a photo of a large {}",
    "a photo of a new {}",
    "a photo of an old {}",
    "a photo of a clean {}",
    "a photo of a dirty {}",
    "a photo of a strange {}",
    "a photo of a plain {}",
    "a photo of half a {}",
    "a picture of a {}",
    "a picture of the {}",
    "a drawing of a {}",
    "a drawing of the {}",
    "a sketch of a {}",
    "a painting of a {}",
    "a plastic {}",
    "a toy {}",
    "a small {}",
    "a large {}",
    "there is a {}",
    "this is a {}",
    "this is the {}",
    "a view of a {} from one side",
)

NameLevel = Literal["label", "subtype", "captions"]


def names_of(example: Example, level: NameLevel) -> tuple[str, ...]:
    """What an object is called: the names among which a step draws one.

    Args:
        example: with a label, or the metadata `subtype`, or captions; a level that it lacks falls back to its captions.
        level: `label` gives the category and its `synonyms` in the metadata, where there are any; `subtype` the finer
            name; `captions` its sentences.
    """
    if level == "subtype" and example.metadata.get("subtype"):
        return (str(example.metadata["subtype"]),)
    if level == "label" and example.label:
        more = example.metadata.get("synonyms") or ()
        return (example.label, *(str(name) for name in more if isinstance(more, list | tuple)))
    return example.captions or ((example.label,) if example.label else ())


def prompts_for(name: str, count: int = len(TEMPLATES)) -> list[str]:
    """The name in the first `count` templates."""
    return [template.replace("{}", name) for template in TEMPLATES[:count]]
