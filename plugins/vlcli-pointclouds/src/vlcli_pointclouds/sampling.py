"""Points on shapes, drawn by a generator that the shape's content seeds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from vlcli_pointclouds.shape import Floats, Integers, Shape, Texture


@dataclass(frozen=True, eq=False)
class Drawn:
    """Sampled points `[N, 3]` and what goes with each; `face_colours [F, 3]` for drawing the mesh."""

    points: Floats
    normals: Floats | None = None
    colours: Floats | None = None
    face_colours: Floats | None = None
    notes: tuple[str, ...] = ()


def content_generator(shape: Shape) -> np.random.Generator:
    """A generator seeded by coordinates and triangles, so that a copy in another file is sampled alike."""
    hashed = hashlib.blake2b(np.ascontiguousarray(shape.vertices).tobytes(), digest_size=8)
    if shape.faces is not None:
        hashed.update(np.ascontiguousarray(shape.faces).tobytes())
    return np.random.default_rng(int.from_bytes(hashed.digest(), "little"))


def sample_points(shape: Shape, count: int) -> Drawn:
    """A cloud's own points in random order, at most `count`."""
    order = content_generator(shape).permutation(len(shape.vertices))[:count]
    normals: Floats | None = None
    notes: tuple[str, ...] = ()
    if shape.normals is not None:
        lengths = np.linalg.norm(shape.normals, axis=1, keepdims=True)
        if np.isfinite(lengths).all() and (lengths > 1e-12).all() and (lengths < 1e12).all():
            normals = (shape.normals / lengths)[order]
        else:
            notes = ("some normals are zero or not finite: all normals left out",)
    colours = None if shape.vertex_colours is None else shape.vertex_colours[order]
    return Drawn(shape.vertices[order], normals, colours, notes=notes)


def sample_mesh(shape: Shape, count: int) -> Drawn | None:
    """`count` points on the surface of a mesh, uniform by area; None when no triangle has an area."""
    assert shape.faces is not None
    scale = float(np.abs(shape.vertices).max()) or 1.0
    vertices = shape.vertices / scale  # products of coordinates neither overflow nor vanish
    first = vertices[shape.faces[:, 0]]
    along, across = vertices[shape.faces[:, 1]] - first, vertices[shape.faces[:, 2]] - first
    crossed = np.cross(along, across)
    areas = np.linalg.norm(crossed, axis=1)
    extent = float(np.ptp(vertices, axis=0).max())
    total = np.cumsum(areas)
    if not total[-1] > 1e-12 * extent * extent:
        return None
    random = content_generator(shape)
    chosen = np.minimum(np.searchsorted(total, random.random(count) * total[-1], side="right"), len(areas) - 1)
    chosen = np.where(areas[chosen] > 0, chosen, int(np.argmax(areas)))
    # Uniform in the triangle: a point of the parallelogram beyond the diagonal is turned back into it.
    weights = random.random((count, 2))
    weights = np.where(weights.sum(axis=1, keepdims=True) > 1, 1 - weights, weights)
    points = first[chosen] + weights[:, :1] * along[chosen] + weights[:, 1:] * across[chosen]
    corners = np.column_stack([1 - weights.sum(axis=1), weights])
    return Drawn(
        points * scale,
        crossed[chosen] / areas[chosen][:, None],
        colours_at(shape, chosen, corners),
        colours_at(shape, np.arange(len(areas)), np.full((1, 3), 1 / 3)),
    )


def colours_at(shape: Shape, chosen: Integers, corners: Floats) -> Floats | None:
    """Colours `[N, 3]` at barycentric weights `corners` ([N, 3] or [1, 3]) of triangles; None for a shape without."""
    assert shape.faces is not None
    if shape.vertex_colours is None and shape.face_colours is None and not shape.textures:
        return None
    colours = np.ones((len(chosen), 3))
    if shape.vertex_colours is not None:
        colours = np.einsum("nk,nkc->nc", np.broadcast_to(corners, (len(chosen), 3)),
                            shape.vertex_colours[shape.faces[chosen]])  # fmt: skip
    if shape.face_colours is not None:
        colours = colours * shape.face_colours[chosen]
    for texture in shape.textures:
        colours = np.where(texture.faces[chosen][:, None], colours * texture_at(texture, chosen, corners), colours)
    return colours


def texture_at(texture: Texture, chosen: Integers, corners: Floats) -> Floats:
    """The picture's nearest pixels; it repeats outside of 0…1."""
    height, width = texture.picture.shape[:2]
    uv = np.einsum("nk,nkc->nc", np.broadcast_to(corners, (len(chosen), 3)), texture.uv[chosen])
    uv = np.nan_to_num(uv, posinf=0, neginf=0) % 1.0
    across = np.minimum((uv[:, 0] * width).astype(np.int64), width - 1)
    down = np.minimum((uv[:, 1] * height).astype(np.int64), height - 1)
    found: Floats = texture.picture[down, across] / 255.0
    return found
