"""Wavefront OBJ: vertices with their colours, faces of any size, and the materials beside it.

Read here and not by trimesh, which counts references from the end from the end of the whole file (of two squares, each
written with its face, it makes the second twice), takes vertex 0 for the first, and any other text for an empty scene.
A material library or a picture that is missing or broken costs the colours, never the shape.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, bad_line, check_count, shown, text_lines
from vlcli_pointclouds.readers.gather import Rows, Triangles, colours_of, numbers, whole_number
from vlcli_pointclouds.readers.materials import Materials, read_materials
from vlcli_pointclouds.shape import Floats, Shape, Texture

IGNORED = {b"g", b"o", b"s", b"vp", b"mg", b"lod", b"bevel", b"usemap", b"maplib", b"shadow_obj", b"trace_obj",
           b"c_interp", b"d_interp"}  # fmt: skip
CURVES = {b"cstype", b"deg", b"bmat", b"step", b"curv", b"curv2", b"surf", b"parm", b"trim", b"hole", b"scrv", b"sp",
          b"end", b"con", b"ctech", b"stech", b"l", b"p"}  # fmt: skip
"""Statements that are no triangles: curves, surfaces, lines and single points."""
WHITE = (1.0, 1.0, 1.0)


class ObjText:
    """What has been read of the text so far."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.points = array("d")
        self.colours = array("d")
        self.normals = Rows(content, "normals", columns=3)
        self.uv = array("d")
        self.triangles = Triangles(content)
        self.uv_corners = array("q")
        self.materials: list[int] = []
        self.material = -1
        self.names: dict[bytes, int] = {}
        self.libraries: list[str] = []
        self.left_out = 0

    def line(self, number: int, words: Sequence[bytes]) -> None:
        """Take one statement."""
        match words[0]:
            case b"v":
                self.vertex(number, numbers(self.content, number, words[1:]))
            case b"f":
                self.face(number, words[1:])
            case b"vn":
                self.normals.add(number, words[1:4])
            case b"vt":
                values = numbers(self.content, number, words[1:3])
                self.uv.extend((values[0] if values else 0.0, values[1] if len(values) > 1 else 0.0))
            case b"usemtl":
                self.material = self.names.setdefault(b" ".join(words[1:]), len(self.names))
            case b"mtllib":
                self.libraries.append(b" ".join(words[1:]).decode("utf-8", "replace"))
            case word if word in CURVES:
                self.left_out += 1
            case word if word not in IGNORED:
                raise bad_line(self.content, number, f"{shown(word)} does not belong in an OBJ text")

    def vertex(self, number: int, values: list[float]) -> None:
        """`x y z`, with `w`, or with `r g b`."""
        if not 3 <= len(values) <= 8:
            raise bad_line(self.content, number, f"a vertex has {len(values)} numbers, not 3 (or 6 with its colour)")
        self.points.extend(values[:3])
        if len(values) >= 6:
            self.colours.extend(values[3:6])
        if not len(self.points) & 0xFFFF:
            check_count(len(self.points) // 3, "vertices", self.content.where)

    def face(self, number: int, words: Sequence[bytes]) -> None:
        """Corners `v`, `v/vt`, `v//vn` or `v/vt/vn`, counted from 1, or from the end when negative."""
        corners, uv = [], []
        for word in words:
            parts = word.split(b"/")
            corners.append(self.place(number, parts[0], len(self.points) // 3, "a vertex"))
            has_uv = len(parts) > 1 and parts[1]
            uv.append(self.place(number, parts[1], len(self.uv) // 2, "a texture vertex") if has_uv else -1)
        made = self.triangles.add(corners)
        self.materials.append(self.material)
        for corner in range(made):
            self.uv_corners.extend((uv[0], uv[corner + 1], uv[corner + 2]))

    def place(self, number: int, word: bytes, count: int, what: str) -> int:
        """A reference as an index from 0."""
        index = whole_number(self.content, number, word, what)
        if index == 0:
            raise bad_line(self.content, number, f"names {what} 0; they are counted from 1")
        place = index - 1 if index > 0 else count + index
        if place < 0:
            raise bad_line(self.content, number, f"names {what} {index:,} of {count:,} before it")
        return place


def read_obj(content: Content) -> Shape:
    """The mesh in an OBJ text, or its vertices where it has no faces."""
    text = ObjText(content)
    for number, words in joined_lines(content):
        text.line(number, words)
    vertices = np.array(text.points).reshape(-1, 3)
    check_count(len(vertices), "vertices", content.where)
    if not len(vertices):
        raise VlcliError("D704", content.where, "holds no vertices", "it is empty, cut short or of another kind")
    faces = text.triangles.array()
    notes = list(text.triangles.notes())
    if text.left_out:
        notes.append(f"{text.left_out:,} lines, points, curves and surfaces left out")
    normals = text.normals.array()
    materials = Materials()
    if faces is not None and text.libraries and text.names:
        materials = read_materials(content, text.libraries)
        notes += materials.notes
    face_colours, textures = material_colours(text, materials)
    return Shape(
        vertices,
        faces,
        normals=normals if faces is None and len(normals) == len(vertices) else None,
        vertex_colours=colours_of(np.array(text.colours).reshape(-1, 3))
        if len(text.colours) == vertices.size
        else None,
        face_colours=face_colours,
        textures=textures,
        format="OBJ",
        notes=tuple(notes),
    )


def joined_lines(content: Content) -> Iterator[tuple[int, list[bytes]]]:
    """Statements in words; one that ends in a backslash goes on in the next line."""
    held: list[bytes] = []
    for number, line in text_lines(content):
        if line.endswith(b"\\"):
            held += line[:-1].split()
            continue
        yield number, [*held, *line.split()] if held else line.split()
        held = []


def material_colours(text: ObjText, materials: Materials) -> tuple[Floats | None, tuple[Texture, ...]]:
    """Colours `[F, 3]` of the faces by their materials, and the pictures over them."""
    known = [materials.known.get(name) for name in text.names]
    if not any(known):
        return None, ()
    table = np.array([one.colour if one else WHITE for one in known] + [WHITE])
    of_faces = text.triangles.spread(np.array(text.materials, dtype=np.int64))
    corners = np.array(text.uv_corners, dtype=np.int64).reshape(-1, 3)
    uv = np.array(text.uv).reshape(-1, 2)
    usable = np.all((corners >= 0) & (corners < len(uv)), axis=1)
    placed: Floats | None = None
    textures = []
    for index, one in enumerate(known):
        if one is None or one.picture is None:
            continue
        covered = usable & (of_faces == index)
        if covered.any():
            if placed is None:
                placed = (uv * [1, -1] + [0, 1])[np.where(usable[:, None], corners, 0)]
            textures.append(Texture(placed, one.picture, covered))
    return table[of_faces], tuple(textures)
