"""Open a data set by its registered name, or a user's own folder or table, without writing Python."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vlcli.api import Source
from vlcli.data import manifests
from vlcli.data.coco import CocoCaptions, is_coco_folder
from vlcli.data.dataset import Dataset, Example
from vlcli.data.inputs import Expander, InputItem, RefusedInput, walk
from vlcli.data.names import printable
from vlcli.errors import VlcliError, did_you_mean
from vlcli.registry import Registry

SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
               "test": "test", "testing": "test", "eval": "test"}  # fmt: skip
MANIFEST_STEMS = ("metadata", "captions", "labels", "manifest", "index", "data")
PATH_OPTIONS = ("modality", "path_column", "item_column", "caption_column", "label_column", "split_column", "split")


@dataclass
class ListedDataset:
    """A data set in memory; `refused` tells which rows or files could not be used, and why."""

    examples: Sequence[Example]
    refused: Sequence[RefusedInput] = field(default_factory=tuple)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


def open_dataset(name_or_path: str, registry: Registry, options: Mapping[str, Any] | None = None) -> Dataset:
    """A data set from a registered name (`images/emoji`) or from a user's own files.

    A folder may hold `captions.json` of COCO; a manifest (`metadata.csv`, `captions.csv`, JSONL, Parquet …) that names
    its files; or class sub-folders, below folders `train`, `val`, `test` or not. A manifest may also be given itself:
    its columns are recognised by name, `path|file|image…`, `caption|text…` (several are fine), `label|class`, `split`;
    several rows for one file are one example with several captions.

    Args:
        name_or_path: a registered name goes first; write `./name` for a folder of the same name.
        registry: of all plugins.
        options: the registered data set's options. For own files: `modality`, `path_column`, `item_column` (its cells
            are items themselves), `caption_column` (a name or a list), `label_column`, `split_column`, and `split`,
            which selects one.

    Raises:
        VlcliError: D201 no such data set or path, D202 nothing usable in it, D105/D107/D212 malformed, P206 an option.
    """
    given = dict(options or {})
    path = Path(name_or_path).expanduser()
    registered = registered_names(registry)
    if name_or_path in registered or not path.exists():
        if name_or_path not in registered:
            hint = did_you_mean(name_or_path, sorted(registered)) or "see `vlcli data list`, or name a folder or table"
            raise VlcliError("D201", name_or_path, "there is no such data set, file or folder", hint)
        dataset: Dataset = registry.build("dataset", name_or_path, given)
        return dataset
    return open_path(path, registry, given)


def registered_names(registry: Registry) -> set[str]:
    """Every name, full or short while unique, under which a data set is registered."""
    return {entry.name for entry in registry.list("dataset")} | set(registry.names("dataset"))


def open_path(path: Path, registry: Registry, options: dict[str, Any]) -> ListedDataset:
    """A user's own files as a data set; see `open_dataset`."""
    unknown = [name for name in options if name not in PATH_OPTIONS]
    if unknown:
        hint = did_you_mean(unknown[0], list(PATH_OPTIONS)) or f"known: {', '.join(PATH_OPTIONS)}"
        raise VlcliError("P206", printable(path), f"unknown option '{unknown[0]}' for own files", hint)
    modality = options.get("modality")
    if modality is not None:
        modality = registry.find("modality", str(modality)).spec.name
    expander = Expander(registry, modality)
    where = printable(path)
    if path.is_dir():
        dataset = open_folder(path, expander, options)
    elif expander.is_manifest(path):
        dataset = open_manifest(path, expander, options)
    else:
        items = list(expander.file(path, named=True))
        examples = [example_of(item, item.source.id) for item in items if isinstance(item, InputItem)]
        dataset = ListedDataset(examples, [item for item in items if isinstance(item, RefusedInput)])
    if not dataset.examples:
        first = f" (first: {dataset.refused[0].path}: {dataset.refused[0].reason})" if dataset.refused else ""
        raise VlcliError("D202", where, f"holds no usable example{first}", "see `vlcli data show --help` for layouts")
    wanted = options.get("split")
    if wanted is not None:
        chosen = [example for example in dataset.examples if example.split == wanted]
        if not chosen:
            known = sorted({str(example.split) for example in dataset.examples if example.split}) or ["none"]
            raise VlcliError("D202", where, f"has no split '{wanted}'", f"its splits: {', '.join(known)}")
        dataset = ListedDataset(chosen, dataset.refused)
    return dataset


