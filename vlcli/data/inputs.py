"""What a user points at becomes items: files, folders, globs, manifests, and a list on standard input.

Nothing is lost silently. Each input ends as an `InputItem`, or as a `RefusedInput` with its reason. Files of a folder
whose type no modality reads come as `SkippedInput`, which counts as a note, not as an input: a folder of photographs
may hold an index page. Hidden files of a folder are left out.
"""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from vlcli.api import Modality, Source
from vlcli.data import manifests
from vlcli.data.names import printable
from vlcli.errors import VlcliError, did_you_mean
from vlcli.registry import Registry


@dataclass(frozen=True, slots=True)
class InputItem:
    """Something to load: the name of its modality and its source; `named` when the user named it, not its folder."""

    modality: str
    source: Source
    named: bool = True


@dataclass(frozen=True, slots=True)
class RefusedInput:
    """An input that can not be used: `path` as printed (or `manifest.csv#12`), an error code and a reason."""

    path: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Undecided(RefusedInput):
    """A file that several modalities read, looked at before it is known which the caller takes; `again` decides."""

    again: Callable[[], Iterator[Expanded]]


@dataclass(frozen=True, slots=True)
class SkippedInput:
    """A file in a folder that no modality reads."""

    path: str
    reason: str


Expanded = InputItem | RefusedInput | SkippedInput


