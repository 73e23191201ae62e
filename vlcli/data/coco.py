"""Captions in the format of COCO: one JSON with `images` and `annotations`, and a folder of pictures.

Source of the format: https://cocodataset.org/#format-data (caption annotations).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.data.names import printable
from vlcli.errors import VlcliError


class CocoCaptions:
    """Pictures with several captions each; a picture that no caption names is left out.

    Args:
        path: the folder.
        annotations: the captions JSON relative to it; by default `captions.json` or the only `captions_*.json`, there
            or in `annotations/`.
        images: folder of the pictures relative to `path`; by default `images`, the name after `captions_`, or `path`.
        split: written into each example.

    Raises:
        VlcliError: D212 when the JSON or the pictures are not there or of another form.
    """

    def __init__(
        self, path: str, annotations: str | None = None, images: str | None = None, split: str | None = None
    ) -> None:
        root = Path(path).expanduser()
        file = find_annotations(root, annotations)
        record = read_annotations(file)
        folder = find_images(root, file, images)
        captions: dict[Any, list[str]] = {}
        for annotation in record["annotations"]:
            text = " ".join(str(annotation["caption"]).split())
            if text:
                captions.setdefault(annotation["image_id"], []).append(text)
        self.examples: list[Example] = []
        for image in record["images"]:
            if image["id"] in captions:
                picture = folder / image["file_name"]
                source = Source(id=printable(picture), path=picture)
                self.examples.append(
                    Example(str(image["id"]), {"images": source}, tuple(captions[image["id"]]), None, split)
                )
        if not any(example.sources["images"].path.is_file() for example in self.examples[:1000]):  # type: ignore[union-attr]
            raise VlcliError("D212", printable(folder), f"holds none of the pictures that {file.name} names",
                             "give the folder of the pictures as option images")  # fmt: skip

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


def candidates(root: Path) -> list[Path]:
    """Files that may hold the captions."""
    plain = [path for path in (root / "captions.json", root / "annotations" / "captions.json") if path.is_file()]
    return plain[:1] or sorted([*root.glob("captions_*.json"), *root.glob("annotations/captions_*.json")])


def is_coco_folder(root: Path) -> bool:
    """True when the folder holds a captions JSON."""
    return bool(candidates(root))


def find_annotations(root: Path, given: str | None) -> Path:
    """The captions JSON."""
    if given is not None:
        return root / given
    found = candidates(root)
    if len(found) == 1:
        return found[0]
    if not found:
        raise VlcliError("D212", printable(root), "holds no captions.json or captions_*.json",
                         "give the file as option annotations")  # fmt: skip
    names = ", ".join(str(path.relative_to(root)) for path in found)
    raise VlcliError("D212", printable(root), f"holds several captions files ({names})",
                     "choose one with option annotations")  # fmt: skip


def read_annotations(file: Path) -> dict[str, Any]:
    """The JSON, checked for the fields that are used."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise VlcliError("D212", printable(file), f"is not a readable JSON file ({error})", "check the file") from error
    fields = {"images": ("id", "file_name"), "annotations": ("image_id", "caption")}
    for name, needed in fields.items():
        entries = record.get(name) if isinstance(record, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise VlcliError(
                "D212", printable(file), f"has no list '{name}'", "give a JSON of COCO caption annotations"
            )
        for index, entry in enumerate(entries):
            missing = [key for key in needed if key not in entry]
            if missing:
                raise VlcliError("D212", printable(file), f"{name}[{index}] has no '{missing[0]}'",
                                 "give a JSON of COCO caption annotations")  # fmt: skip
    checked: dict[str, Any] = record
    return checked


def find_images(root: Path, annotations: Path, given: str | None) -> Path:
    """The folder of the pictures."""
    if given is not None:
        return root / given
    named_after = annotations.stem.partition("_")[2]
    places = [root / "images" / named_after, root / named_after] if named_after else []
    return next((place for place in (*places, root / "images") if place.is_dir()), root)
