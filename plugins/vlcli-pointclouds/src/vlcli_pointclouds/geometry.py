"""Geometry of batches of points without own kernels: distances, farthest point sampling, neighbourhoods.

On the CPU the inner loops run in NumPy over the tensors' memory, on accelerators the same lines run in torch: for
arrays of this size NumPy's calls cost less, its argmax and nonzero are ten times as fast, and thousands of small
operations do not wait for a second thread each.

Everything is computed from differences of coordinates, one rounding per operation, never from a matrix product: the
result for a cloud is the same bits whatever other clouds are in its batch, and squared distances are never negative.
Indices carry no gradient. Sources: PointNet++ (Qi et al. 2017, section 3) as in ULIP's released `pointnet2_utils`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

CHUNK = 1 << 19
"""Distances in a block on the CPU; sampling, which goes over its block hundreds of times, takes an eighth."""
ACCELERATOR_CHUNK = 1 << 24


def square_distance(first: Tensor, second: Tensor) -> Tensor:
    """Squared Euclidean distances of `[B, N, 3]` and `[B, M, 3]` -> `[B, N, M]`; differentiable."""
    return (first[:, :, None, :] - second[:, None, :, :]).square().sum(-1)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Rows of `values` `[B, N, C]` at `index` `[B, ...]` -> `[B, ..., C]`; differentiable in the values."""
    batch, points, channels = values.shape
    offsets = torch.arange(batch, device=index.device).mul_(points).view(-1, *[1] * (index.ndim - 1))
    rows = (index + offsets).flatten()
    return values.reshape(batch * points, channels).index_select(0, rows).view(*index.shape, channels)


