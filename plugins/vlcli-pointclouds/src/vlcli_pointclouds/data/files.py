"""What the loaders of brought files share: names of classes, a held-out part of the training data, a base class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vlcli.api import VlcliError
from vlcli.data.dataset import Example
from vlcli.data.inputs import RefusedInput
from vlcli.data.names import printable
from vlcli_pointclouds.data.shapes import article


class FilesDataset:
    """Examples of a folder; `refused` names what could not be used, and why."""

    def __init__(self, examples: Sequence[Example], refused: Sequence[RefusedInput], where: str) -> None:
        self.examples, self.refused = list(examples), list(refused)
        if not self.examples:
            first = f" (first: {self.refused[0].path}: {self.refused[0].reason})" if self.refused else ""
            raise VlcliError("D753", where, f"holds no example that can be used{first}",
                             "see `vlcli data show --help`, or name another split or class")  # fmt: skip

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


def folder_of(path: str) -> Path:
    """The folder that the option `path` names.

    Raises:
        VlcliError: D754 when it is none.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "there is no such folder"
        raise VlcliError("D754", printable(folder), what, "set option path to the folder that holds the data set")
    return folder


def class_name(text: str) -> str:
    """`night_stand` as `night stand`."""
    return printable(text).replace("_", " ").strip()


def caption_of(name: str) -> str:
    """`a night stand`."""
    return f"{article(name.lower())} {name}" if name else name


def hold_out(examples: Sequence[Example], share: float) -> list[Example]:
    """A share of each class's training examples as validation; which ones, their ids decide.

    Data that has a validation split of its own stays as it is.
    """
    if share == 0 or any(example.split == "val" for example in examples):
        return list(examples)
    by_class: dict[str | None, list[str]] = {}
    for example in examples:
        if example.split == "train":
            by_class.setdefault(example.label, []).append(example.id)
    held: set[str] = set()
    for members in by_class.values():
        members.sort(key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest())
        held.update(members[: round(share * len(members))])
    return [replace(example, split="val") if example.id in held else example for example in examples]


def chosen(examples: Sequence[Example], split: str | None, classes: Sequence[str], where: str) -> list[Example]:
    """The examples of a split and of some classes, all for None and for no classes.

    Raises:
        VlcliError: D755 for a class that the data does not have.
    """
    known = {example.label for example in examples if example.label is not None}
    wanted = {class_name(name) for name in classes}
    if wanted - known:
        raise VlcliError(
            "D755", where, f"has no class '{min(wanted - known)}'", f"it has {', '.join(sorted(known)[:40])}"
        )
    return [
        example for example in examples if split in (None, example.split) and (not wanted or example.label in wanted)
    ]
