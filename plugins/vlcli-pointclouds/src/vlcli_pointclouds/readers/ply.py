"""PLY, as text and binary of both byte orders: plyfile parses it.

plyfile allocates what a header announces (24 GB for one of 115 bytes), so the header is compared with the bytes that
are there first. Source: Greg Turk, The PLY Polygon File Format (1994).
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from plyfile import PlyData, PlyElementParseError, PlyListProperty, PlyParseError

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, bad_line, check_count, check_room, first_line, shown
from vlcli_pointclouds.readers.gather import Triangles, colours_of, whole_number
from vlcli_pointclouds.shape import Floats, Shape

SIZES = {"char": 1, "int8": 1, "uchar": 1, "uint8": 1, "short": 2, "int16": 2, "ushort": 2, "uint16": 2, "int": 4,
         "int32": 4, "uint": 4, "uint32": 4, "float": 4, "float32": 4, "double": 8, "float64": 8}  # fmt: skip
FLOATS = ("float", "float32", "double", "float64")
FORMATS = (b"ascii", b"binary_little_endian", b"binary_big_endian")
LONGEST_HEADER = 100_000
MOST_PROPERTIES = 1000
CORNERS = ("vertex_indices", "vertex_index")

# numpy's remarks on a damaged row; the row is refused.
warnings.filterwarnings("ignore", message="loadtxt: input contained no data", category=UserWarning)


@dataclass
class Announced:
    """A table of the header: its name, rows, properties, and the least bytes of a row."""

    name: str
    count: int
    properties: int = 0
    row: int = 0


def read_ply(content: Content) -> Shape:
    """Points (`x y z`, with `nx ny nz` and `red green blue`), and the triangles of the faces where there are any."""
    text = check_header(content)
    elements = {element.name: element for element in reversed(parse(content).elements)}
    if "vertex" not in elements:
        raise VlcliError("D704", content.where, "has no vertices", f"it holds {', '.join(elements)[:80] or 'nothing'}")
    vertex, triangles = elements["vertex"], Triangles(content)
    vertices = three(vertex, ("x",), ("y",), ("z",))
    if vertices is None:
        raise VlcliError("D704", content.where, "its vertices have no x, y and z")
    face_colours = add_faces(elements["face"], triangles, content) if "face" in elements else None
    faces = triangles.array()
    return Shape(
        vertices, faces,
        normals=three(vertex, ("nx", "normal_x"), ("ny", "normal_y"), ("nz", "normal_z")),
        vertex_colours=colours(vertex),
        face_colours=triangles.spread(face_colours) if face_colours is not None and faces is not None else None,
        format="PLY text" if text else "binary PLY",
        notes=(*triangles.notes(), *(("triangle strips left out",) if "tristrips" in elements else ())),
    )  # fmt: skip


def parse(content: Content) -> PlyData:
    """What plyfile reads; it maps a file whose faces are all triangles, and goes through others row by row.

    Raises:
        VlcliError: D709 for a value that is none, D703 for a file that is cut short.
    """
    known = {"face": dict.fromkeys(CORNERS, 3) | {"texcoord": 6}}
    try:
        if content.packed:
            return PlyData.read(io.BytesIO(content.data))
        try:
            return PlyData.read(str(content.path), known_list_len=known)
        except (PlyElementParseError, KeyError):  # faces of other sizes
            return PlyData.read(io.BytesIO(content.data))
    except PlyParseError as error:
        cut = "early end-of-file" in str(error)
        raise VlcliError("D703" if cut else "D709", content.where, first_line(error), "the file is damaged") from error
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, UnicodeDecodeError, OSError,
            AssertionError) as error:  # fmt: skip
        raise VlcliError(
            "D709", content.where, f"can not be read ({first_line(error)})", "the file is damaged"
        ) from error


def check_header(content: Content) -> bool:
    """Compare what the header announces with the bytes that are there; whether the file is text.

    Raises:
        VlcliError: D701 no PLY, D702 more rows than are read, D703 more than the file holds or cut short, D709 a line
            that does not belong in a header, D710 an unknown format.
    """
    start = content.data[:LONGEST_HEADER]
    if not start.startswith(b"ply") or start[3:4] not in (b"\n", b"\r"):
        raise VlcliError("D701", content.where, "does not begin with ply", "it is damaged or of another kind")
    end = start.find(b"end_header")
    if end < 0:
        raise VlcliError("D703", content.where, "has no end_header", "the file is cut short or damaged")
    kind: bytes | None = None
    tables: list[Announced] = []
    for number, line in enumerate(start[:end].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), start=1):
        match line.split():
            case [] | [b"ply"] | [b"comment" | b"obj_info", *_]:
                continue
            case [b"format", name, b"1.0"] if name in FORMATS:
                kind = name
            case [b"format", *_]:
                raise VlcliError("D710", content.where, f"line {number}: this PLY format is unknown",
                                 f"known: {', '.join(name.decode() for name in FORMATS)}, each 1.0")  # fmt: skip
            case [b"element", name, count]:
                announced = whole_number(content, number, count, "a number of rows")
                if announced < 0:
                    raise bad_line(content, number, "a number of rows is negative")
                tables.append(Announced(ascii(name.decode("latin-1"))[1:-1][:24], announced))
            case [b"property", *rest] if tables:
                add_property(content, number, rest, tables[-1], text=kind == b"ascii")
            case _:
                raise bad_line(content, number, f"{shown(line)} does not belong in a PLY header")
    if kind is None:
        raise VlcliError("D703", content.where, "its header names no format", "the file is damaged")
    needed = sum(table.row * table.count for table in tables)
    held = ", ".join(f"{table.count:,} × {table.name}" for table in tables[:8])
    check_room(
        needed - (kind == b"ascii" and needed > 0), len(content.data) - end - len(b"end_header\n"), held, content.where
    )
    for table in tables:
        check_count(table.count, f"rows of {table.name}", content.where)
    return kind == b"ascii"


def add_property(content: Content, number: int, words: list[bytes], table: Announced, *, text: bool) -> None:
    """One property: its least bytes in a row, which are a digit and a space in text."""
    match [word.decode("latin-1") for word in words]:
        case ["list", length, kind, _] if length in SIZES and kind in SIZES and length not in FLOATS:
            size = SIZES[length]
        case [kind, _] if kind in SIZES:
            size = SIZES[kind]
        case _:
            raise bad_line(content, number, f"{shown(b' '.join(words))} is no property")
    table.row += 2 if text else size
    table.properties += 1
    if table.properties > MOST_PROPERTIES:
        raise bad_line(content, number, f"more than {MOST_PROPERTIES:,} properties")


def three(element: Any, *names: tuple[str, ...]) -> Floats | None:
    """Three plain columns `[N, 3]`, each under one of its names; None where one is missing."""
    plain = {column.name for column in element.properties if not isinstance(column, PlyListProperty)}
    found = [next((name for name in choices if name in plain), None) for choices in names]
    if None in found:
        return None
    return np.stack([np.asarray(element[name], dtype=np.float64) for name in found], axis=1)


def colours(element: Any) -> Floats | None:
    """Colours `[N, 3]` in 0…1."""
    values = three(element, ("red", "r", "diffuse_red"), ("green", "g", "diffuse_green"), ("blue", "b", "diffuse_blue"))
    if values is None:
        return None
    red = next(name for name in ("red", "r", "diffuse_red") if name in element.data.dtype.names)
    return colours_of(values, element[red].dtype.kind in "iu")


def add_faces(element: Any, triangles: Triangles, content: Content) -> Floats | None:
    """Cut the faces into triangles; returns the faces' colours where they have any."""
    lists = {column.name for column in element.properties if isinstance(column, PlyListProperty)}
    name = next((name for name in CORNERS if name in lists), None)
    if name is None:
        return None
    corners = element[name]
    if corners.dtype == object:
        for polygon in corners:
            triangles.add(vertex_numbers(polygon, content).tolist())
    else:
        triangles.add_equal(vertex_numbers(corners, content))
    return colours(element)


def vertex_numbers(values: np.ndarray, content: Content) -> np.ndarray:
    """Numbers of vertices as 64-bit integers.

    Raises:
        VlcliError: D708 when one is no such number.
    """
    if values.dtype.kind == "f" and values.size and not (np.abs(values) < 2**53).all():
        wrong = values[~(np.abs(values) < 2**53)].flat[0]
        raise VlcliError("D708", content.where, f"a face names vertex {wrong:g}", "the file is damaged")
    return values.astype(np.int64)
