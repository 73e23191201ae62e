"""PLY, as text and binary of both byte orders.

Read here: plyfile is under the GPL, allocates what a header announces (24 GB for one of 115 bytes) and takes ten times
as long for a binary mesh; trimesh reads a text that is cut off as if it were whole, and drops the normals of clouds.
The header is read first; what it announces is compared with the bytes that are there before anything is allocated.
Source: Greg Turk, The PLY Polygon File Format (1994).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, bad_line, check_count, check_room, shown, text_lines
from vlcli_pointclouds.readers.gather import Rows, Triangles, colours_of, numbers, whole_number
from vlcli_pointclouds.readers.ply_binary import Column, Lists, Table, Values, read_columns
from vlcli_pointclouds.shape import Floats, Shape

TYPES = {"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
         "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
         "double": "f8", "float64": "f8"}  # fmt: skip
FORMATS = {b"ascii": "", b"binary_little_endian": "<", b"binary_big_endian": ">"}
LONGEST_HEADER = 100_000
MOST_PROPERTIES = 1000
CORNERS = ("vertex_indices", "vertex_index")
STRIPS = "tristrips"


@dataclass
class Element:
    """A table of the file: its name, how many rows are announced, its columns."""

    name: str
    count: int
    columns: list[Column]

    @property
    def said(self) -> str:
        """Its name, as messages write it."""
        return ascii(self.name)[1:-1][:24]

    def find(self, *names: str) -> int | None:
        """The place of the first column of these names."""
        held = [column.name for column in self.columns]
        return next((held.index(name) for name in names if name in held), None)


@dataclass(frozen=True)
class Header:
    """What a PLY header says. `order`: `<`, `>`, or empty for text; the body begins at `start`."""

    order: str
    elements: list[Element]
    start: int


def read_ply(content: Content) -> Shape:
    """Points (`x y z`, with `nx ny nz` and `red green blue`), and the triangles of the faces where there are any."""
    header = read_header(content)
    check_announced(header, content)
    if not any(element.name == "vertex" for element in header.elements):
        raise VlcliError("D704", content.where, "has no vertices", f"it holds {names_of(header)}")
    format = "binary PLY" if header.order else "PLY text"
    points: Shape | None = None
    triangles, notes = Triangles(content), list[str]()
    face_colours: Floats | None = None
    for element, values in tables(content, header):
        if element.name == "vertex" and points is None:
            points = points_of(element, values, content)
        elif element.name == "face":
            face_colours = add_faces(element, values, triangles, content)
        elif element.name == STRIPS and element.count:
            notes.append("triangle strips left out")
    assert points is not None
    faces = triangles.array()
    return Shape(points.vertices, faces, points.normals, points.vertex_colours,
                 triangles.spread(face_colours) if face_colours is not None and faces is not None else None,
                 format=format, notes=(*notes, *triangles.notes()))  # fmt: skip


def names_of(header: Header) -> str:
    """The tables of a file, for a message."""
    return ", ".join(f"{element.count:,} × {element.said}" for element in header.elements[:8]) or "nothing"


def read_header(content: Content) -> Header:
    """The header.

    Raises:
        VlcliError: D701 no PLY, D703 cut short, D709 for a line that does not belong in it, D710 an unknown format.
    """
    start = content.data[:LONGEST_HEADER]
    if not start.startswith(b"ply") or start[3:4] not in (b"\n", b"\r"):
        raise VlcliError("D701", content.where, "does not begin with ply", "it is damaged or of another kind")
    end = start.find(b"end_header")
    if end < 0:
        raise VlcliError("D703", content.where, "has no end_header", "the file is cut short or damaged")
    order: str | None = None
    elements: list[Element] = []
    for number, line in enumerate(start[:end].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), start=1):
        words = line.split()
        match words:
            case [] | [b"ply"] | [b"comment" | b"obj_info", *_]:
                continue
            case [b"format", kind, b"1.0"] if kind in FORMATS:
                order = FORMATS[kind]
            case [b"format", *_]:
                raise VlcliError("D710", content.where, f"line {number}: this PLY format is unknown",
                                 f"known: {', '.join(name.decode() for name in FORMATS)}, each 1.0")  # fmt: skip
            case [b"element", name, count]:
                announced = whole_number(content, number, count, "a number of rows")
                if announced < 0:
                    raise bad_line(content, number, "a number of rows is negative")
                elements.append(Element(name.decode("latin-1"), announced, []))
            case [b"property", *rest] if elements:
                elements[-1].columns.append(column_of(content, number, rest))
                if len(elements[-1].columns) > MOST_PROPERTIES:
                    raise bad_line(content, number, f"more than {MOST_PROPERTIES:,} properties")
            case _:
                raise bad_line(content, number, f"{shown(line)} does not belong in a PLY header")
    if order is None:
        raise VlcliError("D703", content.where, "its header names no format", "the file is damaged")
    return Header(order, elements, after_line(content.data, end + len(b"end_header")))


def after_line(data: bytes, place: int) -> int:
    """Where the next line begins."""
    if data[place : place + 2] == b"\r\n":
        return place + 2
    return min(place + 1, len(data))


def column_of(content: Content, number: int, words: list[bytes]) -> Column:
    """One property of a header."""
    texts = [word.decode("latin-1") for word in words]
    match texts:
        case ["list", count, kind, name] if count in TYPES and kind in TYPES and TYPES[count][0] != "f":
            return Column(name, TYPES[kind], TYPES[count])
        case [kind, name] if kind in TYPES:
            return Column(name, TYPES[kind])
    raise bad_line(content, number, f"{shown(b' '.join(words))} is no property")


def check_announced(header: Header, content: Content) -> None:
    """Compare the rows announced with the bytes that are there.

    Raises:
        VlcliError: D702 more rows than are read, D703 more than the file can hold.
    """
    needed = 0
    for element in header.elements:
        if header.order:
            row = sum(np.dtype(column.length or column.kind).itemsize for column in element.columns)
        else:
            row = 2 * len(element.columns)  # a digit and a space or end of line
        needed += row * element.count
    announced = names_of(header)
    check_room(needed - (not header.order and needed > 0), len(content.data) - header.start, announced, content.where)
    for element in header.elements:
        check_count(element.count if element.columns else 0, f"rows of {element.said}", content.where)


def tables(content: Content, header: Header) -> Iterator[tuple[Element, list[Values]]]:
    """Each table with its columns."""
    place = header.start
    lines = text_lines(content, comment=None, start=place) if not header.order else None
    for element in header.elements:
        if not element.columns:
            continue
        if lines is None:
            table = Table(element.said, element.columns, element.count)
            values, place = read_columns(content, table, header.order, place)
            yield element, values
        else:
            yield element, text_columns(content, element, lines)


def text_columns(content: Content, element: Element, lines: Iterator[tuple[int, bytes]]) -> list[Values]:
    """The rows of a table in text."""
    plain = not any(column.length for column in element.columns)
    rows = Rows(content, f"rows of {element.said}", columns=len(element.columns))
    flat = [array("d") for _ in element.columns]
    lengths = [array("q") for _ in element.columns]
    for row in range(element.count):
        number, line = next(lines, (0, b""))
        if not line:
            raise VlcliError("D703", content.where, f"ends before row {row + 1:,} of {element.count:,} {element.said}",
                             "the file is cut short")  # fmt: skip
        words = line.split()
        if plain:
            rows.add(number, words)
            continue
        values = numbers(content, number, words)
        place = 0
        for index, column in enumerate(element.columns):
            length = 1
            if column.length:
                length = whole_number(content, number, words[place] if place < len(words) else b"", "a length")
                place += 1
            if not 0 <= length <= len(words) - place:
                raise bad_line(content, number, f"has {len(words) - place} numbers where {length:,} belong")
            flat[index].extend(values[place : place + length])
            lengths[index].append(length)
            place += length
        if place != len(words):
            raise bad_line(content, number, f"has {len(words) - place} numbers too many")
    if plain:
        return list(rows.array().T)
    return [Lists(np.array(values), np.array(counts)) if column.length else np.array(values)
            for column, values, counts in zip(element.columns, flat, lengths, strict=True)]  # fmt: skip


def points_of(element: Element, values: list[Values], content: Content) -> Shape:
    """Coordinates, normals and colours of the vertices."""

    def three(*names: tuple[str, ...]) -> Floats | None:
        places = [element.find(*choices) for choices in names]
        if None in places or any(element.columns[place].length for place in places if place is not None):
            return None
        return np.stack([np.asarray(values[place], dtype=np.float64) for place in places if place is not None], axis=1)

    vertices = three(("x",), ("y",), ("z",))
    if vertices is None:
        held = ", ".join(ascii(column.name)[1:-1][:20] for column in element.columns[:8])
        raise VlcliError("D704", content.where, "its vertices have no x, y and z", f"they have {held or 'nothing'}")
    colours = three(("red", "r", "diffuse_red"), ("green", "g", "diffuse_green"), ("blue", "b", "diffuse_blue"))
    return Shape(
        vertices,
        normals=three(("nx", "normal_x"), ("ny", "normal_y"), ("nz", "normal_z")),
        vertex_colours=None if colours is None else colours_of(colours, whole_colours(element)),
    )


def whole_colours(element: Element) -> bool:
    """Whether the red of a table is an integer."""
    place = element.find("red", "r", "diffuse_red")
    return place is not None and element.columns[place].kind[0] in "iu"


def add_faces(element: Element, values: list[Values], triangles: Triangles, content: Content) -> Floats | None:
    """Cut the faces into triangles; returns the faces' colours where they have any."""
    place = element.find(*CORNERS)
    if place is None or not element.columns[place].length:
        return None
    corners = values[place]
    if isinstance(corners, Lists):
        start, named = 0, vertex_numbers(corners.flat, content).tolist()
        for length in corners.lengths.tolist():
            triangles.add(named[start : start + length])
            start += length
    else:
        triangles.add_equal(vertex_numbers(corners, content))
    places = [element.find(name) for name in ("red", "green", "blue")]
    if None in places or any(element.columns[one].length for one in places if one is not None):
        return None
    colours = np.stack([np.asarray(values[one], dtype=np.float64) for one in places if one is not None], axis=1)
    return colours_of(colours, whole_colours(element))


def vertex_numbers(values: np.ndarray, content: Content) -> np.ndarray:
    """Numbers of vertices as 64-bit integers.

    Raises:
        VlcliError: D708 when one is no such number.
    """
    if values.dtype.kind == "f" and values.size and not (np.abs(values) < 2**53).all():
        wrong = values[~(np.abs(values) < 2**53)].flat[0]
        raise VlcliError("D708", content.where, f"a face names vertex {wrong:g}", "the file is damaged")
    return values.astype(np.int64)
