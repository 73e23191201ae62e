"""What the encoders of point clouds share: reading a cloud, its augmentation, layers over rows of points."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.encoder import Encoder
from vlcli.errors import VlcliError
from vlcli_pointclouds.augment import augment
from vlcli_pointclouds.encoder_options import EXTRA_CHANNELS, Channels

if TYPE_CHECKING:
    from vlcli_pointclouds.cloud import PointCloud


class PointEncoder(Encoder):
    """Base of the encoders: a `PointCloud` becomes `points` `[num_points, 3 + C]`.

    Args:
        num_points: the first so many points, which are a uniform sample; a smaller cloud is repeated.
        channels: "xyz", or with "normals" or "colours" behind the coordinates.
    """

    modality = "pointclouds"

    def __init__(self, num_points: int, channels: Channels) -> None:
        super().__init__()
        self.num_points, self.channels = num_points, channels
        self.extra = EXTRA_CHANNELS[channels]

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """`points` `[num_points, 3 + C]` float32.

        Raises:
            VlcliError: D745 when the cloud lacks the normals or colours that the encoder reads.
        """
        cloud: PointCloud = item
        parts = [cloud.points]
        if self.extra:
            values = cloud.normals if self.channels == "normals" else cloud.colours
            if values is None:
                raise VlcliError(
                    "D745", "", f"has no {self.channels}, which this encoder reads",
                    f"add {self.channels} to the file, or train an encoder with channels = \"xyz\"",
                )  # fmt: skip
            parts.append(values)
        index = np.arange(self.num_points) % len(cloud.points)
        return {"points": torch.from_numpy(np.concatenate([part[index] for part in parts], axis=1, dtype=np.float32))}

    def augment(self, item: Any, rng: random.Random) -> Any:
        """ULIP's random variation of the points that are read; meshes and the further points are left out."""
        cloud: PointCloud = item
        rest = {"normals": cloud.normals, "colours": cloud.colours}.get(self.channels)
        parts = [cloud.points[: self.num_points]] + ([] if rest is None else [rest[: self.num_points]])
        points = torch.from_numpy(np.concatenate(parts, axis=1))[None]
        varied = augment(points, torch.Generator().manual_seed(rng.getrandbits(63)), self.channels)[0].numpy()
        further = varied[:, 3:] if self.extra else None
        return replace(
            cloud, points=varied[:, :3], vertices=None, faces=None, face_colours=None,
            normals=further if self.channels == "normals" else None,
            colours=further if self.channels == "colours" else None,
        )  # fmt: skip

    def split(self, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Coordinates `[B, N, 3]` and further channels `[B, N, C]`, or None without any."""
        points = inputs["points"]
        return points[..., :3].contiguous(), points[..., 3:].contiguous() if self.extra else None

    def start(self, xyz: Tensor) -> Tensor | None:
        """First centre of each cloud: drawn at random in training, index 0 otherwise."""
        if not self.training:
            return None
        return torch.randint(xyz.shape[1], (len(xyz),)).to(xyz.device)


class SharedLayers(nn.Module):
    """Linear, batch norm over all rows, ReLU: PointNet's layers that all points share (1 x 1 convolutions over points).

    Named as in the released code of PointNet++, whose weights fit without the convolutions' axes of size 1.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.mlp_convs = nn.ModuleList(nn.Linear(a, b) for a, b in pairs(widths))
        self.mlp_bns = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])

    def pooled(self, groups: Tensor) -> Tensor:
        """The largest of each channel in each group, `[B, S, K, C]` -> `[B, S, D]`."""
        shape = groups.shape[:-1]
        rows = groups.flatten(0, 2)  # in place on a view would copy
        last = len(self.mlp_convs) - 1
        for number, (linear, norm) in enumerate(zip(self.mlp_convs, self.mlp_bns, strict=True)):
            rows = norm(linear(rows))
            if number < last:
                rows = functional.relu_(rows)
        return functional.relu(largest(rows.view(*shape, -1), 2))  # as the largest after ReLU, with fewer operations


def largest(values: Tensor, axis: int) -> Tensor:
    """Largest along an axis; the gradient goes to one of equal values: sharing it out is several times slower."""
    if values.requires_grad and torch.is_grad_enabled():
        return values.max(axis).values
    return values.amax(axis)


def join(linear: nn.Linear, rows: Tensor, group: Tensor, *, group_first: bool) -> Tensor:
    """A linear layer over each row beside the vector of its group, without repeating that vector.

    Args:
        linear: of `C + D` inputs.
        rows: `[G, K, C]`.
        group: `[G, D]`.
        group_first: whether the layer reads `group` in front of the row, or behind it.

    Returns:
        `[G * K, outputs]`.
    """
    border = group.shape[-1] if group_first else rows.shape[-1]
    of_group, of_rows = linear.weight[:, :border], linear.weight[:, border:]
    if not group_first:
        of_group, of_rows = of_rows, of_group
    once = functional.linear(group, of_group, linear.bias)
    return (functional.linear(rows, of_rows) + once[:, None]).flatten(0, 1)


def pairs(widths: Sequence[int]) -> list[tuple[int, int]]:
    """Widths of neighbouring layers."""
    return list(itertools.pairwise(widths))
