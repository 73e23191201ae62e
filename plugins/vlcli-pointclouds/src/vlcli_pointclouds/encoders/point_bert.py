"""`pointclouds/point-bert`: a transformer over groups of points (Yu et al. 2022), in the size that ULIP takes.

Sizes and the pooling are those of ULIP's released code. The rest is written from memory of the paper and not compared
with the released network, which needs CUDA operations: the layers of the small PointNet, positions added in front of
every block, attention without biases on queries, keys and values. The names of the weights are meant to be the official
ones (`encoder.first_conv.0`, `reduce_dim`, `cls_token`, `pos_embed.0`, `blocks.blocks.0.attn.qkv`, `norm`), with linear
layers in place of 1 x 1 convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.encoder import Encoded
from vlcli_pointclouds.encoder_options import POINT_BERT, Channels, Size, with_preset
from vlcli_pointclouds.encoders.base import PointEncoder, join, largest
from vlcli_pointclouds.geometry import farthest_point_sample, gather, knn


class GroupTokens(nn.Module):
    """The small PointNet: two layers, the group's largest values beside each point, two layers, the largest again.

    Args:
        inputs: channels of a point.
        widths: of the four layers.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        first, second, third, last = widths
        self.first_conv = nn.Sequential(
            nn.Linear(inputs, first), nn.BatchNorm1d(first), nn.ReLU(inplace=True), nn.Linear(first, second)
        )
        self.second_conv = nn.Sequential(
            nn.Linear(2 * second, third), nn.BatchNorm1d(third), nn.ReLU(inplace=True), nn.Linear(third, last)
        )

    def forward(self, groups: Tensor) -> Tensor:
        """`[B, G, K, C]` -> `[B, G, D]`."""
        batch, number, near, _ = groups.shape
        rows = self.first_conv(groups.flatten(0, 2)).view(batch * number, near, -1)
        first = self.second_conv[0]
        assert isinstance(first, nn.Linear)
        mixed = self.second_conv[1:](join(first, rows, largest(rows, 1), group_first=True))
        return largest(mixed.view(batch, number, near, -1), 2)


class Attention(nn.Module):
    """Self-attention whose queries, keys and values come from one layer without bias."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T, D]`."""
        query, key, value = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        projected: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return projected


class Mlp(nn.Module):
    """Two layers with GELU between them, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T, D]`."""
        mixed: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return mixed


class Block(nn.Module):
    """Pre-norm attention and two layers; in training each is skipped for a random share `drop_path` of the items."""

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width), Mlp(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[B, T, D]` -> `[B, T, D]`."""
        tokens = tokens + self.kept(self.attn(self.norm1(tokens)))
        return tokens + self.kept(self.mlp(self.norm2(tokens)))

    def kept(self, change: Tensor) -> Tensor:
        """The change, or zero for items that skip it; the others' is enlarged, so that its mean stays."""
        if not self.training or not self.drop_path:
            return change
        keep = 1 - self.drop_path
        return change * change.new_empty(len(change), 1, 1).bernoulli_(keep).div_(keep)


class Blocks(nn.Module):
    """The transformer: positions are added in front of every block, and later blocks are skipped more often."""

    def __init__(self, width: int, depth: int, heads: int, drop_path: float) -> None:
        super().__init__()
        shares = torch.linspace(0, drop_path, depth).tolist()
        self.blocks = nn.ModuleList(Block(width, heads, share) for share in shares)

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """`[B, T, D]` and positions `[B, T, D]` -> `[B, T, D]`."""
        for block in self.blocks:
            tokens = block(tokens + positions)
        return tokens


class PointBert(PointEncoder):
    """Groups of near points as tokens of a transformer; pooled: its class token beside the largest of the others.

    Args:
        size: "paper" (8,192 points, 512 groups of 32, width 384, depth 12, 6 heads, pooled 768) or "small" (512 points,
            pooled 192).
        channels: see `PointEncoder`.
        num_points, groups, neighbours, token_widths, width, depth, heads, drop_path: in place of the preset's numbers;
            see `PointBertOptions`.
    """

    def __init__(
        self,
        size: Size = "small",
        channels: Channels = "xyz",
        num_points: int | None = None,
        groups: int | None = None,
        neighbours: int | None = None,
        token_widths: tuple[int, int, int, int] | None = None,
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        drop_path: float | None = None,
    ) -> None:
        given = {"num_points": num_points, "groups": groups, "neighbours": neighbours, "token_widths": token_widths,
                 "width": width, "depth": depth, "heads": heads, "drop_path": drop_path}  # fmt: skip
        chosen = with_preset(POINT_BERT[size], given)
        super().__init__(chosen["num_points"], channels)
        self.groups, self.neighbours = chosen["groups"], chosen["neighbours"]
        inner = chosen["width"]
        self.dim = 2 * inner
        self.encoder = GroupTokens(3 + self.extra, chosen["token_widths"])
        self.reduce_dim = nn.Linear(chosen["token_widths"][-1], inner)
        self.cls_token = nn.Parameter(torch.empty(1, 1, inner).normal_(std=0.02))
        self.cls_pos = nn.Parameter(torch.empty(1, 1, inner).normal_(std=0.02))
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, inner))
        self.blocks = Blocks(inner, chosen["depth"], chosen["heads"], chosen["drop_path"])
        self.norm = nn.LayerNorm(inner)

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`points` `[B, N, 3 + C]` -> pooled `[B, 2 * width]`, tokens `[B, groups, width]`."""
        xyz, features = self.split(inputs)
        centres = gather(xyz, farthest_point_sample(xyz, self.groups, self.start(xyz)))
        index = knn(self.neighbours, xyz, centres)
        rows = gather(xyz, index) - centres[:, :, None]
        if features is not None:
            rows = torch.cat([rows, gather(features, index)], -1)
        tokens = self.reduce_dim(self.encoder(rows))
        batch = len(tokens)
        tokens = torch.cat([self.cls_token.expand(batch, -1, -1).to(tokens), tokens], 1)
        positions = self.pos_embed(centres)
        positions = torch.cat([self.cls_pos.expand(batch, -1, -1).to(positions), positions], 1)
        mixed = self.norm(self.blocks(tokens, positions))
        groups = mixed[:, 1:]
        pooled = torch.cat([mixed[:, 0], largest(groups, 1)], -1)
        return Encoded(pooled, groups, torch.ones(groups.shape[:2], dtype=torch.bool, device=groups.device))
