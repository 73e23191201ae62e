"""STL, binary and as text: trimesh parses it, after lengths and statements have been compared with each other.

trimesh itself takes a file that is cut short, or of another kind, as a mesh without triangles or with some.
"""

from __future__ import annotations

import re

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, bad_line, check_count, check_room, shown, text_lines
from vlcli_pointclouds.readers.scenes import parse_scene, shape_of_scene
from vlcli_pointclouds.shape import Shape

HEADER_BYTES, TRIANGLE_BYTES = 84, 50
STATEMENTS = frozenset((b"solid", b"facet", b"outer", b"vertex", b"endloop", b"endfacet", b"endsolid", b"color"))
NUMBER = rb"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|nan|inf)(?:e[-+]?[0-9]+)?"
VERTEX = re.compile(rb"vertex\s+%b\s+%b\s+%b" % (NUMBER, NUMBER, NUMBER), re.IGNORECASE)


def read_stl(content: Content) -> Shape:
    """The triangles. A file that begins with `solid` is text, unless its length is just that of a binary one."""
    data = content.data
    announced = int.from_bytes(data[80:HEADER_BYTES], "little") if len(data) >= HEADER_BYTES else 0
    exact = len(data) >= HEADER_BYTES and len(data) == HEADER_BYTES + TRIANGLE_BYTES * announced
    if data.lstrip()[:5].lower() == b"solid" and not exact:
        check_text(content)
        return shape_of_scene(parse_scene(data.replace(b"\r", b"\n"), "stl", {}, content), content, "STL text")
    if len(data) < HEADER_BYTES:
        raise VlcliError("D703", content.where, f"holds {len(data)} bytes, less than the header of an STL file",
                         "the file is cut short or of another kind")  # fmt: skip
    check_room(TRIANGLE_BYTES * announced, len(data) - HEADER_BYTES, f"{announced:,} triangles", content.where)
    check_count(announced, "triangles", content.where)
    whole = data[: HEADER_BYTES + TRIANGLE_BYTES * announced]  # some programs append what nothing reads
    return shape_of_scene(parse_scene(whole, "stl", {}, content), content, "binary STL")


def check_text(content: Content) -> None:
    """Statements that may stand in an STL text, three vertices in each loop, and an end.

    Raises:
        VlcliError: D703 cut short, D704 no triangles, D709 for a line that does not belong there.
    """
    inside, loops, ended = 0, 0, False
    for number, line in text_lines(content, comment=None):
        word = line.split()[0].lower()
        if word not in STATEMENTS:
            raise bad_line(content, number, f"{shown(word)} does not belong in an STL text")
        if word == b"vertex":
            if not VERTEX.fullmatch(line):
                raise bad_line(content, number, f"{shown(line)} … has no three numbers")
            inside += 1
        elif word == b"endloop":
            if inside != 3:
                raise bad_line(content, number, f"a loop has {inside} vertices, a triangle has 3")
            inside, loops = 0, loops + 1
            check_count(loops, "triangles", content.where)
        ended = word == b"endsolid"
    if inside or not ended:
        raise VlcliError("D703", content.where, "ends before its endsolid", "the file is cut short")
    if not loops:
        raise VlcliError("D704", content.where, "holds no triangles")
