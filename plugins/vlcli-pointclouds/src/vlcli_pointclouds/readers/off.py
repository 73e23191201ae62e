"""OFF, as ModelNet and Geomview write it: `OFF`, `COFF`, `NOFF`, `STOFF` and their combinations.

Read here and not by trimesh, which takes 19 bytes of memory for each byte of such a text (693 MiB for a million
triangles; here 111), reads a file whose faces are cut off as if it were whole, and leaves colours out.
Source: the manual of Geomview, section "OFF Files". ModelNet40 glues the keyword to the counts (`OFF490 518 0`).
"""

from __future__ import annotations

import re

import numpy as np

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, bad_line, check_count, check_room, text_lines
from vlcli_pointclouds.readers.gather import Rows, Triangles, colours_of, numbers, whole_number
from vlcli_pointclouds.shape import Shape

KEYWORD = re.compile(rb"(ST)?(C)?(N)?(4)?(n)?OFF(.*)", re.DOTALL)
VERTEX_BYTES, FACE_BYTES = 6, 4
"""The shortest `0 0 0` and `1 0`, each with its end of line; one byte less for the last."""


def read_off(content: Content) -> Shape:
    """The mesh in an OFF text."""
    lines = text_lines(content)
    number, first = next(lines, (0, b""))
    found = KEYWORD.fullmatch(first)
    if not found:
        raise VlcliError("D701", content.where, "does not begin with OFF", "it is damaged or of another kind")
    _, coloured, normals, four, dimensions, rest = found.groups()
    if four or dimensions or b"BINARY" in rest.upper().split():
        raise VlcliError(
            "D710", content.where, "is OFF of four or more dimensions, or binary OFF", "save it as plain OFF"
        )
    if not rest.strip():
        number, rest = next(lines, (number, b""))
    words = rest.split()
    if len(words) < 2:
        raise bad_line(content, number, "the numbers of vertices and faces are missing")
    vertices, faces = (whole_number(content, number, word, "a count") for word in words[:2])
    if min(vertices, faces) < 0:
        raise bad_line(content, number, "a count is negative")
    check_room(VERTEX_BYTES * vertices + FACE_BYTES * faces - 1, len(content.data),
               f"{vertices:,} vertices and {faces:,} faces", content.where)  # fmt: skip
    check_count(vertices, "vertices", content.where)
    check_count(faces, "faces", content.where)
    rows = Rows(content, "vertices")
    for _ in range(vertices):
        number, line = next(lines, (0, b""))
        rows.add(*told(content, number, line, f"vertex {rows.count + 1:,} of {vertices:,}"))
    values = rows.array()
    if vertices and values.shape[1] < 3:
        raise bad_line(content, number, f"a vertex has {values.shape[1]} numbers, not 3")
    triangles = Triangles(content)
    face_colours: list[list[float]] = []
    for face in range(faces):
        number, line = next(lines, (0, b""))
        number, words = told(content, number, line, f"face {face + 1:,} of {faces:,}")
        corners = whole_number(content, number, words[0], "a count of corners")
        if not 0 < corners < len(words):
            raise bad_line(content, number, f"announces {corners:,} corners and names {len(words) - 1:,}")
        triangles.add([whole_number(content, number, word, "a vertex") for word in words[1 : corners + 1]])
        colour = words[corners + 1 : corners + 4]
        if len(colour) == 3:
            face_colours.append(numbers(content, number, colour))
    start = 6 if normals else 3
    return Shape(
        vertices=values[:, :3],
        faces=triangles.array(),
        normals=values[:, 3:6] if normals and values.shape[1] >= 6 else None,
        vertex_colours=colours_of(values[:, start : start + 3]) if coloured and values.shape[1] >= start + 3 else None,
        face_colours=colours_of(triangles.spread(np.array(face_colours))) if len(face_colours) == faces > 0 else None,
        format="OFF",
        notes=triangles.notes(),
    )


def told(content: Content, number: int, line: bytes, what: str) -> tuple[int, list[bytes]]:
    """A line in words, or the refusal of a text that ended before it."""
    if not line:
        raise VlcliError("D703", content.where, f"ends before {what}", "the file is cut short")
    return number, line.split()
