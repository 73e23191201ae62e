"""The dual encoder of the training benchmark: a transformer over patches and one over words, in plain torch.

`PlainTowers` is what the peers train; `vlcli_method` puts copies of the same modules into a space and a method.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.space import Space, Tower
from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.methods.contrastive import Contrastive
from vlcli.registry import Registry
from vlcli.train.batches import Batch
from vlcli.train.method import Setup

WIDTH, DEPTH, DIM, PATCHES, WORDS, VOCABULARY = 192, 3, 128, 16, 24, 1000


def transformer(depth: int) -> nn.Module:
    """A plain transformer encoder without dropout."""
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
    return nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)


class PatchTower(nn.Module):
    """`[B, 16, 192]` to `[B, 128]`."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.body, self.out = transformer(depth), nn.Linear(WIDTH, DIM, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Not normalised."""
        out: Tensor = self.out(self.body(inputs).mean(1))
        return out


class WordTower(nn.Module):
    """`[B, 24]` ids to `[B, 128]`."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.body, self.out = transformer(depth), nn.Linear(WIDTH, DIM, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Not normalised."""
        out: Tensor = self.out(self.body(self.words(inputs)).mean(1))
        return out


class PlainTowers(nn.Module):
    """Both towers with a logit scale; called as open_clip's loop calls a model."""

    def __init__(self, depth: int = DEPTH) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.images, self.text = PatchTower(depth), WordTower(depth)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, images: Tensor, text: Tensor) -> dict[str, Tensor]:
        """Unit vectors and the scale."""
        return {
            "image_features": functional.normalize(self.images(images), dim=-1),
            "text_features": functional.normalize(self.text(text), dim=-1),
            "logit_scale": self.logit_scale.exp(),
        }


def batches(count: int, size: int) -> list[tuple[Tensor, Tensor]]:
    """Random patches and words."""
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(size, PATCHES, WIDTH, generator=generator),
         torch.randint(VOCABULARY, (size, WORDS), generator=generator))
        for _ in range(count)
    ]  # fmt: skip


class Side(Encoder):
    """One of the plain towers as an encoder."""

    def __init__(self, modality: str, body: nn.Module) -> None:
        super().__init__()
        self.modality, self.dim, self.body = modality, DIM, body

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`x` to pooled vectors."""
        return Encoded(self.body(inputs["x"]))


def vlcli_method(towers: PlainTowers, registry: Registry) -> Contrastive:
    """The contrastive method over copies of the towers."""
    sides = {name: Tower(Side(name, copy.deepcopy(getattr(towers, name))), name=name) for name in ("images", "text")}
    method = Contrastive()
    method.build(Setup(Space("bench", sides), registry, 0, 1, list))
    return method


class ReadyBatches:
    """A loader of batches that are in memory; `mark` is called whenever one is taken."""

    def __init__(self, ready: list[tuple[Tensor, Tensor]], mark: Any) -> None:
        self.batches = [self.batch(images, text) for images, text in ready]
        self.mark = mark

    @staticmethod
    def batch(images: Tensor, text: Tensor) -> Batch:
        """A batch without sources."""
        numbers = range(len(images))
        examples = [Example(str(number), {"images": Source(id=str(number), value="")}) for number in numbers]
        captions = [str(number) for number in numbers]
        return Batch({"images": {"x": images}, "text": {"x": text}}, {}, torch.arange(len(images)), examples, captions)

    @property
    def steps_per_epoch(self) -> int:
        """As many as there are batches."""
        return len(self.batches)

    def stream(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches in order."""
        for step in range(start, stop):
            self.mark()
            yield self.batches[step]
        self.mark()