@torch.no_grad()
def farthest_point_sample(xyz: Tensor, count: int, start: Tensor | None = None) -> Tensor:
    """Points that lie far apart: each next one is the farthest from all before it (the first of several).

    Args:
        xyz: `[B, N, 3]`.
        count: how many, at most N. When a cloud has fewer distinct points, the rest are index 0 again.
        start: `[B]` index of the first one (the released code draws it at random); 0 when not given.

    Returns:
        `[B, count]` int64.

    Raises:
        ValueError: when `count` is not in 1…N.
    """
    batch, points, _ = xyz.shape
    if not 1 <= count <= points:
        raise ValueError(f"{count} of {points} points can not be sampled")
    chosen = torch.zeros(batch, count, dtype=torch.int64, device=xyz.device)
    if start is not None:
        chosen[:, 0] = start
    at_once = max(1, CHUNK // 8 // points) if xyz.device.type == "cpu" else batch
    for first in range(0, batch, at_once):
        part = slice(first, first + at_once)
        fill_farthest(memory(planes(xyz[part])), memory(chosen[part]))
    return chosen


def fill_farthest(coordinates: Any, chosen: Any) -> None:
    """Continue `chosen` `[B, S]`, whose first column is given, over `coordinates` `[3, B, N]`; arrays or tensors."""
    library = library_of(coordinates)
    difference = library.empty_like(coordinates)
    nearest = library.full_like(coordinates[0], math.inf)
    clouds = library.arange(len(chosen), device=coordinates.device)
    for number in range(1, chosen.shape[1]):
        last = coordinates[:, clouds, chosen[:, number - 1]][..., None]
        distance = add_squares(coordinates, last, difference)
        library.minimum(nearest, distance, out=nearest)
        chosen[:, number] = nearest.argmax(1)


@torch.no_grad()
def ball_query(radius: float, count: int, xyz: Tensor, centres: Tensor) -> Tensor:
    """The first `count` points, in the order of their indices, that are at most `radius` away from each centre.

    Where fewer are, the first of them fills the rest. A centre without any takes the point nearest to it; centres
    that are points of the cloud always have themselves.

    Args:
        radius: of the ball.
        count: of points in each group.
        xyz: `[B, N, 3]`.
        centres: `[B, S, 3]`.

    Returns:
        `[B, S, count]` int64 indices into N.
    """
    batch, groups, _ = centres.shape
    found = torch.empty(batch * groups, count, dtype=torch.int64, device=xyz.device)
    for rows, distance in distance_chunks(xyz, centres):
        found[rows] = first_inside(distance, radius * radius, count)
    return found.view(batch, groups, count)


def first_inside(distance: Tensor, limit: float, count: int) -> Tensor:
    """Columns of the first `count` values up to `limit` in each row of `distance` `[R, N]` -> `[R, count]`."""
    rows, points = distance.shape
    if distance.device.type == "cpu":
        hits = torch.from_numpy(np.flatnonzero(distance.numpy() <= limit))
    else:
        hits = (distance <= limit).flatten().nonzero()[:, 0]
    starts = torch.searchsorted(hits, torch.arange(rows + 1, device=hits.device) * points)
    numbers = starts.diff()
    # The hits of a row follow one another; places beyond its number show its first one.
    places = torch.arange(count, device=hits.device).expand(rows, count)
    places = starts[:-1, None] + torch.where(places < numbers[:, None], places, 0)
    empty = numbers == 0
    if not len(hits):
        return distance.argmin(1, keepdim=True).expand(rows, count)
    columns = hits[places.clamp(max=len(hits) - 1)] % points
    if bool(empty.any()):
        columns[empty] = distance[empty].argmin(1, keepdim=True)
    return columns


@torch.no_grad()
def knn(count: int, xyz: Tensor, centres: Tensor) -> Tensor:
    """The `count` points of `xyz` `[B, N, 3]` nearest to each of `centres` `[B, S, 3]`, nearest first.

    Which of several equally distant points is taken is not defined.

    Returns:
        `[B, S, count]` int64 indices into N.

    Raises:
        ValueError: when `count` is not in 1…N.
    """
    batch, groups, _ = centres.shape
    if not 1 <= count <= xyz.shape[1]:
        raise ValueError(f"{xyz.shape[1]} points have no {count} nearest ones")
    found = torch.empty(batch * groups, count, dtype=torch.int64, device=xyz.device)
    for rows, distance in distance_chunks(xyz, centres):
        found[rows] = distance.topk(count, dim=1, largest=False, sorted=True).indices
    return found.view(batch, groups, count)


def distance_chunks(xyz: Tensor, centres: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Squared distances in blocks of whole rows, `(rows of B * S, [R, N])`; a block is overwritten by the next."""
    batch, points, _ = xyz.shape
    groups = centres.shape[1]
    coordinates, middles = planes(xyz), planes(centres)
    size = CHUNK if xyz.device.type == "cpu" else ACCELERATOR_CHUNK
    height = max(1, min(groups, size // points))  # groups of one cloud in a block
    clouds = max(1, min(batch, size // (points * groups)))  # several clouds where they are small
    room = coordinates.new_empty(3, clouds * height, points)
    for cloud in range(0, batch, clouds):
        for first in range(0, groups, height):
            part = middles[:, cloud : cloud + clouds, first : first + height, None]
            rows = part.shape[1] * part.shape[2]
            difference = room[:, :rows].view(3, part.shape[1], part.shape[2], points)
            add_squares(memory(coordinates[:, cloud : cloud + clouds, None, :]), memory(part), memory(difference))
            begin = cloud * groups + first
            yield slice(begin, begin + rows), room[0, :rows]


def planes(xyz: Tensor) -> Tensor:
    """`[B, N, 3]` as contiguous `[3, B, N]` in at least 32 bits: each coordinate is one run in memory."""
    return xyz.detach().to(torch.promote_types(xyz.dtype, torch.float32)).permute(2, 0, 1).contiguous()


def memory(values: Tensor) -> Any:
    """A tensor on the CPU as an array over the same memory; on an accelerator the tensor."""
    return values.numpy() if values.device.type == "cpu" else values


def library_of(values: Any) -> Any:
    """The module whose functions take `values`; those used here have the same names and arguments in both."""
    return torch if isinstance(values, Tensor) else np


def add_squares(first: Any, second: Any, room: Any) -> Any:
    """Sum over the leading axis (3) of squared differences, in `room[0]`; the rest of `room` is overwritten.

    Product and sum stay separate operations: fused ones round differently at the end of a row.
    """
    library = library_of(room)
    library.subtract(first, second, out=room)
    library.multiply(room, room, out=room)
    library.add(room[0], room[1], out=room[0])
    library.add(room[0], room[2], out=room[0])
    return room[0]
