"""From a data set to training batches: a deterministic order, captions, views, and cached features of frozen towers.

Every choice (order, caption, view) is a function of the seed, the epoch and the example alone. Resuming a run
therefore needs no more than the number of the next step, and several processes agree without talking.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vlcli.align.encoder import Encoded
from vlcli.api import Modality, Source
from vlcli.data.dataset import Dataset, Example
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.registry import Registry
    from vlcli.train.frozen import FeatureBank


@dataclass
class Batch:
    """A training batch.

    Attributes:
        inputs: modality -> collated inputs of its encoder, each `[B, …]`.
        encoded: modality -> cached output of its frozen encoder (then it has no `inputs`).
        ids: `[B]`, equal for examples that show the same thing (the same caption text counts as the same thing).
        examples: the examples themselves.
        captions: the caption chosen for each example, empty without text.
    """

    inputs: dict[str, dict[str, Tensor]]
    encoded: dict[str, Encoded]
    ids: Tensor
    examples: list[Example]
    captions: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.examples)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return replace(
            self,
            inputs={name: {key: value.to(device) for key, value in part.items()} for name, part in self.inputs.items()},
            encoded={name: Encoded(part.pooled.to(device)) for name, part in self.encoded.items()},
            ids=self.ids.to(device),
        )

    def rows(self, start: int, stop: int) -> Batch:
        """The examples from `start` to `stop`."""
        part = slice(start, stop)
        return Batch(
            {name: {key: value[part] for key, value in one.items()} for name, one in self.inputs.items()},
            {name: Encoded(one.pooled[part]) for name, one in self.encoded.items()},
            self.ids[part],
            self.examples[part],
            self.captions[part],
        )


@dataclass(frozen=True)
class Plan:
    """One example's turn in an epoch: its index, the caption and the view that were drawn."""

    index: int
    caption: str
    view: int


HELD_OUT = 10
"""Of data without splits, one example in ten is held out for validation and one in ten for testing."""


def examples_of(dataset: Dataset, split: str) -> list[Example]:
    """The examples of a split, or of several joined by `+`.

    Data without any splits gets `train`, `val` and `test`, drawn by row number.

    Raises:
        VlcliError: T106 when the split is empty.
    """
    examples = [dataset[index] for index in range(len(dataset))]
    if all(example.split is None for example in examples):
        examples = with_splits(examples)
    wanted = split.split("+")
    chosen = [example for example in examples if example.split in wanted]
    if not chosen:
        known = ", ".join(sorted({str(example.split) for example in examples})) or "none"
        raise VlcliError("T106", "data", f"no example has the split '{split}'",
                         f"splits found: {known}; leave one out with data.{split_key(split)} = \"\"")  # fmt: skip
    return chosen


def with_splits(examples: list[Example]) -> list[Example]:
    """The examples with a split each, always the same for the same number of them."""
    count = len(examples) // HELD_OUT or (1 if len(examples) >= 4 else 0)
    drawn = sorted(range(len(examples)), key=lambda index: derive_seed("split", index))
    names = dict.fromkeys(drawn[:count], "test") | dict.fromkeys(drawn[count : 2 * count], "val")
    return [replace(example, split=names.get(index, "train")) for index, example in enumerate(examples)]


def split_key(split: str) -> str:
    """The key of `[data]` that usually names a split."""
    return {"val": "validation"}.get(split, split)


