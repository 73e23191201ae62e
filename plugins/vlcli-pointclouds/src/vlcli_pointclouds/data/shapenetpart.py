"""`pointclouds/shapenetpart`: the folder of ShapeNet's part annotation (Yi et al. 2016), brought along.

Layouts: `SYNSET/MODEL.txt` with `x y z nx ny nz part` a line (the version with normals), or `SYNSET/points/MODEL.pts`.
`synsetoffset2category.txt` names the synsets; the objects of each split are listed in
`train_test_split/shuffled_{train,val,test}_file_list.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from vlcli.api import Source, VlcliError
from vlcli.data.dataset import Example
from vlcli.data.inputs import RefusedInput
from vlcli.data.names import printable
from vlcli_pointclouds.data.files import FilesDataset, caption_of, chosen, class_name, folder_of
from vlcli_pointclouds.data.hierarchy import ShapeNetNames, read_names

NAMES = "synsetoffset2category.txt"


class ShapeNetPartDataset(FilesDataset):
    """ShapeNetPart. The label is the category (`Airplane` as `airplane`), captions its names.

    Args:
        path: the folder.
        names: a folder of JM3D's lists; their names of category and sub-category are then further captions and
            `hierarchy` in the metadata.
        classes: only these.
        split: only this one.

    Raises:
        VlcliError: D753 nothing usable, D754 no folder, D755 an unknown class, D756 a list is missing or malformed,
            D757 for JM3D's lists.
    """

    def __init__(
        self, path: str, names: str | None = None, classes: Sequence[str] = (), split: str | None = None
    ) -> None:
        root = folder_of(path)
        taxonomy = read_names(folder_of(names)) if names else None
        found = list(objects(root, category_names(root / NAMES), taxonomy))
        examples = [entry for entry in found if isinstance(entry, Example)]
        refused = [entry for entry in found if isinstance(entry, RefusedInput)]
        where = printable(root)
        super().__init__(chosen(examples, split, classes, where) if examples else [], refused, where)


def category_names(path: Path) -> dict[str, str]:
    """Synset -> name of the category."""
    if not path.is_file():
        raise VlcliError("D756", printable(path), "there is no such file", "it names the categories of ShapeNetPart")
    rows = [line.split() for line in path.read_text("utf-8", "surrogateescape").splitlines()]
    return {row[-1]: class_name(" ".join(row[:-1])).lower() for row in rows if len(row) >= 2}


def objects(root: Path, names: dict[str, str], taxonomy: ShapeNetNames | None) -> Iterator[Example | RefusedInput]:
    """The objects of all splits, in the order of the lists."""
    for split in ("train", "val", "test"):
        listing = root / "train_test_split" / f"shuffled_{split}_file_list.json"
        for entry in entries(listing):
            synset, _, model = entry.removeprefix("shape_data/").partition("/")
            file = next((file for file in (root / synset / f"{model}.txt", root / synset / "points" / f"{model}.pts")
                         if file.is_file()), None)  # fmt: skip
            name = printable(f"{synset}/{model}")
            if synset not in names or not model or "/" in model or ".." in (synset, model):
                yield RefusedInput(name, "D106", f"is listed in {listing.name} and of no category in {NAMES}")
            elif file is None:
                yield RefusedInput(name, "D111", f"is listed in {listing.name} and not there")
            else:
                label = names[synset]
                levels = taxonomy.of_model(model, synset) if taxonomy else ()
                captions = tuple(dict.fromkeys(caption_of(text) for text in (label, *levels)))
                metadata = {"category": label, "synset": synset, "model": printable(model),
                            **({"hierarchy": " > ".join(levels)} if levels else {})}  # fmt: skip
                source = Source(id=printable(file), path=file)
                yield Example(name, {"pointclouds": source}, captions, label, split, metadata)


def entries(listing: Path) -> list[str]:
    """The lines of a list of a split."""
    try:
        values = json.loads(listing.read_text("utf-8"))
    except FileNotFoundError as error:
        raise VlcliError(
            "D756", printable(listing), "there is no such file", "it lists the objects of a split"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise VlcliError(
            "D756", printable(listing), f"is not a JSON file ({str(error)[:80]})", "bring it again"
        ) from error
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise VlcliError("D756", printable(listing), "is not a list of names", "bring ShapeNetPart's own file")
    return values
