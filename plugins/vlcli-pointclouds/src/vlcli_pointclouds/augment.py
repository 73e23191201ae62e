"""ULIP's random variations of point clouds (released `dataset_3d` and `data_utils`), on whole batches.

In its order: points are dropped, the cloud is scaled, shifted, turned a little about all axes, then turned freely about
the up axis y. Each cloud has its own draws, all from the given generator alone. Different from the released code:
normals turn with the points, and a dropped point takes its normal or colour along.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vlcli_pointclouds.encoder_options import Channels

UP = 1
"""The up axis is y."""


@dataclass(frozen=True)
class Augmentation:
    """How far clouds are varied; the defaults are the released ones.

    Attributes:
        dropout: the share of dropped points is drawn uniformly from 0 to this.
        scale: smallest and largest factor of the size.
        shift: largest move along each axis.
        tilt: standard deviation in radians of the small turns about x, y and z.
        tilt_limit: they are cut to this.
        turn: largest turn about the up axis in radians, to both sides; pi for any.
    """

    dropout: float = 0.875
    scale: tuple[float, float] = (0.8, 1.25)
    shift: float = 0.1
    tilt: float = 0.06
    tilt_limit: float = 0.18
    turn: float = math.pi


RELEASED = Augmentation()


def augment(
    points: Tensor, generator: torch.Generator, channels: Channels = "xyz", strength: Augmentation = RELEASED
) -> Tensor:
    """Vary clouds at random.

    Args:
        points: `[B, N, 3 + C]`.
        generator: on the CPU, whatever the device of the points, so that all devices draw alike.
        channels: what follows the coordinates; "normals" are turned.
        strength: how far.

    Returns:
        `[B, N, 3 + C]`, new.
    """
    batch = len(points)
    varied = drop_points(points, strength.dropout, generator)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(batch, *shape, generator=generator, dtype=torch.float64) * (high - low) + low
        return drawn.to(points)

    factor = uniform(*strength.scale, 1, 1)
    move = uniform(-strength.shift, strength.shift, 1, 3)
    small = torch.randn(batch, 3, generator=generator, dtype=torch.float64) * strength.tilt
    small = small.clamp(-strength.tilt_limit, strength.tilt_limit)
    free = torch.zeros(batch, 3, dtype=torch.float64)
    free[:, UP] = (torch.rand(batch, generator=generator, dtype=torch.float64) * 2 - 1) * strength.turn
    turned = (rotation(free) @ rotation(small)).to(points).transpose(1, 2)
    xyz = (varied[..., :3] * factor + move) @ turned
    rest = varied[..., 3:]
    if channels == "normals":
        rest = rest @ turned
    return torch.cat([xyz, rest], -1)


def drop_points(points: Tensor, most: float, generator: torch.Generator) -> Tensor:
    """Put the first point in the place of a random share of the points, from 0 to `most` in each cloud."""
    batch, count, _ = points.shape
    share = torch.rand(batch, 1, generator=generator) * most
    dropped = (torch.rand(batch, count, generator=generator) < share).to(points.device)
    return torch.where(dropped[..., None], points[:, :1], points)


def rotation(angles: Tensor) -> Tensor:
    """Matrices `[B, 3, 3]` that turn columns by `angles` `[B, 3]` about x, then y, then z."""
    matrix = torch.eye(3, dtype=angles.dtype, device=angles.device).expand(len(angles), 3, 3)
    for axis in range(3):
        cosine, sine = angles[:, axis].cos(), angles[:, axis].sin()
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = torch.zeros(len(angles), 3, 3, dtype=angles.dtype, device=angles.device)
        turn[:, axis, axis] = 1
        turn[:, first, first] = turn[:, second, second] = cosine
        turn[:, first, second], turn[:, second, first] = -sine, sine
        matrix = turn @ matrix
    return matrix
