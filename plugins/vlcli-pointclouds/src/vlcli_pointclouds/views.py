"""Views of a cloud as small pictures: colours and depth from 30 places around it, or from the six sides of a cube.

ULIP and JM3D train on pictures rendered from 30 azimuths, 12° apart, each in colour and in depth; PointCLIP projects a
cloud onto the faces of a cube. Points are drawn as small squares into a z-buffer, all at once in numpy. Projection is
orthographic: the unit sphere fills the picture.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlcli.runtime.files import atomic_path
from vlcli.runtime.paths import cache_dir
from vlcli_pointclouds.cloud import PointCloud

Kind = Literal["rgb", "depth"]
KINDS: tuple[Kind, ...] = ("rgb", "depth")
AZIMUTHS = 30
"""Places around the object; index `i` looks from `i * 12` degrees, index 0 from the front (from +z)."""
STEP = 360 / AZIMUTHS
GROUND = (121, 126, 134)
"""Colour behind the object in `rgb` views; behind it in depth there is 0."""
PLAIN = (0.72, 0.74, 0.78)
"""Colour of a cloud without colours."""
LIGHT = (-0.35, 0.62, 0.70)
"""Towards the light as the camera sees it: from above, left and behind the viewer."""
NEAREST, FARTHEST = 255, 60
"""Grey of a point at distance 1 in front of and behind the centre."""
MARGIN = 1.06
"""Half the width of what a picture shows; the unit sphere has radius 1."""
DRAWN = 4096
"""At most so many points are drawn."""
VERSION = 1
"""Part of the cache folder's name; raise it when pictures change."""

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


def render_views(
    cloud: PointCloud,
    azimuths: Sequence[int],
    kinds: Sequence[Kind],
    size: int = 64,
    elevation: float = 20.0,
) -> Pixels:
    """Pictures of a cloud, uint8 `[V, size, size, 3]`; view `v` looks from `azimuths[v]` and is of `kinds[v]`.

    Args:
        cloud: its points lie in the unit sphere, y up.
        azimuths: index 0…29, 12° each, counted anticlockwise as seen from above; 0 is the front, +z. Others wrap round.
        kinds: `rgb` (colours, or a pale grey, shaded by the normals or, without normals, by the slope of the depth) or
            `depth` (near is bright, the same in all three channels). As many as azimuths.
        size: pixels a side.
        elevation: of the camera above the horizon, degrees.

    Raises:
        ValueError: azimuths and kinds differ in number, or a kind is unknown.
    """
    if len(azimuths) != len(kinds):
        raise ValueError(f"{len(azimuths)} azimuths but {len(kinds)} kinds: give one kind a view")
    views = np.empty((len(azimuths), size, size, 3), np.uint8)
    for number, (azimuth, kind) in enumerate(zip(azimuths, kinds, strict=True)):
        if kind not in KINDS:
            raise ValueError(f"unknown kind of view '{kind}': rgb or depth")
        views[number] = draw(cloud, camera(azimuth * STEP, elevation), kind, size)
    return views


def all_views(cloud: PointCloud, size: int = 64, elevation: float = 20.0) -> Pixels:
    """Every view, uint8 `[2, 30, size, size, 3]` (rgb, then depth), kept in the cache by the cloud's content."""
    digest = cloud.digest()
    folder = cache_dir("pointclouds", f"views-v{VERSION}", digest[:2])
    path = folder / f"{digest}-{size}-{elevation:g}.npz"
    kept = read_views(path, (2, AZIMUTHS, size, size, 3))
    if kept is not None:
        return kept
    azimuths = [*range(AZIMUTHS)] * 2
    kinds: list[Kind] = [kind for kind in KINDS for _ in range(AZIMUTHS)]
    views = render_views(cloud, azimuths, kinds, size, elevation).reshape(2, AZIMUTHS, size, size, 3)
    # Not synced: views that are lost are drawn again.
    with atomic_path(path, sync=False) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, views=views)
    return views