@dataclass
class Expander:
    """Expands inputs for a registry.

    Attributes:
        modality: read everything as this modality; None goes by the extension.
        accepted: modalities that the caller can use; they settle an extension that several modalities read.
        column: the column of tables that holds the items, if not the one found by its name.
    """

    registry: Registry
    modality: str | None = None
    accepted: Collection[str] | None = None
    readers: dict[str, Modality] = field(default_factory=dict)
    column: str | None = None
    known_suffixes: dict[tuple[str, ...], list[str]] = field(default_factory=dict)

    def modalities_of(self, path: Path) -> list[str]:
        """Names of the modalities that read this file, going by its name."""
        suffixes = tuple(suffix.lower() for suffix in path.suffixes[-2:])
        if suffixes not in self.known_suffixes:
            entries = self.registry.modality_of("".join(suffixes)) if len(suffixes) == 2 else []
            entries = entries or self.registry.modality_of(path.suffix.lower())
            self.known_suffixes[suffixes] = [entry.spec.name for entry in entries]
        names = self.known_suffixes[suffixes]
        if self.modality is not None:
            return [self.modality] if self.modality in names else []
        if len(names) > 1 and self.accepted is not None:
            return [name for name in names if name in self.accepted] or names
        return names

    def reader(self, name: str) -> Modality:
        """The modality's implementation, constructed once."""
        if name not in self.readers:
            self.readers[name] = self.registry.load(self.registry.find("modality", name))()
        return self.readers[name]

    def file(
        self, path: Path, *, named: bool, metadata: dict[str, Any] | None = None, final: bool = False
    ) -> Iterator[Expanded]:
        """The items of one file. `named`: the user named this very file, so an unknown type is refused, not skipped.

        A type that several modalities read is left `Undecided` while `accepted` is empty, unless `final`.
        """
        names = self.modalities_of(path)
        if not names and named and self.modality is not None:
            names = [self.modality]
        if not names:
            text = printable(path)
            kind = f"'{path.suffix}' files" if path.suffix else "files without an extension"
            reason = f"no modality reads {kind}" if self.modality is None else f"is not of modality {self.modality}"
            if named:
                yield RefusedInput(text, "D103", f"{reason}; see `vlcli plugins list`, or name it with --modality")
            else:
                yield SkippedInput(text, reason)
        elif len(names) > 1:
            reason = ambiguous(path, names)
            if final or self.accepted is None or self.accepted:
                yield RefusedInput(printable(path), "D104", reason)
            else:
                again = partial(self.file, path, named=named, metadata=metadata, final=True)
                yield Undecided(printable(path), "D104", reason, again)
        else:
            found = False
            try:
                for source in self.reader(names[0]).expand(path):
                    found = True
                    yield InputItem(names[0], with_metadata(source, metadata), named)
                if not found:
                    yield RefusedInput(printable(path), "D102", "holds nothing that could be embedded")
            except VlcliError as error:
                yield RefusedInput(printable(path), error.code, error.message)
            except OSError as error:
                yield RefusedInput(printable(path), "D113", f"can not be read ({error.strerror})")
            except Exception as error:  # noqa: BLE001 (a plugin's reader may raise anything: the file is refused)
                reason = (str(error).strip().splitlines() or [""])[0]
                yield RefusedInput(printable(path), "D190", f"can not be read ({type(error).__name__}: {reason})")

    def folder(self, root: Path) -> Iterator[Expanded]:
        """Every file below a folder, sorted by name; each real folder is visited once, so link loops end."""
        for path in walk(root):
            if isinstance(path, RefusedInput):
                yield path
            else:
                yield from self.file(path, named=False)

    def any_path(self, path: Path, *, named: bool) -> Iterator[Expanded]:
        """A file, folder or manifest that may not exist (an entry of a list)."""
        if is_folder(path):
            yield from started_entry(self.folder(path), printable(path))
        elif self.is_manifest(path) and os.path.lexists(path):
            yield from self.manifest(path)
        else:
            yield from self.file(path, named=named)

    def is_manifest(self, path: Path) -> bool:
        """A table of items, unless some modality reads such files itself."""
        return manifests.is_manifest(path) and not self.modalities_of(path)

    def manifest(self, path: Path) -> Iterator[Expanded]:
        """The items of a manifest: files relative to it, or texts."""
        where = printable(path)
        columns: manifests.Columns | None = None
        names: tuple[str, ...] = ()
        for row in manifests.read_rows(path):
            row_id = f"{where}#{row.number}"
            if row.reason:
                yield RefusedInput(row_id, "D106", f"row {row.number} {row.reason}")
                continue
            row_names = tuple(name for name, _ in row.cells)
            if row_names != names:
                try:
                    columns, names = self.columns(row_names, where), row_names
                except VlcliError as error:
                    if not names and path.suffix.lower() not in (".jsonl", ".ndjson"):
                        raise
                    yield RefusedInput(row_id, error.code, f"row {row.number} {error.message}")
                    continue
            if columns is not None:
                yield from self.row(path, row_id, row, columns)

    def columns(self, names: tuple[str, ...], where: str) -> manifests.Columns:
        """What a manifest's columns mean, by the user's words, the modalities' and the usual names."""
        if self.column is not None:
            if self.column not in names:
                hint = did_you_mean(self.column, list(names)) or f"its columns: {', '.join(names[:20])}"
                raise VlcliError("D107", where, f"has no column '{self.column}'", hint)
            usual = manifests.find_columns([*names, "path"], where)
            return replace(usual, path=None, texts=tuple(name for name in usual.texts if name != self.column),
                           item=self.column, modality=self.modality)  # fmt: skip
        entries = self.registry.list("modality")
        usable = [entry.spec for entry in entries if not self.accepted or entry.spec.name in self.accepted]
        items = {column: spec.name for spec in usable for column in spec.columns}
        return manifests.find_columns(names, where, {entry.spec.name for entry in entries}, items, self.modality)

    def row(self, manifest: Path, row_id: str, row: manifests.ManifestRow, columns: manifests.Columns
            ) -> Iterator[Expanded]:  # fmt: skip
        """The items of one well-formed row."""
        metadata = manifests.other_columns(row, columns)
        if columns.item is not None:
            source = manifests.item_source(row_id, row, columns, metadata)
            if source is None or columns.modality is None:
                yield RefusedInput(row_id, "D106", f"row {row.number} holds nothing in its column '{columns.item}'")
            else:
                yield InputItem(columns.modality, source)
            return
        texts = manifests.texts_of(row, columns)
        named = manifests.cell(row, columns.path)
        if named is not None and not isinstance(named, str):
            named = str(named) if isinstance(named, int | float) else None
        if named:
            if texts:
                metadata = {**metadata, "caption": texts[0] if len(texts) == 1 else " | ".join(texts)}
            if "\0" in named:
                yield RefusedInput(row_id, "D106", f"row {row.number} names a path with a NUL character")
            else:
                yield from self.file(manifests.locate(manifest.parent, named), named=True, metadata=metadata)
        elif columns.path is not None:
            yield RefusedInput(row_id, "D106", f"row {row.number} names no file in its column '{columns.path}'")
        elif not texts:
            yield RefusedInput(row_id, "D106", f"row {row.number} holds no text in {', '.join(columns.texts)}")
        else:
            modality = self.modality or "text"
            for index, text in enumerate(texts):
                source_id = row_id if len(texts) == 1 else f"{row_id}.{index + 1}"
                yield InputItem(modality, Source(id=source_id, value=text, metadata=metadata))


