"""What the stages after LaMP's pretraining share: the batch, the context, and the base of a stage's module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vlcli.data.dataset import Example
from vlcli_motion.methods.lamp.model import Lamp, MotionTokens

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def pad_motions(motions: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Features `[T_i, F]` to `[B, T, F]`, zeros at the end, and the mask of real frames `[B, T]`."""
    features = pad_sequence(list(motions), batch_first=True)
    lengths = torch.tensor([len(motion) for motion in motions], device=features.device)
    return features, torch.arange(features.shape[1], device=features.device) < lengths.unsqueeze(1)


@dataclass
class LampBatch:
    """Pairs of motions and texts.

    Attributes:
        tokens: what the frozen VQ-VAE says about the motions.
        ids, word_mask: `[B, L]` of the texts, `[CLS]` first and `[SEP]` last.
        captions: the texts.
        examples: where they come from.
        motions: features `[T_i, F]` of each motion (CPU).
    """

    tokens: MotionTokens
    ids: Tensor
    word_mask: Tensor
    captions: list[str]
    examples: list[Example]
    motions: list[Tensor]

    @property
    def codes(self) -> Tensor:
        """VQ codes `[B, N]`, 0 on padding."""
        return self.tokens.codes

    @property
    def code_mask(self) -> Tensor:
        """`[B, N]`, true at real tokens."""
        return self.tokens.mask

    @property
    def features(self) -> Tensor:
        """Features `[B, T, F]`, zeros on padding."""
        return pad_motions(self.motions)[0].to(self.ids.device)

    @property
    def frame_mask(self) -> Tensor:
        """`[B, T]`, true at real frames."""
        return pad_motions(self.motions)[1].to(self.ids.device)


@dataclass
class PartContext:
    """What a part may use; the modules are frozen and in evaluation mode.

    Attributes:
        lamp: the pretrained model.
        tokenizer: of the texts.
        condition: ids and mask `[B, L]` -> `[B, D]`, LaMP's or the static baseline's.
        examples: split (`train`, `validation`, `test`) -> its examples.
        features: examples -> features `[T, F]` of each (CPU).
        tokens: examples -> their motion tokens, padded, on the device.
        seed: of the run.
        device: where the modules are.
    """

    lamp: Lamp
    tokenizer: Tokenizer
    condition: Callable[[Tensor, Tensor], Tensor]
    examples: Callable[[str], list[Example]]
    features: Callable[[Sequence[Example]], list[Tensor]]
    tokens: Callable[[Sequence[Example]], MotionTokens]
    seed: int
    device: torch.device


class LampPart(nn.Module):
    """A stage after the pretraining: a module with its loss, metrics and files.

    Attributes:
        name: of the stage.
        share: its steps, relative to the other stages' shares.
        batch_size: examples in a batch.
        lr_scale: multiplies the learning rate.
    """

    name: str
    share: float
    batch_size: int
    lr_scale: float = 1.0

    def start(self, context: PartContext) -> None:
        """Called before the stage's first step, and again when a run is resumed in it or after it."""

    def loss(self, context: PartContext, batch: LampBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """Named terms whose sum is minimised; `generator` (CPU) is the only source of randomness."""
        raise NotImplementedError

    def evaluate(self, context: PartContext) -> dict[str, float]:
        """Final metrics."""
        return {}

    def save(self, folder: Path) -> None:
        """Write its files into the model's folder."""
        raise NotImplementedError
