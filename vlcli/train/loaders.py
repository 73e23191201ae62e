"""What the loop reads batches from, and the loader of methods that do not train the towers of a space."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from vlcli.data.dataset import Example
from vlcli.errors import VlcliError
from vlcli.train.batches import Batch, derive_seed, prefetched
from vlcli.train.method import Stage

OWN_INPUTS = "batch"
"""The key of `Batch.inputs` under which an `ExampleLoader` puts what its `collate` gave."""

Collate = Callable[[list[Example], random.Random], dict[str, Tensor]]
"""Examples and their own seeded randomness -> tensors `[B, …]`."""


class Loader(Protocol):
    """Batches of a stage. The batch of a step must depend on nothing but the step: runs are resumed inside an epoch."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one pass over the data."""
        ...

    def stream(self, start: int, stop: int) -> Iterator[Batch]:
        """This process's part of the batches of the steps from `start` to `stop`, on the CPU."""
        ...


@dataclass(frozen=True)
class LoaderSpec:
    """What the recipe and the process say about loading.

    Attributes:
        stage: the stage that is loaded for.
        batch_size: examples per step over all processes.
        seed: of the run.
        rank, world_size: this process's part of every batch.
    """

    stage: Stage
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1


class ExampleLoader:
    """Batches of examples for a method that makes its own tensors.

    Args:
        examples: of the training split.
        collate: makes the tensors of a batch; they become `batch.inputs["batch"]`.
        spec: batch size, seed and process, as `Method.loader` receives them.
        balance: gives an example's group; groups are then drawn equally often, whatever their sizes, and an epoch has
            as many examples as without.

    Raises:
        VlcliError: T111 when a batch can not be shared by the processes.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        collate: Collate,
        spec: LoaderSpec,
        balance: Callable[[Example], str] | None = None,
    ) -> None:
        self.examples = list(examples)
        self.collate = collate
        self.spec = spec
        self.batch_size = min(spec.batch_size, len(self.examples))
        if self.batch_size < spec.world_size:
            what = f"a batch of {self.batch_size} can not be shared by {spec.world_size} processes"
            raise VlcliError("T111", "train.batch_size", what, "raise it, or start fewer processes")
        groups: dict[str, list[int]] = {}
        for index, example in enumerate(self.examples):
            groups.setdefault("" if balance is None else balance(example), []).append(index)
        self.groups = [groups[name] for name in sorted(groups)]
        self.turns: dict[int, tuple[int, list[int]]] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in a pass; the rest of each pass is left out, and differs from epoch to epoch."""
        return max(1, len(self.examples) // self.batch_size)

    def indices(self, step: int) -> list[int]:
        """Indices of the examples in the global batch of a step: the groups take turns, each in its own order."""
        found = []
        for slot in range(step * self.batch_size, (step + 1) * self.batch_size):
            turn, number = divmod(slot, len(self.groups))
            found.append(self.member(number, turn))
        return found

    def member(self, number: int, turn: int) -> int:
        """The example that a group gives at its turn; every pass over the group has an order of its own.

        A pass of a single group is cut to full batches, so that an epoch of the loop is a pass over the data.
        """
        members = self.groups[number]
        length = len(members)
        if len(self.groups) == 1:
            length = self.steps_per_epoch * self.batch_size
        lap, position = divmod(turn, length)
        if self.turns.get(number, (-1, []))[0] != lap:
            generator = torch.Generator().manual_seed(derive_seed(self.spec.seed, "order", number, lap))
            self.turns[number] = (lap, torch.randperm(len(members), generator=generator).tolist())
        return members[self.turns[number][1][position]]

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of a step."""
        spec = self.spec
        chosen = self.indices(step)[spec.rank :: spec.world_size]
        examples = [self.examples[index] for index in chosen]
        rng = random.Random(derive_seed(spec.seed, "collate", spec.stage.name, step, spec.rank))
        return Batch({OWN_INPUTS: self.collate(examples, rng)}, {}, torch.tensor(chosen), examples)

    def stream(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches of the steps from `start` to `stop`, the next one prepared while the present one is used."""
        return prefetched(self.batch, start, stop)
