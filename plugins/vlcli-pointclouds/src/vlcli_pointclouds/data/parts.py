"""Parametric parts that objects of the shapes world are put together from. Y is up; units are arbitrary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
ROUND = 20
"""Corners of a circle."""


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh in one paint.

    Attributes:
        vertices: `[V, 3]`.
        faces: `[F, 3]`.
        paint: `main` (the object's colour) or one of `shapes.PAINTS`.
    """

    vertices: Floats
    faces: Integers
    paint: str = "main"

    def move(self, x: float = 0, y: float = 0, z: float = 0) -> Part:
        """Moved by a vector."""
        return replace(self, vertices=self.vertices + np.array([x, y, z]))

    def scale(self, x: float = 1, y: float = 1, z: float = 1) -> Part:
        """Scaled about the origin; a negative factor mirrors."""
        faces = self.faces[:, ::-1] if x * y * z < 0 else self.faces
        return replace(self, vertices=self.vertices * np.array([x, y, z]), faces=faces)

    def turn(self, axis: str, degrees: float) -> Part:
        """Turned about the x, y or z axis, anticlockwise when that axis points at the viewer."""
        return replace(self, vertices=self.vertices @ rotation(axis, degrees).T)

    def painted(self, paint: str) -> Part:
        """In another paint."""
        return replace(self, paint=paint)


Parts = list[Part]


