"""What an encoder is: a torch module from the inputs of one modality to pooled and token embeddings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn


@dataclass
class Encoded:
    """The output of an encoder.

    Attributes:
        pooled: one vector per item `[B, D]`, not normalised.
        tokens: a vector per token, patch or frame `[B, T, D_tokens]`, or None when the encoder has none.
        mask: `[B, T]`, true where a token is real; None when all are.
    """

    pooled: Tensor
    tokens: Tensor | None = None
    mask: Tensor | None = None


class Encoder(nn.Module):
    """Base of all encoders.

    A subclass sets `modality` and `dim` (width of `pooled`), and implements `preprocess` and `forward`.
    Preprocessing runs on the CPU in loader threads; `forward` gets the collated batch on the module's device.
    """

    modality: str
    dim: int

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """One loaded item (the modality's canonical form) to the tensors of one item, without a batch axis."""
        raise NotImplementedError

    def preprocess_many(self, items: Sequence[Any]) -> list[dict[str, Tensor]]:
        """`preprocess` of several items at once, where that is faster (tokenizers); the results must be the same."""
        return [self.preprocess(item) for item in items]

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """A collated batch to `Encoded`."""
        raise NotImplementedError

    def fit(self, items: list[Any]) -> None:
        """Learn what the encoder needs from training items before training (a vocabulary, a mean); by default nothing.

        Text encoders get all training captions, others at most 2,000 loaded items.
        """

    def augment(self, item: Any, rng: random.Random) -> Any:
        """A random variation of a loaded item, drawn with `rng` alone; the item itself by default."""
        return item

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Cost of one preprocessed item, for batches of equal cost (tokens, frames); 1 for items of a fixed size."""
        return 1

    def reference(self) -> dict[str, str] | None:
        """Where the untouched weights come from, `{"source": …, "sha256": …}`, or None when only a copy will do.

        A space that holds an unchanged encoder with a reference saves the reference instead of the weights.
        """
        return None

    def save_assets(self, folder: Path) -> None:
        """Write what `preprocess` needs beside the weights (a tokenizer, a vocabulary); by default nothing."""

    def load_assets(self, folder: Path) -> None:
        """Read what `save_assets` wrote."""

    @classmethod
    def restore(cls, folder: Path, **options: Any) -> Self:
        """An encoder of the same structure from what `save_assets` wrote; its weights are loaded afterwards.

        Override it where constructing with `options` would read pretrained weights that are replaced at once.
        """
        encoder = cls(**options)
        encoder.load_assets(folder)
        return encoder


def to_device(inputs: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Move a batch's tensors to a device."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
