"""What a file of points or of a mesh holds, before anything is sampled or scaled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Texture:
    """Colours of a mesh that lie in a picture.

    Attributes:
        uv: `[F, 3, 2]`, of each corner of each triangle, v downwards as in glTF; the pictures of a shape share it.
        picture: `[H, W, 3]` in 0…255.
        faces: `[F]` which triangles have it; the others keep the colours of the shape.
    """

    uv: Floats
    picture: NDArray[np.uint8]
    faces: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Shape:
    """Points, or a mesh of triangles, in the file's own units.

    Attributes:
        vertices: `[V, 3]`.
        faces: `[F, 3]` indices of vertices; None for points alone.
        normals: `[V, 3]` of the vertices, as the file states them.
        vertex_colours: `[V, 3]` in 0…1.
        face_colours: `[F, 3]` in 0…1; where both are given, the vertices' colours are multiplied by these.
        textures: pictures over some of the faces.
        format: of the file, for messages.
        notes: what was left out or changed while it was read.
    """

    vertices: Floats
    faces: Integers | None = None
    normals: Floats | None = None
    vertex_colours: Floats | None = None
    face_colours: Floats | None = None
    textures: tuple[Texture, ...] = ()
    format: str = ""
    notes: tuple[str, ...] = ()