def rotation(axis: str, degrees: float) -> Floats:
    """A rotation matrix `[3, 3]`."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def grid(points: Floats, wrap_rows: bool = False, wrap_columns: bool = True) -> Part:
    """A surface over rows of points `[R, C, 3]`; `wrap_columns` closes every row, `wrap_rows` joins last and first."""
    rows, columns = points.shape[:2]
    down = np.arange(rows if wrap_rows else rows - 1)
    across = np.arange(columns if wrap_columns else columns - 1)
    first = (down[:, None] * columns + across[None]).ravel()
    right = (down[:, None] * columns + (across[None] + 1) % columns).ravel()
    below = (((down[:, None] + 1) % rows) * columns + across[None]).ravel()
    corner = (((down[:, None] + 1) % rows) * columns + (across[None] + 1) % columns).ravel()
    faces = np.concatenate([np.stack([first, below, corner], 1), np.stack([first, corner, right], 1)])
    return Part(points.reshape(-1, 3).astype(np.float64), faces)


def lathe(profile: Sequence[tuple[float, float]], sections: int = ROUND) -> Part:
    """A solid of revolution about the y axis from `(radius, height)` pairs; a radius of 0 closes it."""
    angles = np.linspace(0, 2 * np.pi, sections, endpoint=False)
    radii, heights = np.array(profile, np.float64).T
    points = np.stack(
        [radii[:, None] * np.sin(angles), np.repeat(heights[:, None], sections, 1), radii[:, None] * np.cos(angles)],
        axis=-1,
    )
    return grid(points[::-1])


def block(width: float, height: float, depth: float, x: float = 0, y: float = 0, z: float = 0) -> Part:
    """A box on its base: centred on x and z, from `y` to `y + height`."""
    corners = np.array([[i, j, k] for i in (-0.5, 0.5) for j in (0.0, 1.0) for k in (-0.5, 0.5)])
    faces = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                      [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])  # fmt: skip
    return Part(corners * np.array([width, height, depth]) + np.array([x, y, z]), faces)


def rod(radius: float, height: float, top: float | None = None, sections: int = ROUND) -> Part:
    """A cylinder or, with another radius at the top, a frustum, on its base."""
    above = radius if top is None else top
    return lathe([(0, 0), (radius, 0), (above, height), (0, height)], sections)


def ball(radius: float, sections: int = ROUND) -> Part:
    """A sphere about the origin."""
    lift = np.linspace(-np.pi / 2, np.pi / 2, sections // 2 + 1)
    return lathe([(radius * max(float(np.cos(a)), 0.0), radius * float(np.sin(a))) for a in lift], sections)


def dome(radius: float, sections: int = ROUND) -> Part:
    """The upper half of a sphere, closed below."""
    lift = np.linspace(0, np.pi / 2, sections // 4 + 2)
    return lathe([(0, 0), *[(radius * max(float(np.cos(a)), 0.0), radius * float(np.sin(a))) for a in lift]], sections)


def pipe(
    path: Sequence[Sequence[float]] | Floats, radius: float | Sequence[float], closed: bool = False, sections: int = 8
) -> Part:
    """A round pipe along points `[P, 3]`, its ends capped unless it is closed; `radius` may be one for each point."""
    points = np.asarray(path, np.float64)
    if closed:
        tangents = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
    else:
        tangents = np.gradient(points, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    # The frame is carried along the path, so that the pipe does not twist.
    side = np.cross(tangents[0], [0.0, 1.0, 0.0] if abs(tangents[0, 1]) < 0.9 else [1.0, 0.0, 0.0])
    radii = np.broadcast_to(np.asarray(radius, np.float64), (len(points),))
    angles = np.linspace(0, 2 * np.pi, sections, endpoint=False)
    rings = []
    for point, tangent, around in zip(points, tangents, radii, strict=True):
        side = side - tangent * (side @ tangent)
        side = side / np.linalg.norm(side)
        other = np.cross(tangent, side)
        rings.append(point + around * (np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * other))
    if not closed:
        rings = [np.repeat(points[:1], sections, 0), *rings, np.repeat(points[-1:], sections, 0)]
    return grid(np.stack(rings)[:, ::-1], wrap_rows=closed)


def bar(start: Sequence[float], end: Sequence[float], radius: float, sections: int = 8) -> Part:
    """A straight round bar between two points."""
    return pipe(np.array([start, end], np.float64), radius, sections=sections)


def ring(radius: float, thickness: float) -> Part:
    """A torus about the y axis; `thickness` is the radius of its pipe."""
    angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    path = np.stack([radius * np.cos(angles), np.zeros(28), radius * np.sin(angles)], axis=1)
    return pipe(path, thickness, closed=True, sections=10)


def arc(radius: float, start: float, end: float, points: int = 14) -> Floats:
    """Points `[points, 3]` of an arc in the xy plane, degrees from the x axis."""
    angles = np.deg2rad(np.linspace(start, end, points))
    return np.stack([radius * np.cos(angles), radius * np.sin(angles), np.zeros(points)], axis=1)


def prism(outline: ArrayLike, depth: float) -> Part:
    """An outline `[K, 2]` in the xy plane, anticlockwise and star-shaped about its mean, drawn out along z."""
    corners = np.asarray(outline, np.float64)
    count = len(corners)
    middle = corners.mean(axis=0)
    flat = np.concatenate([corners, middle[None]])
    front = np.column_stack([flat, np.full(count + 1, depth / 2)])
    back = np.column_stack([flat, np.full(count + 1, -depth / 2)])
    here = np.arange(count)
    following = (here + 1) % count
    behind = count + 1
    faces = np.concatenate(
        [
            np.stack([here, following, np.full(count, count)], 1),
            np.stack([following, here, np.full(count, count)], 1) + behind,
            np.stack([here, here + behind, following + behind], 1),
            np.stack([here, following + behind, following], 1),
        ]
    )
    return Part(np.concatenate([front, back]), faces)


def star(points: int, inner: float) -> Floats:
    """Outline `[2 * points, 2]` of a star of radius 1, a tip upwards."""
    angles = np.pi / 2 + np.arange(2 * points) * np.pi / points
    radii = np.where(np.arange(2 * points) % 2 == 0, 1.0, inner)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def four(part: Part, x: float, z: float) -> Parts:
    """A part at four corners."""
    return [part.move(x * i, 0, z * k) for i in (-1, 1) for k in (-1, 1)]


def pair(part: Part) -> Parts:
    """A part and its mirror image on the other side of the yz plane."""
    return [part, part.scale(-1)]


def paint(parts: Parts, colour: str) -> Parts:
    """Parts in another paint."""
    return [part.painted(colour) for part in parts]


def leg(height: float, thickness: float, square: bool) -> Part:
    """A square or a round leg."""
    return block(thickness, height, thickness) if square else rod(thickness * 0.56, height, sections=10)
