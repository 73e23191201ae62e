"""STL, binary and as text: triangles, each with its own three corners."""

from __future__ import annotations

import numpy as np

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, bad_line, check_count, check_room, shown, text_lines
from vlcli_pointclouds.readers.gather import Rows
from vlcli_pointclouds.shape import Floats, Shape

HEADER_BYTES, TRIANGLE_BYTES = 84, 50
TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(content: Content) -> Shape:
    """The triangles. A file that begins with `solid` is text, unless its length is just that of a binary one."""
    data = content.data
    announced = int.from_bytes(data[80:HEADER_BYTES], "little") if len(data) >= HEADER_BYTES else 0
    exact = len(data) >= HEADER_BYTES and len(data) == HEADER_BYTES + TRIANGLE_BYTES * announced
    if data.lstrip()[:5].lower() == b"solid" and not exact:
        return soup(text_corners(content), content, "STL text")
    if len(data) < HEADER_BYTES:
        raise VlcliError("D703", content.where, f"holds {len(data)} bytes, less than the header of an STL file",
                         "the file is cut short or of another kind")  # fmt: skip
    check_room(TRIANGLE_BYTES * announced, len(data) - HEADER_BYTES, f"{announced:,} triangles", content.where)
    check_count(announced, "triangles", content.where)
    corners = np.frombuffer(data, TRIANGLE, announced, HEADER_BYTES)["corners"]
    return soup(corners.reshape(-1, 3).astype(np.float64), content, "binary STL")


def soup(corners: Floats, content: Content, format: str) -> Shape:
    """Triangles that share no vertices: corners `[3F, 3]`."""
    if not len(corners):
        raise VlcliError("D704", content.where, "holds no triangles")
    return Shape(corners, np.arange(len(corners)).reshape(-1, 3), format=format)


def text_corners(content: Content) -> Floats:
    """The corners in a text, in the order of its `vertex` lines, three of them in each loop.

    Raises:
        VlcliError: D703 cut short, D709 for a line that does not belong there.
    """
    rows = Rows(content, "corners", columns=3)
    inside, ended = 0, False
    for number, line in text_lines(content):
        words = line.split()
        match words[0].lower():
            case b"vertex":
                rows.add(number, words[1:])
                inside += 1
                check_count(rows.count // 3, "triangles", content.where)
            case b"endloop":
                if inside != 3:
                    raise bad_line(content, number, f"a loop has {inside} vertices, a triangle has 3")
                inside = 0
            case b"endsolid":
                ended = True
            case b"solid" | b"facet" | b"outer" | b"endfacet" | b"color":
                ended = False
            case _:
                raise bad_line(content, number, f"{shown(words[0])} does not belong in an STL text")
    if inside or not ended:
        raise VlcliError("D703", content.where, "ends before its endsolid", "the file is cut short")
    return rows.array()