def read_views(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """Views from the cache; None when they are not there, and when the file is damaged (it is written anew)."""
    try:
        with np.load(path, allow_pickle=False) as file:
            views = file["views"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return views if views.shape == shape and views.dtype == np.uint8 else None


def depth_maps(points: NDArray[np.floating], size: int = 64) -> Pixels:
    """Orthographic depth from the six sides of a cube, uint8 `[6, size, size]`, near bright, 0 where nothing is.

    The sides are front (+z), right (+x), back (-z), left (-x), top (+y), bottom (-y), as PointCLIP projects a cloud.

    Args:
        points: `[N, 3]` in the unit sphere.
        size: pixels a side.
    """
    values = np.asarray(points, np.float32)
    sides = [(0.0, 0.0), (90.0, 0.0), (180.0, 0.0), (270.0, 0.0), (0.0, 90.0), (0.0, -90.0)]
    maps = [greys(buffer(values @ camera(turn, lift).T, size)[0]) for turn, lift in sides]
    return np.stack(maps)


def camera(azimuth: float, elevation: float) -> Floats:
    """Rows right, up, towards the viewer, `[3, 3]`: `points @ camera.T` are as the camera sees them. Degrees."""
    turn, lift = np.deg2rad(azimuth), np.deg2rad(elevation)
    right = [np.cos(turn), 0.0, -np.sin(turn)]
    towards = [np.sin(turn) * np.cos(lift), np.sin(lift), np.cos(turn) * np.cos(lift)]
    return np.array([right, np.cross(towards, right), towards], np.float32)


def draw(cloud: PointCloud, view: Floats, kind: Kind, size: int) -> Pixels:
    """One picture `[size, size, 3]`."""
    points = cloud.points[:DRAWN] @ view.T
    depth, nearest = buffer(points, size)
    if kind == "depth":
        return np.repeat(greys(depth)[:, :, None], 3, axis=2)
    seen = nearest >= 0
    chosen = nearest[seen]
    picture = np.full((size, size, 3), GROUND, np.float32)
    base = np.array(PLAIN, np.float32) if cloud.colours is None else cloud.colours[:DRAWN][chosen]
    picture[seen] = np.clip(base * shading(cloud, view, depth, chosen, seen)[:, None], 0, 1) * 255
    return picture.astype(np.uint8)


def shading(
    cloud: PointCloud, view: Floats, depth: Floats, chosen: NDArray[np.intp], seen: NDArray[np.bool_]
) -> Floats:
    """Brightness `[M]` of the pixels that show something. Triangles have two sides: normals turn to the viewer."""
    if cloud.normals is not None:
        normals = cloud.normals[:DRAWN][chosen] @ view.T
        normals = normals * np.where(normals[:, 2:] < 0, -1, 1).astype(np.float32)
    else:
        filled = np.where(seen, depth, depth[seen].min())
        smooth = blur(filled, max(1, len(depth) // 48))
        slope_down, slope_right = np.gradient(smooth, 2 * MARGIN / len(depth))
        normals = np.stack([-slope_right, slope_down, np.ones_like(smooth)], axis=-1)[seen]
        normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    light = np.array(LIGHT, np.float32)
    return np.asarray(0.45 + 0.62 * np.clip(normals @ (light / np.linalg.norm(light)), 0, 1), np.float32)


def blur(values: Floats, radius: int) -> Floats:
    """Mean over squares of `2 * radius + 1` pixels, borders repeated."""
    width = 2 * radius + 1
    for axis in (0, 1):
        padding = [(radius + 1, radius) if dim == axis else (0, 0) for dim in range(2)]
        total = np.cumsum(np.pad(values, padding, mode="edge"), axis=axis, dtype=np.float64)
        high, low = np.take(total, range(width, total.shape[axis]), axis), np.take(total, range(len(values)), axis)
        values = ((high - low) / width).astype(np.float32)
    return values


def buffer(points: Floats, size: int) -> tuple[Floats, NDArray[np.intp]]:
    """Depth towards the viewer (-inf where nothing is) and number of the nearest point (-1), each `[size, size]`.

    Args:
        points: `[N, 3]` as the camera sees them.
        size: pixels a side.
    """
    # Far to near: of several values written to one pixel numpy keeps the last, the nearest.
    order = np.argsort(points[:, 2], kind="stable")
    across = np.floor((points[order, 0] / MARGIN + 1) * (size / 2)).astype(np.int32)
    down = np.floor((1 - points[order, 1] / MARGIN) * (size / 2)).astype(np.int32)
    reach = np.arange(-(splat(len(points), size) // 2), (splat(len(points), size) + 1) // 2, dtype=np.int32)
    # A border takes what lies outside; it is cut off at the end.
    spare = len(reach)
    border = 2 * spare
    width = size + 2 * border
    rows = np.clip(down, -spare, size - 1 + spare)[:, None] + reach + border
    columns = np.clip(across, -spare, size - 1 + spare)[:, None] + reach + border
    pixels = (rows[:, :, None] * width + columns[:, None, :]).reshape(len(order), -1)
    nearest = np.full(width * width, -1, np.intp)
    nearest[pixels.ravel()] = np.repeat(order, pixels.shape[1])
    nearest = closed(nearest.reshape(width, width)[border:-border, border:-border])
    depth = np.where(nearest >= 0, points[nearest, 2], -np.inf).astype(np.float32)
    return depth, nearest


def closed(nearest: NDArray[np.intp]) -> NDArray[np.intp]:
    """Single pixels that no point happened to fall on, filled from beside: those with at least 6 of 8 neighbours."""
    size = len(nearest)
    covered = np.pad(nearest >= 0, 1).astype(np.int8)
    columns = covered[:, :-2] + covered[:, 1:-1] + covered[:, 2:]
    around = columns[:-2] + columns[1:-1] + columns[2:]
    rows, places = np.nonzero((nearest < 0) & (around >= 6))
    if len(rows):
        nearest = nearest.copy()
        beside = np.stack([nearest[rows, np.maximum(places - 1, 0)], nearest[rows, np.minimum(places + 1, size - 1)],
                           nearest[np.maximum(rows - 1, 0), places]])  # fmt: skip
        # Two of the eight may be missing, so one of these three is there.
        nearest[rows, places] = beside.max(axis=0)
    return nearest


def splat(points: int, size: int) -> int:
    """Side of the square that a point is drawn as: half the points, spread over a third of the picture, close it."""
    return int(np.clip(np.ceil(2.0 * size / np.sqrt(max(points, 1))), 1, max(3, size // 16)))


def greys(depth: Floats) -> Pixels:
    """Depth -1…1 as greys, 0 where nothing is."""
    scaled = FARTHEST + (np.clip(depth, -1, 1) + 1) / 2 * (NEAREST - FARTHEST)
    return np.where(np.isfinite(depth), scaled, 0).astype(np.uint8)
