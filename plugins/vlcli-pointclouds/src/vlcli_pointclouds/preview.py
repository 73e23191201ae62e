"""Shaded pictures of clouds and meshes: one large view and, below it, small ones from further sides.

Points are drawn as squares or discs into a z-buffer of twice the size; a mesh is first covered with so many that it
looks solid. Creases and outlines are darkened where depths around a pixel differ (eye-dome lighting, Boucheny 2009).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlcli_pointclouds.cloud import PointCloud
from vlcli_pointclouds.page_view import disc_radius
from vlcli_pointclouds.views import camera

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

PAPER = (246, 247, 249)
PLAIN = np.array([[0.56, 0.65, 0.78]], np.float32)
LIGHT = np.array([-0.40, 0.65, 0.65], np.float32)
LARGE_VIEW = (35.0, 20.0)
SMALL_VIEWS = ((0.0, 0.0), (90.0, 0.0), (180.0, 0.0), (0.0, 90.0))
"""Azimuth and elevation in degrees: from front, right, back and above."""
SMALLEST_WITH_STRIP = 120
"""Pixels a side below which only the large view is drawn."""
OVERSAMPLING = 2
MESH_POINTS = 60_000
SMALL_POINTS = 16_000
MARGIN = 1.08
R2 = np.array([0.7548776662466927, 0.5698402909980532])


@dataclass(frozen=True, eq=False)
class Painted:
    """Points `[N, 3]` with what colours them: normals `[N, 3]` or None, colours `[N, 3]` or one for all.

    `area` is the surface that they cover, 0 where that is unknown; `radius` that of a disc that closes a cloud's.
    """

    points: Floats
    normals: Floats | None
    colours: Floats
    area: float = 0.0
    radius: float = 0.0

    def every(self, step: int) -> Painted:
        """Each `step`-th of the points."""
        normals = None if self.normals is None else self.normals[::step]
        colours = self.colours[::step] if len(self.colours) > 1 else self.colours
        return Painted(self.points[::step], normals, colours, self.area, self.radius)


def preview_png(cloud: PointCloud, size: int = 256) -> bytes:
    """The picture as PNG, `size` pixels a side."""
    painted = paint(cloud)
    canvas = Image.new("RGB", (size, size), PAPER)
    strip = size // len(SMALL_VIEWS) if size >= SMALLEST_WITH_STRIP else 0
    canvas.paste(draw(painted, LARGE_VIEW, size, size - strip), (0, 0))
    small = painted.every(-(-len(painted.points) // SMALL_POINTS))
    for number, view in enumerate(SMALL_VIEWS if strip else ()):
        canvas.paste(draw(small, view, strip, strip), (number * strip, size - strip))
    return as_png(canvas)


def views_png(cloud: PointCloud, count: int, size: int = 384) -> bytes:
    """So many views around the shape, side by side, each `size` pixels a side, as PNG."""
    painted = paint(cloud)
    columns = min(count, 4)
    canvas = Image.new("RGB", (columns * size, -(-count // columns) * size), PAPER)
    for number in range(count):
        azimuth = (LARGE_VIEW[0] + number * 360 / count) % 360
        place = (number % columns * size, number // columns * size)
        canvas.paste(draw(painted, (azimuth, LARGE_VIEW[1]), size, size), place)
    return as_png(canvas)


def as_png(picture: Image.Image) -> bytes:
    """A picture's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def paint(cloud: PointCloud) -> Painted:
    """The points to draw: of a mesh, many more than the cloud has."""
    if cloud.vertices is not None and cloud.faces is not None:
        return cover(cloud.vertices, cloud.faces, cloud.face_colours, MESH_POINTS)
    colours = PLAIN if cloud.colours is None else cloud.colours
    return Painted(cloud.points, cloud.normals, colours, radius=disc_radius(cloud.points))


def cover(vertices: Floats, faces: NDArray[np.int32], colours: Floats | None, count: int) -> Painted:
    """Points spread evenly over triangles, each with the triangle's colour.

    In a triangle they follow the R2 sequence (Roberts 2018), which leaves smaller gaps than random points do.
    """
    first = vertices[faces[:, 0]]
    along, across = vertices[faces[:, 1]] - first, vertices[faces[:, 2]] - first
    crossed = np.cross(along, across)
    lengths = np.sqrt(np.einsum("ni,ni->n", crossed, crossed))
    total = np.cumsum(lengths, dtype=np.float64)
    chosen = np.searchsorted(total, (np.arange(count) + 0.5) * (total[-1] / count), side="right")
    chosen = np.minimum(chosen, len(faces) - 1)
    weights = (np.arange(1, count + 1)[:, None] * R2 % 1).astype(np.float32)
    beyond = weights.sum(axis=1) > 1
    weights[beyond] = 1 - weights[beyond]
    points = first[chosen] + weights[:, :1] * along[chosen] + weights[:, 1:] * across[chosen]
    normals = crossed[chosen] / np.maximum(lengths[chosen], 1e-30)[:, None]
    return Painted(points, normals, PLAIN if colours is None else colours[chosen], float(total[-1]) / 2)


