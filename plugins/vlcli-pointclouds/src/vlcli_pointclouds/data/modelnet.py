"""`pointclouds/modelnet`: the folders of ModelNet10 and ModelNet40 (Wu et al. 2015, arXiv:1406.5670), brought along.

Two layouts are known: meshes `CLASS/{train,test}/NAME.off`, and the resampled clouds `CLASS/NAME.txt` with the lists
`modelnet40_train.txt` and `modelnet40_test.txt`. ModelNet's axes are z up: set `VLCLI_POINTCLOUDS="up=z"`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from vlcli.api import Source, VlcliError
from vlcli.data.dataset import Example
from vlcli.data.inputs import RefusedInput
from vlcli.data.names import printable
from vlcli_pointclouds.data.files import FilesDataset, caption_of, chosen, class_name, folder_of, hold_out

SPLITS = ("train", "val", "test")
MESHES = (".off", ".off.gz", ".ply", ".obj", ".stl", ".npy")
Loaded = Example | RefusedInput


class ModelNetDataset(FilesDataset):
    """ModelNet. The label is the class (`night stand`), the caption its name with an article.

    Args:
        path: the folder, or one that holds it alone.
        val: share of each class's training objects that become the split `val`.
        classes: only these.
        split: only this one.
        version: of several lists in the resampled layout; the larger by default.

    Raises:
        VlcliError: D753 nothing usable, D754 no folder, D755 an unknown class, D756 a list is missing.
    """

    def __init__(
        self,
        path: str,
        val: float = 0.1,
        classes: Sequence[str] = (),
        split: str | None = None,
        version: Literal[10, 40] | None = None,
    ) -> None:
        root = inner_folder(folder_of(path))
        lists = {number: root / f"modelnet{number}_train.txt" for number in (40, 10) if version in (None, number)}
        listed = next((number for number, file in lists.items() if file.is_file()), None)
        found = list(resampled(root, listed) if listed else meshes(root))
        examples = [entry for entry in found if isinstance(entry, Example)]
        refused = [entry for entry in found if isinstance(entry, RefusedInput)]
        where = printable(root)
        if examples:
            examples = chosen(hold_out(examples, val), split, classes, where)
        super().__init__(examples, refused, where)


def inner_folder(root: Path) -> Path:
    """The folder of the classes: `ModelNet10/ModelNet10` after unpacking."""
    inner = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
    if len(inner) == 1 and not any((inner[0] / split).is_dir() for split in SPLITS):
        deeper = [path for path in inner[0].iterdir() if path.is_dir()]
        if deeper and not any(path.suffix.lower() in MESHES for path in inner[0].iterdir()):
            return inner[0]
    return root


def meshes(root: Path) -> Iterator[Loaded]:
    """Examples of `CLASS/{train,test}/NAME.off`."""
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))):
        for split in SPLITS:
            if not (folder / split).is_dir():
                continue
            for file in sorted((folder / split).iterdir()):
                if file.name.startswith("."):
                    continue
                name = printable(file.relative_to(root))
                if not file.name.lower().endswith(MESHES):
                    yield RefusedInput(name, "D103", "is not a mesh of ModelNet")
                    continue
                yield example(name, file, class_name(folder.name), split)


def resampled(root: Path, version: int) -> Iterator[Loaded]:
    """Examples of the lists `modelnet40_{train,test}.txt`, whose lines are names such as `night_stand_0001`."""
    for split in ("train", "test"):
        listing = root / f"modelnet{version}_{split}.txt"
        if not listing.is_file():
            raise VlcliError("D756", printable(listing), "there is no such file", "it lists the objects of a split")
        for line in listing.read_text("utf-8", "surrogateescape").split():
            folder = line.rpartition("_")[0]
            file = root / folder / f"{line}.txt"
            if "/" in line or "\\" in line or not file.is_file():
                yield RefusedInput(
                    printable(f"{folder}/{line}.txt"), "D111", f"is listed in {listing.name} and not there"
                )
                continue
            yield example(printable(f"{folder}/{line}"), file, class_name(folder), split)


def example(name: str, file: Path, label: str, split: str) -> Example:
    """An example with its class for a caption."""
    source = Source(id=printable(file), path=file)
    return Example(name, {"pointclouds": source}, (caption_of(label),), label, split, {"category": label})