def open_folder(root: Path, expander: Expander, options: dict[str, Any]) -> ListedDataset:
    """A folder: COCO captions, a manifest (its own, or one in each split folder), or class sub-folders."""
    if is_coco_folder(root):
        return ListedDataset(CocoCaptions(str(root)).examples)
    own = manifest_in(root)
    if own is not None:
        return open_manifest(own, expander, options)
    splits = [(SPLIT_NAMES[inner.name.lower()], inner) for inner in sorted(root.iterdir())
              if inner.is_dir() and inner.name.lower() in SPLIT_NAMES]  # fmt: skip
    tables = [(split, table) for split, inner in splits if (table := manifest_in(inner)) is not None]
    if tables:
        parts = [open_manifest(table, expander, options, split, f"{table.parent.name}/") for split, table in tables]
        return ListedDataset(
            [example for part in parts for example in part.examples], [line for part in parts for line in part.refused]
        )
    return open_classes(root, expander)


def manifest_in(folder: Path) -> Path | None:
    """The manifest of a folder: one with a usual name, else the only one."""
    found = sorted(path for path in folder.iterdir() if path.is_file() and manifests.is_manifest(path))
    usual = [path for stem in MANIFEST_STEMS for path in found if path.stem.lower() == stem]
    if usual:
        return usual[0]
    return found[0] if len(found) == 1 else None


def open_classes(root: Path, expander: Expander) -> ListedDataset:
    """Files in sub-folders named after their class; a first level `train`, `val`, `test` gives the split."""
    examples: list[Example] = []
    refused: list[RefusedInput] = []
    for path in walk(root):
        if isinstance(path, RefusedInput):
            refused.append(path)
            continue
        inner = path.relative_to(root)
        folders = list(inner.parts[:-1])
        split = SPLIT_NAMES.get(folders[0].lower()) if folders else None
        label = printable(folders[1 if split else 0]) if len(folders) > bool(split) else None
        for item in expander.file(path, named=False):
            if isinstance(item, InputItem):
                name = printable(inner) + item.source.id.removeprefix(printable(path))
                examples.append(Example(name, {item.modality: item.source}, (), label, split))
            elif isinstance(item, RefusedInput):
                refused.append(item)
    examples, strays = of_one_modality(examples)
    refused += strays
    if len({example.label for example in examples}) == 1:
        # One folder, such as `images/`, is no class.
        examples = [Example(example.id, example.sources, (), None, example.split) for example in examples]
    return ListedDataset(examples, refused)


def of_one_modality(examples: list[Example]) -> tuple[list[Example], list[RefusedInput]]:
    """The examples of the commonest modality; the others (a read-me among pictures) are refused by name."""
    counts: dict[str, int] = {}
    for example in examples:
        for modality in example.sources:
            counts[modality] = counts.get(modality, 0) + 1
    if len(counts) < 2:
        return examples, []
    main = max(sorted(counts), key=counts.__getitem__)
    kept = [example for example in examples if main in example.sources]
    reason = f"the folder holds mostly {main}; choose another with option modality"
    return kept, [RefusedInput(e.id, "D203", reason) for e in examples if main not in e.sources]


def example_of(item: InputItem, name: str) -> Example:
    """An example that holds nothing but its source."""
    return Example(name, {item.modality: item.source}, metadata=dict(item.source.metadata))


def open_manifest(
    path: Path, expander: Expander, options: dict[str, Any], split: str | None = None, prefix: str = ""
) -> ListedDataset:
    """The examples of a manifest; rows that name the same file are joined, and bad rows are listed as refused."""
    where = printable(path)
    table = Table(path, expander, split, prefix)
    rows = manifests.read_rows(path)
    head = list(itertools.islice(rows, 100))
    names = tuple(dict.fromkeys(name for row in head for name, _ in row.cells))
    columns = choose_columns(names, where, expander, options)
    for row in itertools.chain(head, rows):
        if row.reason:
            table.refuse(row.number, row.reason)
        else:
            table.add(row, columns)
    return table.dataset()


