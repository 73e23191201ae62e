"""The canonical item of the modality: points on an object, centred and scaled to the unit sphere.

Axes are those of glTF: x to the right, y up, z towards the viewer. No file is turned by guess.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli_pointclouds.shape import Floats, Integers, Shape

DEFAULT_POINTS = 8192
FARTHEST = 1e15
"""The largest coordinate: beyond it areas and distances lose all meaning."""
SMALLEST = 1e-9
"""Points whose extent is below this share of their distance from the origin are one point within rounding."""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False, repr=False)
class PointCloud:
    """Points of one object in random order, so that any first part of them is a uniform sample.

    Attributes:
        points: `[N, 3]`, centred on their mean, the farthest at distance 1.
        normals: `[N, 3]` unit vectors, or None.
        colours: `[N, 3]` red, green, blue in 0…1, or None.
        vertices: `[V, 3]` of the mesh, moved and scaled as the points (some may lie outside of the unit sphere).
        faces: `[F, 3]` triangles of the mesh, or None for a cloud.
        face_colours: `[F, 3]` in 0…1, or None.
        centre: `[3]`, and `scale`: `points * scale + centre` are the file's coordinates.
        format: of the file.
        notes: what was left out or changed.
    """

    points: Array
    normals: Array | None = None
    colours: Array | None = None
    vertices: Array | None = None
    faces: NDArray[np.int32] | None = None
    face_colours: Array | None = None
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    format: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.points)

    def __repr__(self) -> str:
        held = [f"{len(self.points):,} points"]
        if self.faces is not None:
            held.append(f"{len(self.faces):,} triangles")
        held += [name for name in ("normals", "colours") if getattr(self, name) is not None]
        return f"PointCloud({', '.join(held)}, {self.digest()})"

    def digest(self) -> str:
        """16 hexadecimal digits of all that is drawn and encoded."""
        hashed = hashlib.blake2b(digest_size=8)
        for value in (self.points, self.normals, self.colours, self.faces):
            hashed.update(b"-" if value is None else np.ascontiguousarray(value).tobytes())
        return hashed.hexdigest()


def normalise(points: NDArray[np.floating]) -> Array:
    """Points `[N, 3]` centred on their mean, the farthest at distance 1 (ULIP's `pc_normalize`).

    Raises:
        VlcliError: D704-D707, as `from_shape`.
    """
    values = np.asarray(points, dtype=np.float64)
    check_coordinates(values, "")
    centre, scale = centre_and_scale(values, "")
    return ((values - centre) / scale).astype(np.float32)


def from_shape(shape: Shape, where: str = "", points: int = DEFAULT_POINTS) -> PointCloud:
    """Sample a mesh on its surface, uniformly by area, or take a cloud's own points, at most `points` chosen at random.

    What is drawn depends on the content of the shape alone. Normals are those of the triangles; a cloud keeps its own.
    A mesh without area, such as a line, is read as the cloud of its vertices, and the notes say so.

    Raises:
        VlcliError: D704 without points, D705 for NaN or infinite coordinates, D706 when they are absurdly large, D707
            when all points are equal, D708 for triangles of vertices that are not there.
    """
    check_coordinates(shape.vertices, where)
    if shape.faces is not None and len(shape.faces):
        check_faces(shape.faces, len(shape.vertices), where)
    from vlcli_pointclouds.sampling import sample_mesh, sample_points

    drawn = sample_mesh(shape, points) if shape.faces is not None and len(shape.faces) else None
    notes = shape.notes
    if drawn is None:
        if shape.faces is not None and len(shape.faces):
            notes = (*notes, "the triangles have no area: read as points")
        drawn = sample_points(shape, points)
        shape = replace(shape, faces=None)
    centre, scale = centre_and_scale(drawn.points, where)

    def moved(values: Floats) -> Array:
        return ((values - centre) / scale).astype(np.float32)

    mesh = shape.faces is not None
    return PointCloud(
        points=moved(drawn.points),
        normals=None if drawn.normals is None else drawn.normals.astype(np.float32),
        colours=None if drawn.colours is None else np.clip(drawn.colours, 0, 1).astype(np.float32),
        vertices=moved(shape.vertices) if mesh else None,
        faces=shape.faces.astype(np.int32) if shape.faces is not None else None,
        face_colours=None if drawn.face_colours is None else np.clip(drawn.face_colours, 0, 1).astype(np.float32),
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        scale=scale,
        format=shape.format,
        notes=(*notes, *drawn.notes),
    )


def check_coordinates(vertices: Floats, where: str) -> None:
    """Refuse no points, and coordinates that are not finite or absurd."""
    if not len(vertices):
        raise VlcliError("D704", where, "holds no points")
    finite = np.isfinite(vertices).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        values = ", ".join(f"{value:g}" for value in vertices[row])
        raise VlcliError("D705", where, f"{int((~finite).sum()):,} of its {len(vertices):,} points are not finite; "
                         f"point {row + 1} is {values}", "remove them from the file")  # fmt: skip
    largest = float(np.abs(vertices).max())
    if largest > FARTHEST:
        raise VlcliError("D706", where, f"has a coordinate of size {largest:.3g}, more than {FARTHEST:.0e}",
                         "the file is damaged, or states other numbers than coordinates")  # fmt: skip


def check_faces(faces: Integers, vertices: int, where: str) -> None:
    """Refuse triangles of vertices that do not exist."""
    low, high = int(faces.min()), int(faces.max())
    if low < 0 or high >= vertices:
        wrong = low if low < 0 else high
        raise VlcliError("D708", where, f"a face names vertex {wrong:,} (counted from 0) of {vertices:,}",
                         "the file is damaged or cut short")  # fmt: skip


def centre_and_scale(points: Floats, where: str) -> tuple[Floats, float]:
    """Mean `[3]` and largest distance from it."""
    centre = points.mean(axis=0)
    scale = float(np.sqrt(((points - centre) ** 2).sum(axis=1).max()))
    if scale <= SMALLEST * float(np.abs(points).max()) or scale < 1e-150:
        raise VlcliError("D707", where, "all its points are at one place", "a shape needs at least two places")
    return centre, scale
