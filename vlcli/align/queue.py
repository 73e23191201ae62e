"""A queue of past features: more negatives than a batch holds (MoCo, He et al., 2020; ALBEF)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vlcli.align.gather import Group, gather_constant


class FeatureQueue(nn.Module):
    """A ring buffer of features and their ids; all of it in buffers, so checkpoints hold it.

    Batches of any size go in: the ring wraps around, and of a batch longer than the queue the last rows stay
    (released code instead demands that the size be divisible by the batch). With several processes every one enqueues
    the rows of all, so the queues stay equal.

    Args:
        size: number of slots; dim: width of a feature.
        random: whether empty slots hold random unit vectors and count as negatives from the start (MoCo, ALBEF);
            otherwise `features` grows until the queue is full.
        generator: for the random vectors.
    """

    features_buffer: Tensor
    ids_buffer: Tensor
    pointer: Tensor
    filled: Tensor

    NO_ID = -1
    """Id of a random slot; give no item this id."""

    def __init__(self, size: int, dim: int, random: bool = False, generator: torch.Generator | None = None) -> None:
        super().__init__()
        start = torch.zeros(size, dim)
        if random:
            start = nn.functional.normalize(torch.randn(size, dim, generator=generator), dim=1)
        self.register_buffer("features_buffer", start)
        self.register_buffer("ids_buffer", torch.full((size,), self.NO_ID, dtype=torch.long))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.register_buffer("filled", torch.tensor(size if random else 0))

    @property
    def features(self) -> Tensor:
        """The filled slots `[K, D]` (a copy: later enqueues must not change what a graph refers to)."""
        return self.features_buffer[: int(self.filled)].clone()

    @property
    def ids(self) -> Tensor:
        """The ids `[K]` of the filled slots; -1 for those enqueued without an id."""
        return self.ids_buffer[: int(self.filled)].clone()

    @torch.no_grad()
    def enqueue(self, features: Tensor, ids: Tensor | None = None, group: Group = None) -> None:
        """Put in `[B, D]` features (and `[B]` ids) of this process and all others; the oldest go out."""
        size = self.features_buffer.shape[0]
        if ids is None:
            ids = torch.full((features.shape[0],), self.NO_ID, dtype=torch.long, device=features.device)
        features = gather_constant(features, group)[-size:]
        ids = gather_constant(ids, group)[-size:]
        slots = (torch.arange(len(features), device=features.device) + self.pointer) % size
        self.features_buffer[slots] = features.to(self.features_buffer.dtype)
        self.ids_buffer[slots] = ids
        self.pointer.copy_((self.pointer + len(features)) % size)
        self.filled.copy_(torch.clamp(self.filled + len(features), max=size))