def choose_columns(
    names: Sequence[str], where: str, expander: Expander, options: Mapping[str, Any]
) -> manifests.Columns:
    """The columns by name, overruled by the options; a near miss of a needed column is an error with a hint."""
    chosen: dict[str, Any] = {}
    for option in ("path_column", "item_column", "caption_column", "label_column", "split_column"):
        value = options.get(option)
        if value is None:
            continue
        wanted = [str(value)] if isinstance(value, str) else [str(name) for name in value]
        for name in wanted:
            if name not in names:
                hint = did_you_mean(name, list(names)) or f"its columns: {', '.join(names)}"
                raise VlcliError("D107", where, f"has no column '{name}'", hint)
        chosen[option] = tuple(wanted) if option == "caption_column" else wanted[0]
    if "item_column" in chosen:
        if expander.modality is None:
            raise VlcliError("P206", where, "option item_column does not say what it holds", "add the option modality")
        expander = replace(expander, column=chosen["item_column"])
    if "path_column" in chosen or "caption_column" in chosen:
        usual = expander.columns((*names, "path", "text"), where)
        path = usual.path if usual.path in names else None
        texts = tuple(name for name in usual.texts if name in names)
        usual = replace(usual, path=path, texts=texts)
        if "path_column" in chosen:
            usual = replace(usual, item=None, modality=None)
    else:
        usual = expander.columns(tuple(names), where)
    columns = replace(
        usual,
        path=chosen.get("path_column", usual.path),
        texts=chosen.get("caption_column", usual.texts),
        label=chosen.get("label_column", usual.label),
        split=chosen.get("split_column", usual.split),
    )
    if columns.path is not None and not columns.texts and columns.label is None:
        known = [*manifests.TEXT_COLUMNS, *manifests.LABEL_COLUMNS]
        others = [name for name in names if name not in (columns.path, columns.split)]
        near = [f"for '{name}': {hint}" for name in others if (hint := did_you_mean(name.lower(), known))]
        if near:
            raise VlcliError("D107", where, "has no column of captions or labels", "; ".join(near))
    return columns


@dataclass
class Table:
    """Collects the examples of a manifest while its rows are read."""

    path: Path
    expander: Expander
    split: str | None
    prefix: str
    examples: dict[str, Example] = field(default_factory=dict)
    refused: list[RefusedInput] = field(default_factory=list)

    def refuse(self, number: int, reason: str, code: str = "D106") -> None:
        """Note that a row can not be used."""
        self.refused.append(RefusedInput(f"{printable(self.path)}#{number}", code, f"row {number} {reason}"))

    def add(self, row: manifests.ManifestRow, columns: manifests.Columns) -> None:
        """Add the example of a row, or its caption to the example of the same file."""
        texts = manifests.texts_of(row, columns)
        label = text_or_none(manifests.cell(row, columns.label))
        given = text_or_none(manifests.cell(row, columns.split))
        split = SPLIT_NAMES.get(given.lower(), given) if given else self.split
        metadata = {name: value for name, value in manifests.other_columns(row, columns).items()
                    if name not in (columns.label, columns.split)}  # fmt: skip
        if columns.item is not None and columns.modality is not None:
            name = f"{self.prefix}{row.number}"
            source_of_row = manifests.item_source(f"{printable(self.path)}#{row.number}", row, columns, metadata)
            if source_of_row is None:
                self.refuse(row.number, f"holds nothing in its column '{columns.item}'")
                return
            self.examples[name] = Example(name, {columns.modality: source_of_row}, texts, label, split, metadata)
            return
        if columns.path is None:
            if not texts:
                self.refuse(row.number, "holds no text")
                return
            name = f"{self.prefix}{row.number}"
            source = Source(id=f"{printable(self.path)}#{row.number}", value=texts[0], metadata=metadata)
            modality = self.expander.modality or "text"
            self.examples[name] = Example(name, {modality: source}, texts[1:], label, split, metadata)
            return
        named = manifests.cell(row, columns.path)
        if not isinstance(named, str) or not named or "\0" in named:
            self.refuse(row.number, f"names no file in its column '{columns.path}'")
            return
        name = self.prefix + printable(named)
        before = self.examples.get(name)
        if before is not None:
            if (before.label, before.split) != (label, split):
                self.refuse(row.number, f"gives '{name}' another label or split than an earlier row")
            else:
                captions = tuple(dict.fromkeys((*before.captions, *texts)))
                self.examples[name] = Example(name, before.sources, captions, label, split, before.metadata)
            return
        for item in self.expander.file(manifests.locate(self.path.parent, named), named=True):
            if isinstance(item, InputItem):
                self.examples[name] = Example(name, {item.modality: item.source}, texts, label, split, metadata)
                break
            self.refuse(row.number, item.reason, getattr(item, "code", "D103"))

    def dataset(self) -> ListedDataset:
        """What was collected."""
        return ListedDataset(list(self.examples.values()), self.refused)


def text_or_none(value: Any) -> str | None:
    """A cell as text, None when empty."""
    return None if value is None or str(value).strip() == "" else printable(str(value).strip())
