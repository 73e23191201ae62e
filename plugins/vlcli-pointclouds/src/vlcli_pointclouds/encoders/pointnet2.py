"""`pointclouds/pointnet2`: PointNet++ with single-scale grouping (Qi et al. 2017; as in ULIP's released code).

Weights of the official checkpoints fit by name (`sa1.mlp_convs.0.weight`, `sa1.mlp_bns.0.*`, …, `fc1`, `bn1`, `fc2`,
`bn2`) once the trailing axes of size 1 of the convolutions are dropped: layers over points are linear layers here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.encoder import Encoded
from vlcli_pointclouds.encoder_options import POINTNET2, Channels, Size, with_preset
from vlcli_pointclouds.encoders.base import PointEncoder, SharedLayers
from vlcli_pointclouds.geometry import ball_query, farthest_point_sample, gather


class SetAbstraction(SharedLayers):
    """Groups of points around far-apart centres; in each, shared layers and the largest value of every channel.

    Args:
        groups: number of centres; None for one group of all points, whose coordinates are not moved.
        radius: of a group.
        neighbours: points in a group.
        inputs: channels of the points beside their coordinates.
        widths: of the shared layers.
    """

    def __init__(
        self, groups: int | None, radius: float, neighbours: int, inputs: int, widths: Sequence[int]
    ) -> None:  # fmt: skip
        super().__init__([3 + inputs, *widths])
        self.groups, self.radius, self.neighbours = groups, radius, neighbours

    def forward(self, xyz: Tensor, features: Tensor | None, start: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`[B, N, 3]`, `[B, N, C]` or None, and the first centre `[B]` -> centres `[B, S, 3]`, features `[B, S, D]`."""
        if self.groups is None:
            centres = torch.zeros_like(xyz[:, :1])
            rows = (xyz if features is None else torch.cat([xyz, features], -1))[:, None]
        else:
            centres = gather(xyz, farthest_point_sample(xyz, self.groups, start))
            index = ball_query(self.radius, self.neighbours, xyz, centres)
            rows = gather(xyz, index) - centres[:, :, None]
            if features is not None:
                rows = torch.cat([rows, gather(features, index)], -1)
        return centres, self.pooled(rows)


class PointNet2(PointEncoder):
    """Two levels of groups, then the whole cloud, then two layers. Tokens are the groups of the second level.

    Args:
        size: "paper" (ULIP's: 8,192 points, 512 groups of 32, 128 of 64, pooled 256) or "small" (512 points).
        channels: see `PointEncoder`.
        num_points, dim, hidden, dropout, groups, neighbours, radii, widths: in place of the preset's numbers; see
            `PointNet2Options`.
    """

    def __init__(
        self,
        size: Size = "small",
        channels: Channels = "xyz",
        num_points: int | None = None,
        dim: int | None = None,
        dropout: float | None = None,
        groups: tuple[int, int] | None = None,
        neighbours: tuple[int, int] | None = None,
        radii: tuple[float, float] | None = None,
        widths: tuple[Sequence[int], Sequence[int], Sequence[int]] | None = None,
        hidden: int | None = None,
    ) -> None:
        given = {"num_points": num_points, "dim": dim, "dropout": dropout, "groups": groups,
                 "neighbours": neighbours, "radii": radii, "widths": widths, "hidden": hidden}  # fmt: skip
        chosen = with_preset(POINTNET2[size], given)
        super().__init__(chosen["num_points"], channels)
        (groups1, groups2), (near1, near2), (radius1, radius2) = chosen["groups"], chosen["neighbours"], chosen["radii"]
        first, second, whole = chosen["widths"]
        self.dim = chosen["dim"]
        self.sa1 = SetAbstraction(groups1, radius1, near1, self.extra, first)
        self.sa2 = SetAbstraction(groups2, radius2, near2, first[-1], second)
        self.sa3 = SetAbstraction(None, 0.0, 0, second[-1], whole)
        self.fc1, self.bn1 = nn.Linear(whole[-1], chosen["hidden"]), nn.BatchNorm1d(chosen["hidden"])
        self.fc2, self.bn2 = nn.Linear(chosen["hidden"], self.dim), nn.BatchNorm1d(self.dim)
        self.dropout = nn.Dropout(chosen["dropout"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`points` `[B, N, 3 + C]` -> pooled `[B, dim]`, tokens `[B, groups of the second level, D]`."""
        xyz, features = self.split(inputs)
        centres, level1 = self.sa1(xyz, features, self.start(xyz))
        centres, level2 = self.sa2(centres, level1, self.start(centres))
        whole = self.sa3(centres, level2)[1][:, 0]
        hidden = self.dropout(functional.relu(self.bn1(self.fc1(whole))))
        pooled = self.dropout(functional.relu(self.bn2(self.fc2(hidden))))
        return Encoded(pooled, level2, torch.ones(level2.shape[:2], dtype=torch.bool, device=level2.device))
