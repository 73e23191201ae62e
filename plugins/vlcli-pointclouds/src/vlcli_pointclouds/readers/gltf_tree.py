"""Checked access to the tables of a glTF file: every reference is an index that exists, every array is all there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vlcli_pointclouds.readers.content import MOST_ELEMENTS

COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
MOST_VALUES = 3 * MOST_ELEMENTS


@dataclass(frozen=True)
class Damage(Exception):
    """Why the file is refused."""

    code: str
    reason: str


@dataclass
class Tree:
    """The JSON of a glTF file, and its buffers, each read once."""

    root: dict[str, Any]
    read_buffer: Callable[[int], bytes]
    buffers: dict[int, bytes] = field(default_factory=dict)
    arrays: dict[int, np.ndarray] = field(default_factory=dict)

    def table(self, name: str) -> list[Any]:
        """A list at the top of the file; empty when it is not there."""
        found = self.root.get(name, [])
        if not isinstance(found, list):
            raise Damage("D713", f"its {name} are no list")
        return found

    def entry(self, name: str, index: Any) -> dict[str, Any]:
        """The object that a reference means."""
        held = self.table(name)
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(held):
            raise Damage("D713", f"it refers to {name} {said(index)} of {len(held):,}")
        if not isinstance(held[index], dict):
            raise Damage("D713", f"{name} {index} is no object")
        found: dict[str, Any] = held[index]
        return found

    def view(self, index: Any) -> tuple[bytes, int, int, int]:
        """Buffer, first byte, length and stride (0: packed) of a buffer view."""
        view = self.entry("bufferViews", index)
        number = view.get("buffer")
        self.entry("buffers", number)
        assert isinstance(number, int)
        if number not in self.buffers:
            self.buffers[number] = self.read_buffer(number)
        data = self.buffers[number]
        start, length = (whole(view.get(key, 0), f"bufferViews {index}: {key}") for key in ("byteOffset", "byteLength"))
        if start + length > len(data):
            raise Damage("D703", f"bufferViews {index} ends at byte {start + length:,} of {len(data):,}")
        return data, start, length, whole(view.get("byteStride", 0), f"bufferViews {index}: byteStride")

    def accessor(self, index: Any, width: tuple[str, ...]) -> np.ndarray:
        """The numbers `[N]` or `[N, K]` of an accessor of one of these types; normalised integers become floats."""
        entry = self.entry("accessors", index)
        kind = entry.get("type")
        if kind not in width:
            raise Damage("D713", f"accessors {index} is {said(kind)}, not {' or '.join(width)}")
        if index not in self.arrays:
            self.arrays[index] = self.read_accessor(index, entry, WIDTHS[kind])
        return self.arrays[index]

    def read_accessor(self, index: int, entry: dict[str, Any], width: int) -> np.ndarray:
        """The same, from the buffers."""
        where = f"accessors {index}"
        kind = np.dtype(component_of(entry.get("componentType"), where))
        count = whole(entry.get("count"), f"{where}: count")
        if count > MOST_VALUES:
            raise Damage("D702", f"{where} announces {count:,} values, more than the limit of {MOST_VALUES:,}")
        if "bufferView" in entry:
            values = self.strided(entry["bufferView"], entry.get("byteOffset", 0), kind, count, width, where)
        elif "sparse" in entry:
            values = np.zeros((count, width), kind)
        else:
            raise Damage("D710", f"{where} has no buffer view: its numbers are compressed or missing")
        if "sparse" in entry:
            values = self.replaced(values, entry["sparse"], where)
        if entry.get("normalized") and kind.kind in "iu":
            values = np.maximum(values / np.iinfo(kind).max, -1.0)
        return values[:, 0] if width == 1 else values

    def strided(self, view: Any, offset: Any, kind: np.dtype, count: int, width: int, where: str) -> np.ndarray:
        """`[count, width]` numbers of a buffer view, without a copy."""
        data, start, length, stride = self.view(view)
        first, size = whole(offset, f"{where}: byteOffset"), kind.itemsize * width
        stride = stride or size
        if stride < size:
            raise Damage("D713", f"{where}: its values of {size} bytes overlap, {stride} bytes apart")
        needed = first + stride * (count - 1) + size if count else 0
        if needed > length:
            raise Damage("D703", f"{where} announces {count:,} values, {needed:,} bytes, and its view has {length:,}")
        if not count:
            return np.empty((0, width), kind)
        return np.ndarray((count, width), kind, data, start + first, (stride, kind.itemsize))

    def replaced(self, values: np.ndarray, sparse: Any, where: str) -> np.ndarray:
        """Some of the values replaced, as a sparse accessor says."""
        where = f"{where}: sparse"
        if not isinstance(sparse, dict) or not all(isinstance(sparse.get(key), dict) for key in ("indices", "values")):
            raise Damage("D713", f"{where} has no indices and values")
        count = whole(sparse.get("count"), f"{where}: count")
        places, new = sparse["indices"], sparse["values"]
        kind = np.dtype(component_of(places.get("componentType"), where))
        if kind.kind != "u":
            raise Damage("D713", f"{where} has indices that are not whole numbers")
        indices = self.strided(places.get("bufferView"), places.get("byteOffset", 0), kind, count, 1, where)[:, 0]
        if count and indices.max() >= len(values):
            raise Damage("D708", f"{where} replaces value {int(indices.max()):,} of {len(values):,}")
        values = values.copy()
        values[indices] = self.strided(new.get("bufferView"), new.get("byteOffset", 0), values.dtype, count,
                                       values.shape[1], where)  # fmt: skip
        return values


def said(value: Any) -> str:
    """A value of the file, for a message."""
    return ascii(value)[:24] if isinstance(value, int | float | str | None) else f"a {type(value).__name__}"


def component_of(value: Any, where: str) -> str:
    """The NumPy type that a component type means."""
    if not isinstance(value, int) or value not in COMPONENTS:
        raise Damage("D713", f"{where} has no known type of number: {said(value)}")
    return COMPONENTS[value]


def whole(value: Any, what: str) -> int:
    """A length, count or offset."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise Damage("D713", f"{what} is {said(value)}, not a count")
    return value


def decimals(value: Any, count: int, what: str) -> list[float]:
    """So many finite numbers."""
    if (
        not isinstance(value, list)
        or len(value) != count
        or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    ):
        raise Damage("D713", f"{what} are not {count} numbers")
    try:
        numbers = [float(one) for one in value]
    except OverflowError:
        numbers = [math.inf]
    if not all(map(math.isfinite, numbers)):
        raise Damage("D713", f"{what} are not finite")
    return numbers
