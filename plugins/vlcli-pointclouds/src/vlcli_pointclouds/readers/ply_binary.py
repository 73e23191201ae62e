"""Tables of a PLY file: their columns, and the binary rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content


@dataclass(frozen=True)
class Column:
    """A property: its NumPy type without byte order, and for a list the type of its length."""

    name: str
    kind: str
    length: str = ""


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists of different lengths, one after the other in `flat`; `lengths [N]`."""

    flat: np.ndarray
    lengths: np.ndarray


Values = np.ndarray | Lists
"""A column: `[N]`, or lists, which are `[N, K]` where all have the same length."""


@dataclass(frozen=True)
class Table:
    """Rows to read: the table's name as messages write it, its columns, how many rows."""

    name: str
    columns: Sequence[Column]
    count: int


def read_columns(content: Content, table: Table, order: str, start: int) -> tuple[list[Values], int]:
    """The columns of a table from byte `start`, and where the next table begins.

    Lists that all have the length that they have in the first row are taken at once; others row by row.
    """
    return equal_rows(content.data, table, order, start) or any_rows(content, table, order, start)


def any_rows(content: Content, table: Table, order: str, start: int) -> tuple[list[Values], int]:
    """Row by row."""
    parts: list[list[bytes]] = [[] for _ in table.columns]
    lengths: list[list[int]] = [[] for _ in table.columns]
    sizes = [(np.dtype(column.length).itemsize if column.length else 0, np.dtype(column.kind).itemsize)
             for column in table.columns]  # fmt: skip
    byte_order: Literal["big", "little"] = "big" if order == ">" else "little"
    data, place = content.data, start
    for row in range(table.count):
        for index, column in enumerate(table.columns):
            prefix, size = sizes[index]
            length = 1
            if prefix:
                length = int.from_bytes(data[place : place + prefix], byte_order, signed=column.length[0] == "i")
                place += prefix
            end = place + length * size
            if length < 0 or end > len(data):
                raise VlcliError("D703", content.where, f"row {row + 1:,} of {table.count:,} of {table.name} needs "
                                 f"{length:,} values, and the file ends before", "the file is damaged")  # fmt: skip
            parts[index].append(data[place:end])
            lengths[index].append(length)
            place = end
    found: list[Values] = []
    for index, column in enumerate(table.columns):
        flat = np.frombuffer(b"".join(parts[index]), order + column.kind)
        found.append(Lists(flat, np.array(lengths[index], dtype=np.int64)) if column.length else flat)
    return found, place


def equal_rows(data: bytes, table: Table, order: str, start: int) -> tuple[list[Values], int] | None:
    """The columns, if every row has the same lengths of lists as the first; else None."""
    lengths: list[int] = []
    place = start
    for column in table.columns:
        length = 1
        if column.length:
            size = np.dtype(column.length).itemsize
            if place + size > len(data):
                return None
            length = int(np.frombuffer(data, order + column.length, 1, place)[0])
            if not 0 <= length <= len(data):
                return None
            place += size
        place += length * np.dtype(column.kind).itemsize
        lengths.append(length)
    if start + (place - start) * table.count > len(data):
        return None
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    for index, (column, length) in enumerate(zip(table.columns, lengths, strict=True)):
        if column.length:
            fields += [(f"n{index}", order + column.length), (f"v{index}", order + column.kind, (length,))]
        else:
            fields.append((f"v{index}", order + column.kind))
    rows = np.frombuffer(data, np.dtype(fields), table.count, start)
    for index, (column, length) in enumerate(zip(table.columns, lengths, strict=True)):
        if column.length and (rows[f"n{index}"] != length).any():
            return None
    return [rows[f"v{index}"] for index in range(len(table.columns))], start + rows.dtype.itemsize * table.count
