"""A world of numbers with captions, small towers for it, and methods that misbehave on request."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from vlcli.align.encoder import Encoded, Encoder
from vlcli.api import Source
from vlcli.data.collate import pad_and_stack
from vlcli.data.dataset import Example
from vlcli.methods.contrastive import Contrastive
from vlcli.train.batches import Batch
from vlcli.train.loaders import ExampleLoader, LoaderSpec
from vlcli.train.method import Method, Setup, Stage, StepState

WIDTH = 6


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PairsOptions(Options):
    size: int = 24
    seed: int = 0
    world: int = 0
    splits: bool = True
    captions: bool = True
    damaged: bool = False


class Pairs:
    """Vectors around the directions of twelve words; `world` turns the directions."""

    def __init__(self, size: int, seed: int, world: int, splits: bool, captions: bool, damaged: bool) -> None:
        words = [f"word{index}" for index in range(12)]
        centres = torch.randn(12, WIDTH, generator=torch.Generator().manual_seed(world))
        noise = torch.Generator().manual_seed(1000 + seed)
        self.examples = []
        for number in range(size):
            vector = centres[number % 12] + 0.1 * torch.randn(WIDTH, generator=noise)
            if damaged and number == 3:
                vector[0] = float("nan")
            split = ("train", "train", "val", "test")[number // 12 % 4] if splits else None
            source = Source(id=f"n{number}", value=json.dumps(vector.tolist()))
            text = (f"{words[number % 12]} number {number}",) if captions else ()
            self.examples.append(Example(f"n{number}", {"numbers": source}, text, None, split))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


class Numbers:
    """The modality: JSON lists."""

    name = "numbers"

    def expand(self, path: Path) -> Any:
        yield Source(id=str(path), path=path)

    def load(self, source: Source) -> list[float]:
        found: list[float] = json.loads(source.value or "")
        return found

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return pad_and_stack(inputs)

    def preview(self, source: Source, size: int = 256) -> bytes:
        raise NotImplementedError


class NetOptions(Options):
    width: int = 8
    dropout: float = 0.0
    batch_norm: bool = False
    scale: float = 1.0
    weights: int = 0
    memory: int = 0


class Net(Encoder):
    """Two layers; `memory` is the largest batch that "fits", `weights` the seed of its weights."""

    modality = "numbers"
    calls: ClassVar[list[int]] = []
    """Sizes of all batches that any of them encoded in evaluation mode."""

    def __init__(self, width: int, dropout: float, batch_norm: bool, scale: float, weights: int, memory: int) -> None:
        super().__init__()
        self.dim, self.scale, self.memory = width, scale, memory
        with torch.random.fork_rng():
            torch.manual_seed(weights)
            norm = nn.BatchNorm1d(12) if batch_norm else nn.LayerNorm(12)
            self.body = nn.Sequential(nn.Linear(WIDTH, 12), norm, nn.ReLU(), nn.Dropout(dropout))
            self.last = nn.Linear(12, width)

    def preprocess(self, item: list[float]) -> dict[str, Tensor]:
        return {"values": self.scale * torch.tensor(item)}

    def augment(self, item: list[float], rng: random.Random) -> list[float]:
        return [value + rng.gauss(0, 0.1) for value in item]

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        if not self.training:
            Net.calls.append(len(inputs["values"]))
        elif self.memory and len(inputs["values"]) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory (a test)")
        return Encoded(self.last(self.body(inputs["values"])))


class Letters(Encoder):
    """Text as counts of characters through one layer."""

    modality = "text"

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.dim = width
        self.layer = nn.Linear(64, width)

    def preprocess(self, item: str) -> dict[str, Tensor]:
        return {"counts": torch.bincount(torch.tensor([ord(sign) % 64 for sign in item]), minlength=64).float()}

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        return Encoded(self.layer(inputs["counts"]))


class LettersOptions(Options):
    width: int = 8


class SpoilOptions(Options):
    mode: str = "nan"
    at: int = 3


class Spoil(Contrastive):
    """The contrastive method, with a loss that goes wrong."""

    def __init__(self, mode: str, at: int) -> None:
        super().__init__()
        self.mode, self.at = mode, at

    def loss(self, encoded: dict[str, Tensor], batch: Batch, state: StepState) -> dict[str, Tensor]:
        terms = super().loss(encoded, batch, state)
        if state.global_step < self.at:
            return terms
        factor = {"nan": float("nan"), "inf": float("inf"), "grow": 1e6}[self.mode]
        return {"total": terms["total"] * factor}


class TwoTurns(Method):
    """Two parts that learn against each other, each with its own optimizer; not to be cut into micro-batches."""

    def build(self, setup: Setup) -> None:
        self.space = setup.require_space("toys/two-turns", "numbers", "text")
        self.critic = nn.Linear(self.space.dim, 1)
        self.seen: list[dict[str, bool]] = []

    def optimizers(self) -> dict[str, tuple[str, ...]]:
        return {"space": ("space.*",), "critic": ("critic.*",)}

    def training_step(self, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        from vlcli.train.batches import embed_side

        x, y = (embed_side(self.space, batch, name) for name in ("numbers", "text"))
        fooled = self.critic(x).mean() - self.critic(y).mean()
        if optimizer == "space":
            return {"fit": (x - y).square().mean() + fooled.abs() + 0 * self.space.logit_scale}
        return {"critic": -fooled}

    def after_backward(self, state: StepState) -> None:
        self.seen.append({name: one.grad is not None for name, one in self.named_parameters()})

    def result_space(self) -> Any:
        return self.space


class Overlapping(TwoTurns):
    """Says of one parameter that two optimizers update it."""

    def optimizers(self) -> dict[str, tuple[str, ...]]:
        return {"space": ("*",), "critic": ("critic.*",)}


class OnlyLongOptions(Options):
    least: int = 4


class OnlyLong:
    """A filter that drops all, or nearly all."""

    def __init__(self, least: int) -> None:
        self.least = least

    def __call__(self, examples: Sequence[Example]) -> list[Example]:
        return list(examples)[: self.least]


class Averager(Method):
    """Makes no space: one number that learns the examples' mean number, from batches of its own."""

    def build(self, setup: Setup) -> None:
        self.examples = setup.examples
        self.number = nn.Parameter(torch.zeros(1))

    def stages(self) -> list[Stage]:
        return [Stage("first"), Stage("second", data={"size": 40})]

    def loader(self, examples: list[Example], spec: LoaderSpec) -> ExampleLoader:
        def collate(chosen: list[Example], rng: random.Random) -> dict[str, Tensor]:
            return {"values": torch.tensor([value_of(example) + rng.gauss(0, 1e-3) for example in chosen])}

        return ExampleLoader(examples, collate, spec, balance=lambda example: example.captions[0][:1])

    def training_step(self, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        return {"error": (batch.inputs["batch"]["values"] - self.number).square().mean()}

    def validate(self) -> dict[str, float]:
        return {"validation/error": self.error("validation")}

    def evaluate(self, evaluate: Any) -> dict[str, float]:
        return {"test/error": self.error("test")}

    def error(self, split: str) -> float:
        values = torch.tensor([value_of(example) for example in self.examples(split)])
        return float((values - self.number.detach()).square().mean())

    def save(self, folder: Path) -> bool:
        (folder / "number.json").write_text(json.dumps(float(self.number.detach())), encoding="utf-8")
        return True


def value_of(example: Example) -> float:
    """The first number of an example."""
    value = example.sources["numbers"].value
    assert value is not None
    return float(json.loads(value)[0])
