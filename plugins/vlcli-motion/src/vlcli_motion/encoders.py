"""`motion/motion-transformer`: features of HumanML3D or KIT, four frames a token, through a small transformer."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vlcli.align.encoder import Encoded, Encoder
from vlcli.errors import VlcliError
from vlcli_motion.features import joints_to_features, layout_of
from vlcli_motion.motion import Motion
from vlcli_motion.skeleton import SKELETONS, SkeletonName

STRIDE = 4
"""Frames a token."""
EARLIEST = 6.0
"""How strongly the first and last heads of the pooling prefer the ends of a motion before training."""
FITTED = 500
"""Motions that mean and spread are taken from."""


class MotionTransformer(Encoder):
    """`motion/motion-transformer`: convolution over patches of four frames, transformer, attention pooling.

    Features are normalised by the mean and the spread of the training motions, which are kept as buffers: `fit` sets
    them. As in HumanML3D's own normalisation, the numbers of one part (positions, rotations, velocities …) share one
    spread, so that joints that hardly move are not blown up.

    Args:
        skeleton: whose features it reads, `humanml3d` (263) or `kit` (251).
        dim: width of the tokens `[B, T/4, dim]` and of the pooled vector.
        layers: blocks of the transformer.
        heads: of the attention; they divide `dim`.
        dropout: while training.
        max_frames: longer motions are cut.

    Raises:
        VlcliError: W701 when the heads do not divide `dim`.
    """

    modality = "motion"
    mean: Tensor
    std: Tensor
    places: Tensor

    def __init__(
        self, skeleton: SkeletonName = "humanml3d", dim: int = 128, layers: int = 2, heads: int = 4,
        dropout: float = 0.1, max_frames: int = 200,
    ) -> None:  # fmt: skip
        super().__init__()
        if dim % heads:
            raise VlcliError("W701", "motion/motion-transformer", f"a width of {dim} is not divided by {heads} heads",
                             "choose another number of heads")  # fmt: skip
        self.skeleton, self.dim, self.max_frames = skeleton, dim, max_frames
        width = SKELETONS[skeleton].features
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))
        self.register_buffer("places", sinusoids(-(-max_frames // STRIDE), dim), persistent=False)
        self.patches = nn.Conv1d(width, dim, 2 * STRIDE, stride=STRIDE, padding=STRIDE // 2)
        block = nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout, "gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.query = nn.Linear(dim, heads)
        # The heads begin with looking early and late: what follows what is then told apart from the start.
        self.when = nn.Parameter(torch.linspace(-EARLIEST, EARLIEST, heads))
        self.pool = nn.Linear(heads * dim, dim)

    def fit(self, items: list[Any]) -> None:
        """Mean and spread of the training motions, of at most `FITTED` at equal steps through them.

        Raises:
            VlcliError: as `preprocess` does.
        """
        chosen = items[:: max(1, len(items) // FITTED)]
        features = torch.cat([self.preprocess(item)["features"] for item in chosen])
        layout = layout_of(SKELETONS[self.skeleton].count)
        std = features.std(0, correction=0)
        for name in ("turn", "velocity", "height", "positions", "rotations", "velocities", "contacts"):
            part = getattr(layout, name)
            # Something that never changes in training is left as large as it is.
            spread = float(std[part].mean())
            std[part] = spread if spread > 1e-4 else 1.0
        self.mean.copy_(features.mean(0))
        self.std.copy_(std)

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """`features` `[T, 263]` as they are, not normalised, and `attention_mask` `[T]`.

        Raises:
            VlcliError: W702 for a motion of the other skeleton, W703 for one of a single frame.
        """
        motion: Motion = item
        if motion.skeleton != self.skeleton:
            what = f"reads {self.skeleton}, this motion is of {motion.skeleton}"
            raise VlcliError("W702", "motion/motion-transformer", what, "embed motions of the space's own skeleton")
        if motion.frames < 2:
            raise VlcliError("W703", "motion/motion-transformer", "can not read a motion of one frame",
                             "give it two frames or more")  # fmt: skip
        features = torch.from_numpy(joints_to_features(motion.joints[: self.max_frames + 1]))
        return {"features": features, "attention_mask": torch.ones(len(features), dtype=torch.long)}

    def augment(self, item: Any, rng: random.Random) -> Any:
        """The motion up to a tenth faster or slower."""
        motion: Motion = item
        count = max(2, round(motion.frames * rng.uniform(0.9, 1.1)))
        return replace(motion, joints=resampled(motion.joints, count))

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Frames."""
        return len(inputs["features"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`features` `[B, T, 263]` and `attention_mask` `[B, T]` to a vector each and tokens `[B, T/4, dim]`."""
        mask = inputs["attention_mask"].bool()
        values = (inputs["features"] - self.mean) / self.std * mask[..., None]
        short = -values.shape[1] % STRIDE
        values = nn.functional.pad(values, (0, 0, 0, short))
        real = nn.functional.pad(mask, (0, short)).view(len(mask), -1, STRIDE).any(-1)
        tokens = self.patches(values.transpose(1, 2)).transpose(1, 2)
        tokens = self.dropout(tokens + self.places[: tokens.shape[1]])
        tokens = self.norm(self.body(tokens, src_key_padding_mask=~real))
        place = torch.arange(tokens.shape[1], device=tokens.device) / real.sum(1, keepdim=True) - 0.5
        scores = self.query(tokens) + place[..., None] * self.when
        scores = scores.masked_fill(~real[..., None], float("-inf")).softmax(1)
        pooled = self.pool(torch.einsum("bth,btd->bhd", scores, tokens).flatten(1))
        return Encoded(pooled, tokens, real)


def sinusoids(length: int, dim: int) -> Tensor:
    """Sinusoidal places `[length, dim]` (Vaswani et al. 2017)."""
    rates = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000.0) / dim))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :dim]


def resampled(joints: np.ndarray, count: int) -> np.ndarray:
    """Joints `[T, J, 3]` as `count` frames, linearly between the given ones."""
    at = np.linspace(0, len(joints) - 1, count)
    low = np.minimum(at.astype(int), len(joints) - 2)
    share = (at - low)[:, None, None].astype(np.float32)
    between: np.ndarray = joints[low] * (1 - share) + joints[low + 1] * share
    return between
