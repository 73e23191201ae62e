"""`pointclouds/pointmlp`: PointMLP (Ma et al. 2022), groups in a common geometric scale and residual layers.

Written from memory of the paper and its released code, and not compared with them: the widths, the affine
normalisation relative to the centre ("anchor"), two residual blocks before and after pooling, 24 neighbours. The names
of the weights are meant to be the official ones (`embedding.net.0`, `local_grouper_list.0.affine_alpha`,
`pre_blocks_list.0.transfer.net.0`, `pre_blocks_list.0.operation.0.net1.net.0`, `pos_blocks_list.0.operation.0.net2.0`,
`classifier.0`), with linear layers in place of 1 x 1 convolutions. ULIP drops the last layer of the classifier: the
pooled vector is what stands in front of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.encoder import Encoded
from vlcli_pointclouds.encoder_options import POINTMLP, Channels, Size, with_preset
from vlcli_pointclouds.encoders.base import PointEncoder, join, largest, pairs
from vlcli_pointclouds.geometry import farthest_point_sample, gather, knn


class Layer(nn.Module):
    """Linear without bias, batch norm, ReLU, over rows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True))

    def forward(self, rows: Tensor) -> Tensor:
        """`[R, inputs]` -> `[R, outputs]`."""
        mixed: Tensor = self.net(rows)
        return mixed

    def grouped(self, rows: Tensor, group: Tensor) -> Tensor:
        """The same with the group's vector behind each row: `[G, K, C]` and `[G, D]` -> `[G * K, outputs]`."""
        linear = self.net[0]
        assert isinstance(linear, nn.Linear)
        mixed: Tensor = self.net[1:](join(linear, rows, group, group_first=False))
        return mixed


class Residual(nn.Module):
    """Two layers that change their input."""

    def __init__(self, width: int, bottleneck: float) -> None:
        super().__init__()
        inner = max(1, int(width * bottleneck))
        self.net1 = Layer(width, inner)
        self.net2 = nn.Sequential(nn.Linear(inner, width, bias=False), nn.BatchNorm1d(width))

    def forward(self, rows: Tensor) -> Tensor:
        """`[R, width]` -> `[R, width]`."""
        return functional.relu(self.net2(self.net1(rows)) + rows)


class PreExtraction(nn.Module):
    """Of the points in a group: a layer that joins them with their centre, residual blocks, the largest value."""

    def __init__(self, inputs: int, width: int, blocks: int, bottleneck: float) -> None:
        super().__init__()
        self.transfer = Layer(2 * inputs, width)
        self.operation = nn.Sequential(*(Residual(width, bottleneck) for _ in range(blocks)))

    def forward(self, groups: Tensor, centres: Tensor) -> Tensor:
        """`[B, S, K, C]` and `[B, S, C]` -> `[B, S, width]`."""
        batch, number, near, _ = groups.shape
        rows = self.operation(self.transfer.grouped(groups.flatten(0, 1), centres.flatten(0, 1)))
        return largest(rows.view(batch, number, near, -1), 2)


class PosExtraction(nn.Module):
    """Residual blocks over the pooled groups."""

    def __init__(self, width: int, blocks: int, bottleneck: float) -> None:
        super().__init__()
        self.operation = nn.Sequential(*(Residual(width, bottleneck) for _ in range(blocks)))

    def forward(self, groups: Tensor) -> Tensor:
        """`[B, S, width]` -> `[B, S, width]`."""
        mixed: Tensor = self.operation(groups.flatten(0, 1)).view(groups.shape)
        return mixed