def expand_inputs(
    inputs: Sequence[str],
    registry: Registry,
    modality: str | None = None,
    *,
    accepted: Collection[str] | None = None,
    stdin: BinaryIO | None = None,
    column: str | None = None,
) -> Iterator[Expanded]:
    """Expand what a user named into items, lazily and in order.

    Paths in ids and sources are absolute, so that the same file keeps its id whatever the working directory.

    Args:
        inputs: files, folders, globs, manifests (CSV, TSV, JSONL, Parquet), `data:NAME` for a registered data set, or
            `-` for a list on standard input (one path a line, or separated by NUL).
        registry: of all plugins; its modalities say what a file is.
        modality: read every input as this modality instead of going by extensions.
        accepted: modalities that the caller can use; they settle an extension that several modalities read. A list
            that is still empty may be filled until the items are taken.
        stdin: instead of the process's standard input.
        column: the column of tables that holds the items of `modality`; by default it is found by its name.

    Raises:
        VlcliError: before anything is yielded: D101 an input does not exist or a glob matches nothing, D102 a folder
            without usable files, D105/D107 a manifest that is no table or has no usable column, P201 no such modality.
    """
    if not inputs:
        raise VlcliError("U131", "", "no input is given", "name files, folders, globs, manifests, or - for a list")
    if modality is not None:
        modality = registry.find("modality", modality).spec.name
    if column is not None and modality is None:
        raise VlcliError("U132", "--column", "does not say what the column holds", "add --modality")
    expander = Expander(registry, modality, accepted, column=column)
    plans: list[Iterator[Expanded]] = []
    for text in inputs:
        plans.append(plan(expander, text, stdin))
    return (decided for expanded in plans for item in expanded for decided in decide(item))


def decide(item: Expanded) -> Iterator[Expanded]:
    """The item; one that was left undecided is looked at again."""
    return item.again() if isinstance(item, Undecided) else iter((item,))


def plan(expander: Expander, text: str, stdin: BinaryIO | None) -> Iterator[Expanded]:
    """Check one argument at once, so that a typing error shows before hours of work, and expand it lazily."""
    if text == "-":
        return stdin_items(expander, stdin if stdin is not None else sys.stdin.buffer)
    if text.startswith("data:") and not os.path.lexists(text):
        return dataset_items(expander, text.removeprefix("data:"))
    if "://" in text and not os.path.lexists(text):
        raise VlcliError("D101", text, "is an address on the network", "download it and name the file")
    path = absolute(text)
    if is_folder(path):
        return started(expander.folder(path), printable(path), "the folder")
    if os.path.lexists(path):
        if expander.is_manifest(path):
            return started(expander.manifest(path), printable(path), "the table")
        return expander.file(path, named=True)
    if glob.has_magic(text):
        pattern = os.fspath(absolute(text))
        if next(glob.iglob(pattern, recursive=True), None) is None:  # noqa: PTH207 (absolute patterns)
            raise VlcliError("D101", printable(text), "the pattern matches no file", "check the pattern and its quotes")
        return started(glob_items(expander, pattern), printable(text), "the pattern")
    near = nearest_name(path)
    raise VlcliError("D101", printable(text), "there is no such file or folder", near or "check the path")


def absolute(text: str) -> Path:
    """An absolute path without `..`, links kept; `~` is the home folder."""
    path = Path(text) if os.path.lexists(text) or not text.startswith("~") else Path(text).expanduser()
    # Path.resolve would replace links by what they point at, and with them the name that the user knows.
    return Path(os.path.abspath(path))  # noqa: PTH100


