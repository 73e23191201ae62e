"""What made motions are measured with: a classifier of action sequences, and distances between sets of motions.

The classifier reads a motion and names its first, second, … movement, or none; a motion counts as right when all are.
It is trained on real motions alone and its accuracy on held-out real motions is reported beside every other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from vlcli_motion.features import KIT_LAYOUT, LAYOUT
from vlcli_motion.methods.lamp.config import STRIDE

SEPARATOR = ", "
"""Between the movements of an example's label, in their order."""
NOTHING = ""
"""The class of a place that a shorter sequence leaves empty."""
NOISE = 0.3
"""Deviation of the noise in training, in deviations of the features."""
SEGMENTS = 12
"""A motion of any length is summed up in so many parts, in their order."""


def movements(label: str) -> list[str]:
    """`walk forward, turn left` -> its movements."""
    return label.split(SEPARATOR)


@dataclass(frozen=True)
class Classes:
    """What the classifier tells apart.

    Attributes:
        names: of the movements; the first is "no movement".
        places: longest sequence.
    """

    names: tuple[str, ...]
    places: int

    @classmethod
    def of(cls, labels: Sequence[str]) -> Classes:
        """All movements that these labels name."""
        rows = [movements(label) for label in labels]
        return cls((NOTHING, *sorted({name for row in rows for name in row})), max(map(len, rows)))

    def targets(self, labels: Sequence[str]) -> Tensor:
        """Classes of each place `[B, places]`; -1 where a label names what training lacks."""
        index = {name: number for number, name in enumerate(self.names)}
        rows = [(movements(label) + [NOTHING] * self.places)[: max(self.places, 1)] for label in labels]
        return torch.tensor([[index.get(name, -1) for name in row] for row in rows])


class MotionClassifier(nn.Module):
    """Features `[T, F]` of any length -> logits `[B, places, classes]`: convolutions, then its parts in order.

    It reads how the root moves and where the joints are, averaged over four frames; rotations, velocities and contacts
    say the same again with more noise. Training adds noise, so that it judges what is done and not how smoothly.

    Args:
        mean, std: of the features `[F]`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classes: Classes, mean: Tensor, std: Tensor, width: int = 64, dim: int = 96) -> None:
        super().__init__()
        self.classes = classes
        known = {layout.width: layout.positions.stop for layout in (LAYOUT, KIT_LAYOUT)}
        self.columns = known.get(len(mean), len(mean))
        self.register_buffer("mean", mean[: self.columns].clone())
        self.register_buffer("std", std[: self.columns].clone())
        self.first = nn.Conv1d(self.columns, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=1)
        self.hidden = nn.Linear(SEGMENTS * width, dim)
        self.out = nn.Linear(dim, classes.places * len(classes.names))
        self.dropout = nn.Dropout(0.2)

    def embed(self, motions: Sequence[Tensor]) -> Tensor:
        """What the last layer sees of motions: `[B, dim]`."""
        rows = [self.steps(motion) for motion in motions]
        x = pad_sequence(rows, batch_first=True)
        inside = (torch.arange(x.shape[1]) < torch.tensor([len(row) for row in rows])[:, None])[:, None]
        if self.training:
            x = x + NOISE * torch.randn(x.shape)
        # Zeros outside, as the convolutions pad: a motion is judged alike in any batch.
        x = functional.gelu(self.first(x.mT.masked_fill(~inside, 0.0)))
        x = functional.gelu(self.second(x.masked_fill(~inside, 0.0)))
        parts = [functional.adaptive_avg_pool1d(row[None, :, : len(steps)], SEGMENTS)[0]
                 for row, steps in zip(x, rows, strict=True)]  # fmt: skip
        return functional.gelu(self.hidden(self.dropout(torch.stack(parts).flatten(1))))

    def steps(self, motion: Tensor) -> Tensor:
        """Means over four frames of the normalised columns, `[ceil(T / 4), C]`."""
        normal = (motion[:, : self.columns] - self.mean) / self.std
        return functional.avg_pool1d(normal.mT[None], STRIDE, ceil_mode=True)[0].mT

    def forward(self, motions: Sequence[Tensor]) -> Tensor:
        """Logits `[B, places, classes]`."""
        logits: Tensor = self.out(self.dropout(self.embed(motions)))
        return logits.view(len(motions), self.classes.places, len(self.classes.names))

    @torch.no_grad()
    def accuracy(self, motions: Sequence[Tensor], labels: Sequence[str]) -> tuple[float, float]:
        """Share of motions whose every movement is named rightly and in order, and share of movements.

        A movement that only one of label and answer has counts as wrong; a place that both leave empty does not count.
        """
        found = torch.cat([self(motions[at : at + 100]).argmax(-1) for at in range(0, len(motions), 100)])
        targets = self.classes.targets(labels)
        right, asked = found == targets, (found != 0) | (targets != 0)
        return float(right.all(1).float().mean()), float(right[asked].float().mean())

    @torch.no_grad()
    def embeddings(self, motions: Sequence[Tensor]) -> np.ndarray:
        """`[B, dim]` float64, for distances between sets."""
        rows = [self.embed(motions[at : at + 100]) for at in range(0, len(motions), 100)]
        return torch.cat(rows).double().numpy()


def train_classifier(
    motions: Sequence[Tensor], labels: Sequence[str], mean: Tensor, std: Tensor, *, steps: int, seed: int,
    batch_size: int = 32, learning_rate: float = 2e-3,
) -> MotionClassifier:  # fmt: skip
    """A classifier from real motions `[T, F]` (CPU) and their labels; the same for the same seed."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        classes = Classes.of(labels)
        model = MotionClassifier(classes, mean.cpu(), std.cpu()).train()
        targets = classes.targets(labels)
        optimizer = torch.optim.AdamW(model.parameters(), learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
        order = torch.randperm(len(motions))
        for step in range(steps):
            at = step * batch_size % len(motions)
            if at + batch_size > len(motions):
                order = torch.randperm(len(motions))
                at = 0
            rows = order[at : at + batch_size].tolist()
            logits = model([motions[row] for row in rows])
            loss = functional.cross_entropy(logits.flatten(0, 1), targets[rows].flatten(), label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        return model.eval()
    finally:
        torch.random.set_rng_state(state)


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Fréchet distance of two normal distributions fitted to `[N, D]` and `[M, D]` (Heusel et al. 2017, as in FID).

    The trace of the root of the product is the sum of the roots of its eigenvalues, which are not negative.
    """
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    eigenvalues = np.linalg.eigvals(one @ two)
    root = np.sqrt(np.clip(eigenvalues.real, 0, None)).sum()
    difference = first.mean(0) - second.mean(0)
    return float(max(0.0, difference @ difference + np.trace(one) + np.trace(two) - 2 * root))


def shuffled(count: int) -> list[int]:
    """Places after a shift by half: everything gets another's, and the same one every time."""
    return [(row + max(1, count // 2)) % count for row in range(count)]
