"""The baseline's text condition: a bag of words contrasted with single frames, as CLIP is with pictures.

It knows which poses go with which words and nothing about time: neither the order of words nor that of frames.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli_motion.methods.lamp.config import LampConfig
from vlcli_motion.methods.lamp.model import MAXIMUM_LOG_SCALE
from vlcli_motion.methods.lamp.objectives import contrast_loss

POSE = slice(3, 193)
"""Height, joint positions and rotations of HumanML3D's features: what one frame shows, without any velocity."""


class StaticCondition(nn.Module):
    """Word bag and pose in one space of the config's `dim`; the condition has its `width`."""

    def __init__(self, config: LampConfig) -> None:
        super().__init__()
        self.pose = POSE if config.features > POSE.stop else slice(0, config.features)
        width = config.width
        numbers = self.pose.stop - self.pose.start
        self.words = nn.Embedding(config.vocabulary, width)
        self.text = nn.Sequential(nn.Linear(width, config.hidden), nn.GELU(), nn.Linear(config.hidden, width),
                                  nn.LayerNorm(width))  # fmt: skip
        self.frame = nn.Sequential(nn.Linear(numbers, config.hidden), nn.GELU(), nn.Linear(config.hidden, width),
                                   nn.LayerNorm(width))  # fmt: skip
        self.text_proj, self.frame_proj = nn.Linear(width, config.dim), nn.Linear(width, config.dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def text_condition(self, ids: Tensor, word_mask: Tensor) -> Tensor:
        """`[B, D]` of texts `[B, L]`; the order of their words does not count."""
        real = word_mask.to(self.words.weight.dtype).unsqueeze(2)
        bag = (self.words(ids) * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)
        return cast(Tensor, self.text(bag))

    def loss(self, frames: Tensor, ids: Tensor, word_mask: Tensor, groups: Tensor | None = None) -> Tensor:
        """Contrast of normalised single frames `[B, F]` with texts `[B, L]`."""
        x = functional.normalize(self.frame_proj(self.frame(frames[:, self.pose])), dim=-1)
        y = functional.normalize(self.text_proj(self.text_condition(ids, word_mask)), dim=-1)
        return contrast_loss(x @ y.T, self.log_scale.clamp(max=MAXIMUM_LOG_SCALE).exp(), groups)