class LocalGrouper(nn.Module):
    """Nearest neighbours of far-apart centres, relative to the centre and in one scale for the whole cloud.

    The features' differences to the centre's are divided by their standard deviation over all groups and channels of
    the cloud, then an affine map of each channel learns the scale that suits.
    """

    def __init__(self, groups: int, neighbours: int, channels: int) -> None:
        super().__init__()
        self.groups, self.neighbours = groups, neighbours
        self.affine_alpha = nn.Parameter(torch.ones(1, 1, 1, channels))
        self.affine_beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, xyz: Tensor, features: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """`[B, N, 3]`, `[B, N, C]` -> centres `[B, S, 3]`, their features `[B, S, C]`, groups `[B, S, K, C]`."""
        index = farthest_point_sample(xyz, self.groups, start)
        centres, anchors = gather(xyz, index), gather(features, index)
        difference = gather(features, knn(self.neighbours, xyz, centres)).float() - anchors.float()[:, :, None]
        # The tiny term keeps the gradient finite where all features of a cloud are equal; 1e-5 is the released one.
        spread = (difference.flatten(1).var(1) + 1e-12).sqrt().view(-1, 1, 1, 1) + 1e-5
        return centres, anchors, self.affine_alpha * (difference / spread) + self.affine_beta


class PointMlp(PointEncoder):
    """Levels of groups: common scale, residual layers, the largest value, residual layers. Tokens are the last groups.

    Args:
        size: "paper" (1,024 points, 512, 256, 128 and 64 groups of 24, pooled 256) or "small" (512 points, two levels).
        channels: see `PointEncoder`.
        num_points, groups, neighbours, embedding, widths, blocks, bottleneck, hidden, dim, dropout: in place of the
            preset's numbers; see `PointMlpOptions`.
    """

    def __init__(
        self,
        size: Size = "small",
        channels: Channels = "xyz",
        num_points: int | None = None,
        groups: Sequence[int] | None = None,
        neighbours: int | None = None,
        embedding: int | None = None,
        widths: Sequence[int] | None = None,
        blocks: int | None = None,
        bottleneck: float | None = None,
        hidden: int | None = None,
        dim: int | None = None,
        dropout: float | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "num_points": num_points, "groups": groups, "neighbours": neighbours, "embedding": embedding,
            "widths": widths, "blocks": blocks, "bottleneck": bottleneck, "hidden": hidden, "dim": dim,
            "dropout": dropout,
        }  # fmt: skip
        chosen = with_preset(POINTMLP[size], given)
        super().__init__(chosen["num_points"], channels)
        self.dim = chosen["dim"]
        self.embedding = Layer(3 + self.extra, chosen["embedding"])
        before = [chosen["embedding"], *chosen["widths"]]
        inner = (chosen["blocks"], chosen["bottleneck"])
        self.local_grouper_list = nn.ModuleList(
            LocalGrouper(number, chosen["neighbours"], width)
            for number, width in zip(chosen["groups"], before[:-1], strict=True)
        )
        self.pre_blocks_list = nn.ModuleList(PreExtraction(a, b, *inner) for a, b in pairs(before))
        self.pos_blocks_list = nn.ModuleList(PosExtraction(width, *inner) for width in before[1:])
        hidden, share = chosen["hidden"], chosen["dropout"]
        self.classifier = nn.Sequential(
            nn.Linear(before[-1], hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Dropout(share),
            nn.Linear(hidden, self.dim), nn.BatchNorm1d(self.dim), nn.ReLU(inplace=True), nn.Dropout(share),
        )  # fmt: skip

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`points` `[B, N, 3 + C]` -> pooled `[B, dim]`, tokens `[B, groups of the last level, D]`."""
        points = inputs["points"]
        xyz = points[..., :3].contiguous()
        features = self.embedding(points.flatten(0, 1)).view(*points.shape[:2], -1)
        levels = zip(self.local_grouper_list, self.pre_blocks_list, self.pos_blocks_list, strict=True)
        for grouper, inside, across in levels:
            xyz, anchors, groups = grouper(xyz, features, self.start(xyz))
            features = across(inside(groups, anchors))
        pooled = self.classifier(largest(features, 1))
        return Encoded(pooled, features, torch.ones(features.shape[:2], dtype=torch.bool, device=features.device))