def is_folder(path: Path) -> bool:
    """Whether it is a folder; a name that the system can not even look up (too long, a NUL in it) is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def nearest_name(path: Path) -> str:
    """A hint when the folder of a missing path holds a similar name."""
    if not is_folder(path.parent):
        return ""
    try:
        return did_you_mean(path.name, [printable(other.name) for other in islice(path.parent.iterdir(), 10_000)])
    except OSError:
        return ""


def started(items: Iterator[Expanded], where: str, what: str) -> Iterator[Expanded]:
    """Read up to the first usable item or refusal; nothing usable at all is an error that tells what was found.

    Raises:
        VlcliError: D102 nothing usable.
    """
    head: list[Expanded] = []
    suffixes: dict[str, int] = {}
    skipped = 0
    for item in items:
        if not isinstance(item, SkippedInput):
            return chain_items(head, item, items)
        skipped += 1
        if len(head) < 10_000:
            head.append(item)
        suffix = Path(item.path).suffix or "no extension"
        suffixes[suffix] = suffixes.get(suffix, 0) + 1
    if not skipped:
        raise VlcliError("D102", where, f"{what} is empty", "name one with something in it")
    common = sorted(suffixes.items(), key=lambda pair: -pair[1])[:4]
    shown = ", ".join(f"{count} × {suffix}" for suffix, count in common)
    raise VlcliError("D102", where, f"{what} holds no file of a known type ({shown})",
                     "see `vlcli plugins list`, or name files with --modality")  # fmt: skip


def started_entry(items: Iterator[Expanded], where: str) -> Iterator[Expanded]:
    """The items of a folder in a list; one with nothing usable in it is refused by itself."""
    try:
        yield from started(items, where, "the folder")
    except VlcliError as error:
        yield RefusedInput(where, error.code, error.message)


def chain_items(head: list[Expanded], item: Expanded, rest: Iterator[Expanded]) -> Iterator[Expanded]:
    """What was read ahead, then the rest."""
    yield from head
    yield item
    yield from rest


def glob_items(expander: Expander, pattern: str) -> Iterator[Expanded]:
    """The matches of a glob, sorted; folders among them are walked."""
    for match in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207 (absolute patterns)
        path = Path(match)
        if is_folder(path):
            # `**` lists what is inside by itself
            if "**" not in pattern:
                yield from expander.folder(path)
        else:
            yield from expander.file(path, named=False)


def dataset_items(expander: Expander, name: str) -> Iterator[Expanded]:
    """The sources of a registered data set, with captions, label and split as metadata."""
    from vlcli.data.datasets import open_dataset

    dataset = open_dataset(name, expander.registry)

    def items() -> Iterator[Expanded]:
        yield from getattr(dataset, "refused", ())
        for index in range(len(dataset)):
            example = dataset[index]
            columns = {"caption": " | ".join(example.captions), "label": example.label, "split": example.split}
            metadata = {key: value for key, value in columns.items() if value}
            metadata.update(
                (key, manifests.flat(value)) for key, value in example.metadata.items() if value is not None
            )
            for modality, source in example.sources.items():
                if expander.modality in (None, modality):
                    yield InputItem(modality, with_metadata(source, metadata))

    return items()


def stdin_items(expander: Expander, stream: BinaryIO) -> Iterator[Expanded]:
    """The paths of a list; one that is missing is refused by itself, since the list was not typed by hand."""
    empty = True
    for entry in manifests.split_list(stream):  # type: ignore[arg-type]
        if entry:
            empty = False
            yield from expander.any_path(absolute(entry), named=True)
    if empty:
        raise VlcliError("D102", "-", "the list on standard input is empty", "pipe paths into it, one a line")


def walk(root: Path) -> Iterator[Path | RefusedInput]:
    """Files below a folder in sorted order; links to folders are followed, each real folder once."""
    seen: set[tuple[int, int]] = set()
    pending: list[Path] = [root]
    while pending:
        path = pending.pop()
        if not is_folder(path):
            yield path
            continue
        try:
            status = path.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            names = sorted((name for name in os.listdir(path) if not name.startswith(".")), reverse=True)  # noqa: PTH208
        except OSError as error:
            yield RefusedInput(printable(path), "D113", f"the folder can not be read ({error.strerror})")
            continue
        pending += [path / name for name in names]


def with_metadata(source: Source, metadata: dict[str, Any] | None) -> Source:
    """The source with a manifest's columns added, and its id as text that stores and JSON take."""
    return replace(source, id=printable(source.id), metadata={**source.metadata, **(metadata or {})})


def ambiguous(path: Path, names: list[str]) -> str:
    """The reason for refusing a file that several modalities read."""
    return f"'{path.suffix}' files may be {' or '.join(sorted(names))}; say which with --modality"
