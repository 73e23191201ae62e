"""The checks of a glTF tree: every reference is an index that exists, every array is all there, nodes end.

What passes is written as a new tree with buffers by the names `buffer0`, …: what is not checked is not in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vlcli_pointclouds.readers.content import MOST_ELEMENTS, check_count

COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
ATTRIBUTES = {"POSITION": ("VEC3",), "COLOR_0": ("VEC3", "VEC4"), "TEXCOORD_0": ("VEC2",)}
POINTS, TRIANGLES, STRIP = 0, 4, 5
MOST_VALUES = 3 * MOST_ELEMENTS
MOST_NODES = 100_000


@dataclass(frozen=True)
class Damage(Exception):
    """Why the file is refused."""

    code: str
    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass
class Checks:
    """The JSON of a glTF file and the bytes of its buffers. `files` are those that the new tree names."""

    root: dict[str, Any]
    buffers: list[bytes]
    files: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)

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

    def tree(self, where: str) -> dict[str, Any]:
        """The new tree: nodes of the scene, meshes, and one packed accessor for each array that these use."""
        nodes, roots, used = self.nodes()
        meshes: list[dict[str, Any]] = []
        sizes = []
        for index in range(len(self.table("meshes"))):
            primitives, points, corners = self.primitives(index) if index in used else ([], 0, 0)
            meshes.append({"primitives": primitives})
            sizes.append((points, corners))
        check_count(sum(sizes[mesh][0] * times for mesh, times in used.items()), "vertices", where)
        check_count(sum(sizes[mesh][1] * times for mesh, times in used.items()) // 3, "triangles", where)
        buffers = [{"uri": name, "byteLength": len(data)} for name, data in self.files.items()]
        return {"asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": roots}], "nodes": nodes, "meshes": meshes,
                "accessors": self.accessors, "bufferViews": self.views, "buffers": buffers}  # fmt: skip

    def nodes(self) -> tuple[list[dict[str, Any]], list[int], dict[int, int]]:
        """The nodes, the roots of the scene, and how often the scene shows each mesh."""
        table = self.table("nodes")
        if not table:
            every = range(len(self.table("meshes")))
            return [{"mesh": index} for index in every], [*every], dict.fromkeys(every, 1)
        if self.table("scenes"):
            roots = self.entry("scenes", self.root.get("scene", 0)).get("nodes", [])
        else:
            inner = {child for index in range(len(table)) for child in children_of(self.entry("nodes", index))}
            roots = [index for index in range(len(table)) if index not in inner]
        if not isinstance(roots, list):
            raise Damage("D713", "the scene's nodes are no list")
        kept: list[dict[str, Any]] = [{} for _ in table]
        seen: set[int] = set()
        used: dict[int, int] = {}
        waiting = [*roots]
        while waiting:
            index = waiting.pop()
            node = self.entry("nodes", index)
            if index in seen:
                raise Damage("D713", f"nodes {index} stands in the scene twice, or within itself")
            if len(seen) >= MOST_NODES:
                raise Damage("D702", f"has more than {MOST_NODES:,} nodes")
            seen.add(index)
            kept[index] = placing(node, index)
            if "mesh" in node:
                self.entry("meshes", node["mesh"])
                kept[index]["mesh"] = node["mesh"]
                used[node["mesh"]] = used.get(node["mesh"], 0) + 1
            if children_of(node):
                kept[index]["children"] = children_of(node)
                waiting += children_of(node)
        return kept, roots, used

    def primitives(self, mesh: int) -> tuple[list[dict[str, Any]], int, int]:
        """The primitives of a mesh, and how many vertices and corners of triangles they have."""
        primitives = self.entry("meshes", mesh).get("primitives")
        if not isinstance(primitives, list) or not all(isinstance(one, dict) for one in primitives):
            raise Damage("D713", f"meshes {mesh} has no primitives")
        found: list[dict[str, Any]] = []
        points = corners = 0
        for primitive in primitives:
            attributes, mode = primitive.get("attributes"), primitive.get("mode", TRIANGLES)
            if (
                mode not in (POINTS, TRIANGLES, STRIP)
                or not isinstance(attributes, dict)
                or "POSITION" not in attributes
            ):
                self.notes["lines, fans and primitives without positions left out"] = None
                continue
            kept: dict[str, Any] = {"mode": mode, "attributes": {}}
            count = self.count_of(attributes["POSITION"])
            for name, kinds in ATTRIBUTES.items():
                if name in attributes and self.count_of(attributes[name]) == count:
                    kept["attributes"][name] = self.packed(attributes[name], kinds)
            order = count
            if "indices" in primitive and mode != POINTS:
                kept["indices"] = self.packed(primitive["indices"], ("SCALAR",), highest=count)
                order = self.accessors[kept["indices"]]["count"]
            if mode == TRIANGLES and order % 3:
                raise Damage("D713", f"meshes {mesh} has {order:,} corners of triangles, which are no multiple of 3")
            if isinstance(primitive.get("material"), int) and 0 <= primitive["material"] < len(self.table("materials")):
                kept["material"] = primitive["material"]
            points, corners = points + count, corners + (order if mode == TRIANGLES else 3 * order)
            found.append(kept)
        return found, points, corners

    def count_of(self, index: Any) -> int:
        """How many values an accessor has."""
        count = whole(self.entry("accessors", index).get("count"), f"accessors {index}: count")
        if count > MOST_VALUES:
            raise Damage(
                "D702", f"accessors {index} announces {count:,} values, more than the limit of {MOST_VALUES:,}"
            )
        return count

    def packed(self, index: Any, kinds: tuple[str, ...], highest: int | None = None) -> int:
        """The number in the new tree of an accessor of one of these types; integers that stand for 0…1 become floats.

        `highest`: its numbers are indices of so many vertices.
        """
        entry, where = self.entry("accessors", index), f"accessors {index}"
        kind, component = entry.get("type"), entry.get("componentType")
        if kind not in kinds:
            raise Damage("D713", f"{where} is {said(kind)}, not {' or '.join(kinds)}")
        if not isinstance(component, int) or component not in COMPONENTS:
            raise Damage("D713", f"{where} has no known type of number: {said(component)}")
        if "bufferView" not in entry or "sparse" in entry:
            raise Damage("D710", f"{where} has no buffer view, or is sparse: such numbers are not read")
        values = self.values(entry, np.dtype(COMPONENTS[component]), self.count_of(index), WIDTHS[kind], where)
        if highest is not None:
            if values.dtype.kind != "u":
                raise Damage("D713", "indices of a primitive are not whole numbers")
            if values.size and values.max() >= highest:
                raise Damage("D708", f"a face names vertex {int(values.max()):,} (counted from 0) of {highest:,}")
        elif entry.get("normalized") and values.dtype.kind in "iu":
            values, component = np.maximum(values / np.iinfo(values.dtype).max, -1.0).astype("<f4"), 5126
        name = f"buffer{len(self.files)}"
        self.files[name] = np.ascontiguousarray(values).tobytes()
        self.views.append({"buffer": len(self.views), "byteLength": len(self.files[name])})
        self.accessors.append({"bufferView": len(self.views) - 1, "componentType": component, "type": kind,
                               "count": len(values)})  # fmt: skip
        return len(self.accessors) - 1

    def view(self, index: Any) -> tuple[bytes, int, int, int]:
        """Buffer, first byte, length and stride (0: packed) of a buffer view."""
        view, where = self.entry("bufferViews", index), f"bufferViews {index}"
        self.entry("buffers", view.get("buffer"))
        data = self.buffers[view["buffer"]]
        start, length, stride = (whole(view.get(key, 0), f"{where}: {key}")
                                 for key in ("byteOffset", "byteLength", "byteStride"))  # fmt: skip
        if start + length > len(data):
            raise Damage("D703", f"{where} ends at byte {start + length:,} of {len(data):,}")
        return data, start, length, stride

    def values(self, entry: dict[str, Any], kind: np.dtype, count: int, width: int, where: str) -> np.ndarray:
        """`[count, width]` numbers of a buffer view, without a copy."""
        data, start, length, stride = self.view(entry["bufferView"])
        first, size = whole(entry.get("byteOffset", 0), f"{where}: byteOffset"), kind.itemsize * width
        stride = stride or size
        if stride < size:
            raise Damage("D713", f"{where}: its values of {size} bytes overlap, {stride} bytes apart")
        needed = first + stride * (count - 1) + size if count else 0
        if needed > length:
            raise Damage("D703", f"{where} announces {count:,} values, {needed:,} bytes, and its view has {length:,}")
        if not count:
            return np.empty((0, width), kind)
        return np.ndarray((count, width), kind, data, start + first, (stride, kind.itemsize))


def children_of(node: dict[str, Any]) -> list[int]:
    """A node's children."""
    children = node.get("children", [])
    if not isinstance(children, list) or not all(isinstance(child, int) for child in children):
        raise Damage("D713", "a node's children are no list of nodes")
    return children


def placing(node: dict[str, Any], index: int) -> dict[str, Any]:
    """A node's matrix, or its translation, rotation and scale."""
    where = f"nodes {index}: its"
    if "matrix" in node:
        return {"matrix": decimals(node["matrix"], 16, f"{where} matrix")}
    kept = {name: decimals(node[name], count, f"{where} {name}")
            for name, count in (("translation", 3), ("rotation", 4), ("scale", 3)) if name in node}  # fmt: skip
    if "rotation" in kept and not 1e-6 < sum(value * value for value in kept["rotation"]) < 1e12:
        raise Damage("D713", f"{where} rotation is no quaternion")
    return kept


def said(value: Any) -> str:
    """A value of the file, for a message."""
    return ascii(value)[:24] if isinstance(value, int | float | str | None) else f"a {type(value).__name__}"


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