def draw(painted: Painted, view: Sequence[float], width: int, height: int) -> Image.Image:
    """One view, `width` × `height` pixels, filled by the shape."""
    seen_from = camera(*view)
    points = painted.points @ seen_from.T
    low, high = points.min(axis=0), points.max(axis=0)
    across, down = width * OVERSAMPLING, height * OVERSAMPLING
    scale = min(across / max(high[0] - low[0], 1e-6), down / max(high[1] - low[1], 1e-6)) / MARGIN
    scale = min(scale, min(across, down) / 0.5)  # a line seen end on is not blown up
    middle = (low + high) / 2
    columns = ((points[:, 0] - middle[0]) * scale + across / 2).astype(np.int32)
    rows = ((middle[1] - points[:, 1]) * scale + down / 2).astype(np.int32)
    order = np.argsort(points[:, 2]).astype(np.int32)
    side = side_of(painted, scale)
    nearest = splat(rows[order], columns[order], order, (down, across), side, round=not painted.area)
    seen = nearest >= 0
    chosen = nearest[seen]
    depth = np.full((down, across), -np.inf, np.float32)
    depth[seen] = points[chosen, 2]
    colours = painted.colours[chosen] if len(painted.colours) > 1 else painted.colours
    light = brightness(painted, seen_from, points, chosen) * eye_dome(depth, max(1, min(across, down) // 160))[seen]
    picture = np.empty((down, across, 3), np.float32)
    picture[:] = PAPER
    picture[seen] = np.clip(colours * light[:, None], 0, 1) * 255
    halves = [picture[top::OVERSAMPLING, left::OVERSAMPLING] for top in (0, 1) for left in (0, 1)]
    return Image.fromarray((sum(halves[1:], halves[0]) / len(halves) + 0.5).astype(np.uint8))


def side_of(painted: Painted, scale: float) -> int:
    """Pixels of the side of the square that stands for a point, so that the surface closes."""
    if painted.area:
        return int(np.clip(np.ceil(np.sqrt(2.6 * painted.area * scale * scale / len(painted.points))), 2, 16))
    return int(np.clip(np.ceil(1.6 * painted.radius * scale), 3, 24))


def splat(
    rows: Integers, columns: Integers, values: Integers, shape: tuple[int, int], side: int, *, round: bool
) -> Integers:
    """`[H, W]` of the last value drawn at each pixel, -1 where none is; values come far ones first."""
    border = 2 * side
    width = shape[1] + 2 * border
    picture = np.full((shape[0] + 2 * border) * width, -1, np.int32)
    places = (np.clip(rows, -side, shape[0] + side - 1) + border) * width
    places += np.clip(columns, -side, shape[1] + side - 1) + border
    offsets = np.arange(-(side // 2), side - side // 2, dtype=np.int32)
    reach = offsets[:, None] * width + offsets
    if round:
        middle = offsets + 0.5 * (1 - side % 2)
        reach = reach[middle[:, None] ** 2 + middle**2 <= (side / 2 + 0.2) ** 2]
    # numpy keeps the last of several values for one place, so all pixels of a near point come after those of a far one.
    picture[(places[:, None] + reach.ravel()).ravel()] = np.repeat(values, reach.size)
    return picture.reshape(-1, width)[border:-border, border:-border]


def brightness(painted: Painted, seen_from: Floats, points: Floats, chosen: Integers) -> Floats:
    """`[M]`: by the angle of the surface to the light, turned to the viewer; without normals by the distance."""
    if painted.normals is None:
        low, high = float(points[:, 2].min()), float(points[:, 2].max())
        nearness: Floats = (points[chosen, 2] - low) / max(high - low, 1e-6)
        return 0.62 + 0.38 * nearness
    normals = painted.normals[chosen] @ seen_from.T
    normals *= np.where(normals[:, 2:] < 0, -1, 1).astype(np.float32)
    towards = LIGHT / np.linalg.norm(LIGHT)
    shade: Floats = 0.46 + 0.62 * np.clip(normals @ towards, 0, 1)
    return shade


def eye_dome(depth: Floats, reach: int) -> Floats:
    """`[H, W]` in 0…1: dark where the surroundings are nearer to the viewer."""
    padded = np.pad(depth, reach, constant_values=-np.inf)
    height, width = depth.shape
    total = np.zeros_like(depth)
    seen = np.isfinite(depth)
    for down, across in ((0, 1), (1, 0), (1, 2), (2, 1)):
        other = padded[down * reach : down * reach + height, across * reach : across * reach + width]
        total += np.clip(np.subtract(other, depth, where=seen, out=np.zeros_like(depth)), 0, 0.25)
    shade: Floats = np.exp(-1.6 * total)
    return shade
