"""Manifests: tables in CSV, TSV, JSONL or Parquet that name files or hold texts, one item a row.

Rows are read one by one, so a manifest may be larger than memory; a malformed row does not end the reading.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vlcli.api import Source
from vlcli.data.files import check_file
from vlcli.data.names import printable
from vlcli.errors import VlcliError, did_you_mean

MANIFEST_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "images", "image_path",
                "audio", "video", "mesh", "mesh_path", "point_cloud")  # fmt: skip
TEXT_COLUMNS = ("caption", "captions", "text", "texts", "sentence", "description", "title")
LABEL_COLUMNS = ("label", "class", "category")
SPLIT_COLUMNS = ("split", "fold", "subset")
MAX_CELL_CHARACTERS = 10_000_000


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row: `number` as a spreadsheet counts it (the header of a CSV is row 1), cells in the order of columns.

    `reason` is set instead of cells when the row can not be used.
    """

    number: int
    cells: tuple[tuple[str, Any], ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns mean what; `None` or an empty tuple where a manifest has none.

    `item` is a column whose cells are items of `modality` themselves.
    """

    path: str | None
    texts: tuple[str, ...]
    label: str | None
    split: str | None
    item: str | None = None
    modality: str | None = None


def is_manifest(path: Path) -> bool:
    """True when the name ends like a manifest's."""
    return path.suffix.lower() in MANIFEST_SUFFIXES


def read_rows(path: Path) -> Iterator[ManifestRow]:
    """The rows of a manifest, in order.

    Raises:
        VlcliError: D111-D114 for the file itself, D105 when it is no table of its kind.
    """
    check_file(path, limit=2**62)
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return parquet_rows(path)
    if suffix in (".jsonl", ".ndjson"):
        return json_rows(path)
    return csv_rows(path, "\t" if suffix == ".tsv" else None)


def csv_rows(path: Path, delimiter: str | None) -> Iterator[ManifestRow]:
    """Rows of a CSV; the delimiter is the one of `,`, `;` and tab that the header holds most often."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        if delimiter is None:
            header_line = file.readline()
            delimiter = max(",;\t", key=header_line.count)
            file.seek(0)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = [printable(name).strip() for name in next(reader)]
        except (StopIteration, csv.Error) as error:
            raise VlcliError(
                "D105", printable(path), "has no header row", "name the columns in the first row"
            ) from error
        if not any(header) or any("\0" in name for name in header):
            raise VlcliError("D105", printable(path), "its first row names no columns", "name the columns there")
        number = 1
        while True:
            number += 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield ManifestRow(number, reason=describe_csv_error(error))
                continue
            if not any(cells):
                continue
            if len(cells) != len(header):
                yield ManifestRow(number, reason=f"has {len(cells)} cells, the header has {len(header)}")
                continue
            yield ManifestRow(number, tuple(zip(header, (typed(cell) for cell in cells), strict=True)))


def describe_csv_error(error: csv.Error) -> str:
    """The csv module's message in words a user can act on."""
    if "unexpected end of data" in str(error):
        return "a quote is opened and never closed, so the rows after it can not be told apart"
    return f"is malformed ({error})"


def typed(cell: str) -> Any:
    """A cell as an integer or float where that loses nothing (`007` stays text), None when empty, else text."""
    text = cell.strip()
    if not text:
        return None
    if len(text) < 20 and (text[0].isdigit() or text[0] == "-"):
        for convert in (int, float):
            try:
                value = convert(text)
            except ValueError:
                continue
            if str(value) == text:
                return value
    return cell


def json_rows(path: Path) -> Iterator[ManifestRow]:
    """Rows of a file with one JSON object a line."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                yield ManifestRow(number, reason=f"is not JSON ({str(error)[:100]})")
                continue
            if not isinstance(record, dict):
                yield ManifestRow(number, reason="is not a JSON object")
                continue
            yield ManifestRow(number, tuple((printable(key), value) for key, value in record.items()))


def parquet_rows(path: Path) -> Iterator[ManifestRow]:
    """Rows of a Parquet file, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    yield ManifestRow(number, tuple(record.items()))
    except (pa.ArrowException, OSError) as error:
        message = str(error).splitlines()[0][:150]
        raise VlcliError("D105", printable(path), f"is not a readable Parquet file ({message})",
                         "write it again") from error  # fmt: skip


def find_columns(
    names: Collection[str], where: str, modalities: Collection[str] = (),
    items: Mapping[str, str] = MappingProxyType({}), modality: str | None = None,
) -> Columns:  # fmt: skip
    """Recognise the columns by name, letter case aside.

    Args:
        names: the column names.
        where: the manifest, for the error.
        modalities: names of modalities; a column may be called after one (`pointclouds`, `pointcloud_path` …).
        items: lower-case names of columns whose cells are items themselves -> their modality, preferred names first.
        modality: the user wants this one: its own columns then come before a column of paths.

    Raises:
        VlcliError: D107 when there is no column of paths, items or texts, or items of several modalities.
    """
    by_lower = {name.strip().lower(): name for name in reversed(list(names))}
    known_paths = (*PATH_COLUMNS, *(name for modality in sorted(modalities) for name in path_names(modality)))

    def first(candidates: Collection[str]) -> str | None:
        return next((by_lower[name] for name in candidates if name in by_lower), None)

    path = first(known_paths)
    texts = tuple(dict.fromkeys(name for name in names if text_column(name)))
    item = first([name for name, of in items.items() if modality in (None, of)])
    if item is not None and (path is None or modality is not None):
        holders = {items[name] for name in by_lower if name in items and modality in (None, items[name])}
        if len(holders) > 1:
            raise VlcliError("D107", where, f"has columns of {' and of '.join(sorted(holders))}",
                             "say which with --modality")  # fmt: skip
        return Columns(None, texts, first(LABEL_COLUMNS), first(SPLIT_COLUMNS), item, holders.pop())
    if path is None and not texts:
        own = [name for name, of in items.items() if modality == of]
        known = [*PATH_COLUMNS[:4], "image", *TEXT_COLUMNS[:3], *own]
        near = [f"'{name}' {hint}" for name in by_lower if (hint := did_you_mean(name, known))]
        shown = ", ".join(list(names)[:8]) or "none"
        raise VlcliError(
            "D107", where, f"has no column of paths or texts (its columns: {shown})",
            "; ".join(near) or (f"name the column of {modality} '{own[0]}', or say which it is with --column" if own
                                else "name the column of files 'path', or the column of texts 'text'"),
        )  # fmt: skip
    return Columns(path, texts, first(LABEL_COLUMNS), first(SPLIT_COLUMNS))


def path_names(modality: str) -> tuple[str, ...]:
    """Names of a column that holds files of a modality; none for text, whose columns hold the texts themselves."""
    one = modality.removesuffix("s")
    return () if modality == "text" else (modality, f"{one}_path", f"{one}_file")


def text_column(name: str) -> bool:
    """True for `caption`, `text`, …, and for numbered ones such as `caption_2`."""
    return name.strip().lower().rstrip("0123456789").rstrip("_ -") in TEXT_COLUMNS


def locate(folder: Path, named: str) -> Path:
    """The file that a row names: relative to the manifest's folder, else to a folder `images` beside it.

    Backslashes are taken for separators when no file has them in its name: the table may come from Windows.
    """
    spellings = [named, named.replace("\\", "/")] if "\\" in named else [named]
    places = [Path(os.path.normpath(base / text)) for text in spellings for base in (folder, folder / "images")]
    return next((place for place in places if os.path.lexists(place)), places[0])


def texts_of(row: ManifestRow, columns: Columns) -> tuple[str, ...]:
    """The non-empty texts of a row, in the order of its columns; a list in a cell counts as several."""
    found: list[str] = []
    for name, value in row.cells:
        if name in columns.texts and value is not None:
            values = value if isinstance(value, list | tuple) else [value]
            found += [printable(str(text)) for text in values if text is not None and str(text).strip()]
    return tuple(dict.fromkeys(found))


def cell(row: ManifestRow, name: str | None) -> Any:
    """The first cell of that column, or None."""
    return None if name is None else next((value for column, value in row.cells if column == name), None)


def other_columns(row: ManifestRow, columns: Columns) -> dict[str, Any]:
    """Everything but path and texts, flat and fit for JSON."""
    taken = {columns.path, columns.item, *columns.texts}
    return {name: flat(value) for name, value in row.cells if name and name not in taken and value is not None}


def flat(value: Any) -> Any:
    """A value that JSON and SQL columns hold: numbers and texts as they are, anything nested as JSON text."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list | dict | tuple):
        return printable(json.dumps(value, ensure_ascii=False, default=str))
    return str(value)


def split_list(stream: io.BufferedIOBase, block: int = 1 << 16) -> Iterator[str]:
    """The entries of a list of paths, separated by NUL where the first block holds one, else by line ends."""
    first = stream.read(block)
    nul = b"\0" in first
    separator = b"\0" if nul else b"\n"
    rest = b""
    while first:
        *entries, rest = (rest + first).split(separator)
        yield from (as_name(entry, nul) for entry in entries)
        first = stream.read(block)
    yield as_name(rest, nul)


def as_name(entry: bytes, verbatim: bool) -> str:
    """Bytes of a list as a file name; surrogates stand for bytes that are not UTF-8."""
    return (entry if verbatim else entry.rstrip(b"\r")).decode("utf-8", "surrogateescape")


def item_source(row_id: str, row: ManifestRow, columns: Columns, metadata: dict[str, Any]) -> Source | None:
    """The item that a cell is, or None when the cell is empty; bytes that are not UTF-8 stay, for its modality."""
    value = cell(row, columns.item)
    if value is None or not str(value).strip():
        return None
    texts = texts_of(row, columns)
    if texts:
        metadata = {**metadata, "caption": " | ".join(texts)}
    return Source(id=row_id, value=str(value), metadata={**metadata, "column": columns.item})