class PairLoader:
    """Batches of examples for the towers of a space.

    Args:
        examples: of the training split.
        space: its towers say which modalities are loaded; `text` comes from the captions.
        batch_size: examples per step over all processes.
        seed: of the order and the draws.
        views: augmented views per item when features are cached; without a bank every epoch draws anew.
        banks: modality -> cached features of its frozen encoder.
        augment: whether encoders augment what is not cached.
        keep_inputs: hold preprocessed inputs in memory; only without augmentation.
        rank, world_size: this process's part of every batch.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        space: Space,
        registry: Registry,
        *,
        batch_size: int,
        seed: int,
        views: int = 1,
        banks: dict[str, FeatureBank] | None = None,
        augment: bool = False,
        keep_inputs: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.examples = list(examples)
        self.space = space
        self.seed = seed
        self.views = views
        self.banks = banks or {}
        self.augment = augment
        self.rank, self.world_size = rank, world_size
        self.batch_size = min(batch_size, len(self.examples))
        self.with_text = "text" in space.towers
        self.modalities = {name: load_modality(registry, name) for name in space.towers}
        self.kept: dict[tuple[str, str], dict[str, Tensor]] | None = {} if keep_inputs and not augment else None
        captions = sorted({caption for example in self.examples for caption in example.captions})
        self.caption_ids = {caption: number for number, caption in enumerate(captions)}
        self.kept_order: tuple[int, list[int]] = (-1, [])
        if self.batch_size < world_size:
            what = f"a batch of {self.batch_size} can not be shared by {world_size} processes"
            raise VlcliError("T111", "train.batch_size", what, "raise it, or start fewer processes")
        for example in self.examples:
            check_example(example, list(space.towers))

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in a pass; the rest of each pass is left out, and differs from epoch to epoch."""
        return max(1, len(self.examples) // self.batch_size)

    def plan(self, step: int) -> list[Plan]:
        """The global batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self.order(epoch)
        rows = order[position * self.batch_size : (position + 1) * self.batch_size]
        plans = []
        for index in rows:
            draw = random.Random(derive_seed(self.seed, "draw", epoch, index))
            captions = self.examples[index].captions
            caption = draw.choice(captions) if self.with_text else ""
            plans.append(Plan(index, caption, draw.randrange(self.views) if self.views > 1 else 0))
        return plans

    def order(self, epoch: int) -> list[int]:
        """The examples' order in an epoch; that of the newest epoch is kept."""
        if self.kept_order[0] != epoch:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", epoch))
            self.kept_order = (epoch, torch.randperm(len(self.examples), generator=generator).tolist())
        return self.kept_order[1]

    def batch(self, step: int) -> Batch:
        """This process's part of the batch of a step, on the CPU."""
        plans = self.plan(step)[self.rank :: self.world_size]
        inputs: dict[str, dict[str, Tensor]] = {}
        encoded: dict[str, Encoded] = {}
        for name in self.space.towers:
            if name in self.banks:
                encoded[name] = Encoded(self.banks[name].rows([self.key_of(name, plan) for plan in plans]))
            else:
                inputs[name] = self.modalities[name].collate([self.item(name, plan, step) for plan in plans])
        examples = [self.examples[plan.index] for plan in plans]
        captions = [plan.caption for plan in plans] if self.with_text else []
        if self.with_text:
            ids = torch.tensor([self.caption_ids[plan.caption] for plan in plans])
        else:
            ids = torch.tensor([plan.index for plan in plans])
        return Batch(inputs, encoded, ids, examples, captions)

    def source(self, modality: str, plan: Plan) -> Source:
        """The source of an example's side."""
        if modality == "text":
            return Source(id=plan.caption, value=plan.caption)
        return self.examples[plan.index].sources[modality]

    def key_of(self, modality: str, plan: Plan) -> tuple[str, int]:
        """What a bank finds an example's feature by: source id and view (text has one view)."""
        return self.source(modality, plan).id, 0 if modality == "text" else plan.view

    def item(self, modality: str, plan: Plan, step: int) -> dict[str, Tensor]:
        """The preprocessed inputs of one side of one example."""
        source = self.source(modality, plan)
        if self.kept is not None and (modality, source.id) in self.kept:
            return self.kept[modality, source.id]
        loaded: Any = self.modalities[modality].load(source)
        encoder = self.space.tower(modality).encoder
        if self.augment and modality != "text":
            loaded = encoder.augment(loaded, random.Random(derive_seed(self.seed, "augment", step, plan.index)))
        prepared = self.space.preprocess(modality, loaded)
        if self.kept is not None:
            self.kept[modality, source.id] = prepared
        return prepared

    def stream(self, start: int, stop: int) -> Iterator[Batch]:
        """Batches of the steps from `start` to `stop`, the next one prepared while the present one is used."""
        return prefetched(self.batch, start, stop)


def prefetched(batch: Callable[[int], Batch], start: int, stop: int) -> Iterator[Batch]:
    """`batch(step)` for every step, one step ahead in a thread."""
    from concurrent.futures import ThreadPoolExecutor

    if start >= stop:
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="vlcli-batches") as pool:
        coming = pool.submit(batch, start)
        for step in range(start, stop):
            ready = coming
            if step + 1 < stop:
                coming = pool.submit(batch, step + 1)
            yield ready.result()


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from any parts, the same on every machine."""
    import hashlib

    digest = hashlib.blake2b("/".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def load_modality(registry: Registry, name: str) -> Modality:
    """An instance of the modality of this name."""
    modality: Modality = registry.load(registry.find("modality", name))()
    return modality


def check_example(example: Example, modalities: list[str]) -> None:
    """Refuse an example that lacks a side.

    Raises:
        VlcliError: T107 naming the example and what it lacks.
    """
    for name in modalities:
        if name == "text" and not example.captions:
            raise VlcliError("T107", example.id, "has no caption", "drop it, or give it one")
        if name != "text" and name not in example.sources:
            raise VlcliError("T107", example.id, f"has no source for '{name}'",
                             f"it has: {', '.join(example.sources)}")  # fmt: skip


def encode_side(space: Space, batch: Batch, modality: str) -> Encoded:
    """The output of a modality's encoder for a batch: from the cache, or computed."""
    if modality in batch.encoded:
        return batch.encoded[modality]
    return space.encode(modality, batch.inputs[modality])


def embed_side(space: Space, batch: Batch, modality: str) -> Tensor:
    """Unit vectors `[B, D]` of one modality of a batch."""
    pooled = encode_side(space, batch, modality).pooled
    return torch.nn.functional.normalize(space.tower(modality).head(pooled).float(), dim=-1)
