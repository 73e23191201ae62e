"""The data set `images/samples`: the photographs that scikit-image and scikit-learn install, with captions and labels.

The captions were written for this data set from looking at each picture. Files are read where the packages put them;
neither package is imported and nothing is downloaded. Drawings, test charts and second views are left out.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.errors import VlcliError

SKIMAGE, SKLEARN = "skimage/data", "sklearn/datasets/images"

# folder, file, label, licence as the package states it, captions
SAMPLES: tuple[tuple[str, str, str, str, tuple[str, ...]], ...] = (
    (SKIMAGE, "astronaut.png", "person", "public domain (NASA)", (
        "a smiling astronaut in an orange space suit in front of a flag and a model of the space shuttle",
        "portrait of a woman wearing an orange flight suit with her helmet beside her",
        "an astronaut poses for an official photograph",
    )),
    (SKIMAGE, "brick.png", "texture", "CC0", (
        "a brick wall seen close up in black and white",
        "rows of grey bricks with light mortar between them",
        "the texture of a brick pavement",
    )),
    (SKIMAGE, "camera.png", "person", "CC0", (
        "a man in a dark coat looks through a camera on a tripod",
        "black and white photograph of a photographer filming on a lawn",
        "a cameraman at work outdoors with buildings in the background",
    )),
    (SKIMAGE, "cell.png", "science", "public domain", (
        "a single round cell under a microscope",
        "a bright spherical cell on a grey background in a microscope image",
    )),
    (SKIMAGE, "chelsea.png", "animal", "CC0", (
        "the face of a tabby cat looking to the side",
        "close-up of a ginger cat with green eyes and long whiskers",
        "a cat lies on a soft blanket",
    )),
    (SKIMAGE, "coffee.png", "food", "CC0", (
        "a cup of espresso on a red saucer with a spoon",
        "a coffee cup stands on a wooden table",
        "fresh coffee in a small red and white cup",
    )),
    (SKIMAGE, "coins.png", "object", "no known restrictions (Brooklyn Museum)", (
        "four rows of ancient coins on a dark background",
        "a collection of old Greek coins photographed from above",
        "many worn silver coins laid out in rows",
    )),
    (SKIMAGE, "grass.png", "texture", "CC0", (
        "a patch of grass seen from above in black and white",
        "short blades of grass and dry stalks covering the ground",
    )),
    (SKIMAGE, "gravel.png", "texture", "CC0", (
        "gravel seen from above in black and white",
        "many small grey pebbles covering the ground",
    )),
    (SKIMAGE, "hubble_deep_field.jpg", "space", "public domain (NASA)", (
        "hundreds of distant galaxies in a deep field photograph from a space telescope",
        "stars and galaxies of many colours on the black sky",
        "a view of deep space",
    )),
    (SKIMAGE, "ihc.png", "science", "no known restrictions", (
        "stained tissue of colon glands under a microscope",
        "a microscope slide with brown and blue stained cells",
    )),
    (SKIMAGE, "microaneurysms.png", "science", "CC0", (
        "close-up of blood vessels in a retina with small dark spots",
        "a small grey medical image of thin vessels at the back of the eye",
    )),
    (SKIMAGE, "moon.png", "space", "public domain", (
        "the grey surface of the moon with craters",
        "craters and hills on the moon photographed from above",
    )),
    (SKIMAGE, "motorcycle_left.png", "vehicle", "research use (Middlebury stereo 2014)", (
        "a red motorcycle parked in a garage",
        "a shiny red motorbike stands on a concrete floor in front of shelves with boxes",
        "a motorcycle in a workshop full of tools",
    )),
    (SKIMAGE, "page.png", "document", "stated by scikit-image only", (
        "a scanned page of printed text with uneven light",
        "a paragraph of a book with the heading Region-based segmentation",
    )),
    (SKIMAGE, "retina.jpg", "science", "CC0", (
        "the retina of an eye with red blood vessels",
        "a round orange fundus photograph of the back of the eye",
    )),
    (SKIMAGE, "rocket.jpg", "vehicle", "public domain (SpaceX)", (
        "a rocket on its launch pad at dusk",
        "a white rocket stands upright between towers under a dark blue sky with lights below",
        "a spacecraft ready for launch in the evening",
    )),
    (SKIMAGE, "text.png", "document", "public domain", (
        "handwritten mathematical symbols on paper seen at an angle",
        "a sheet of paper with handwriting in black ink",
    )),
    (SKLEARN, "china.jpg", "building", "CC-BY-2.0 (danielbuechele)", (
        "a Chinese temple tower with green tiled roofs above trees",
        "a colourful pagoda on a hill by a lake",
        "an old temple in China on a bright day",
    )),
    (SKLEARN, "flower.jpg", "plant", "CC-BY-2.0 (vultilion)", (
        "an orange dahlia in bloom against dark green leaves",
        "close-up of a round orange flower with many petals",
        "a flower in a garden",
    )),
)  # fmt: skip


class SamplesDataset:
    """`images/samples`: 20 photographs, two or three captions and a label each; no splits.

    Raises:
        VlcliError: D211 when a package or one of its pictures is not on disk.
    """

    def __init__(self) -> None:
        self.examples = []
        for folder, name, label, license_name, captions in SAMPLES:
            path = package_file(folder, name)
            self.examples.append(
                Example(
                    id=path.stem,
                    sources={"images": Source(id=str(path), path=path)},
                    captions=captions,
                    label=label,
                    metadata={"license": license_name, "package": folder.partition("/")[0]},
                )
            )

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


def package_file(folder: str, name: str) -> Path:
    """A file that an installed package holds, found without importing the package."""
    package, _, inner = folder.partition("/")
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(place) / inner / name
        if path.is_file():
            return path
    distribution = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
    raise VlcliError("D211", "images/samples", f"the package {distribution} does not hold {inner}/{name}",
                     f"pip install {distribution}")  # fmt: skip
