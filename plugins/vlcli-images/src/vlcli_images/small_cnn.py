"""`images/small-cnn`: a small trainable tower for toy worlds and for one's own small pictures."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vlcli.align.encoder import Encoded, Encoder


class SmallCNN(Encoder):
    """Convolutions of stride 2 with group norm, then one linear map of the flattened grid.

    The grid is flattened rather than averaged, so that places survive; group norm rather than batch norm, so that an
    embedding does not depend on its batch.

    Args:
        side: pictures are resized to this square; a multiple of 8.
        width: channels of the first layer; doubled in the next.
        dim: width of the pooled vector. `tokens` are the last grid `[B, (side/8)², 2*width]`.
    """

    modality = "images"

    def __init__(self, side: int = 32, width: int = 32, dim: int = 128) -> None:
        super().__init__()
        self.side, self.dim = side, dim
        self.min_side = side
        channels = [3, width, 2 * width, 2 * width]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.pool = nn.Linear(2 * width * (side // 8) ** 2, dim)

    def preprocess(self, item: Image.Image) -> dict[str, Tensor]:
        """`pixels` `[3, side, side]` in [-1, 1]."""
        image = item if item.size == (self.side, self.side) else item.resize((self.side, self.side))
        pixels = torch.from_numpy(np.asarray(image.convert("RGB"), np.float32).transpose(2, 0, 1).copy())
        return {"pixels": pixels / 127.5 - 1}

    def augment(self, item: Any, rng: random.Random) -> Any:
        """A shift of at most a sixteenth of the side, with the edge repeated; nothing that changes what is shown."""
        reach = max(1, min(item.size) // 16)
        shift = (rng.randint(-reach, reach), rng.randint(-reach, reach))
        return item.transform(item.size, Image.Transform.AFFINE, (1, 0, shift[0], 0, 1, shift[1]))

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """Pooled vector and grid tokens."""
        grid = self.body(inputs["pixels"])
        return Encoded(self.pool(grid.flatten(1)), grid.flatten(2).transpose(1, 2))
