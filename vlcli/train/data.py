"""The data side of a run: its data set under every set of options, and the batches of its stages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator

from vlcli.align.space import Space
from vlcli.data.dataset import Example
from vlcli.data.datasets import open_dataset, registered_names
from vlcli.errors import VlcliError
from vlcli.runtime.paths import cache_dir
from vlcli.train.batches import PairLoader, examples_of, load_modality
from vlcli.train.frozen import FeatureBank, build_bank
from vlcli.train.loaders import Loader, LoaderSpec
from vlcli.train.method import Method, is_frozen

if TYPE_CHECKING:
    from vlcli.api import Source
    from vlcli.recipe.schema import Recipe
    from vlcli.registry import Registry

MOST_FITTED = 2000
"""Items that an encoder's `fit` gets."""


class TrainingData:
    """The recipe's data set, opened once for every set of options that a stage or an evaluation asks for."""

    def __init__(self, recipe: Recipe, registry: Registry) -> None:
        assert recipe.data is not None
        self.section = recipe.data
        self.registry = registry
        others = [name for name in recipe.towers if name != "text"]
        self.modality = others[0] if len(others) == 1 else None
        """What a user's own files are read as: files such as `.npy` may be of several modalities."""
        self.opened: dict[str, list[Example]] = {}

    def examples(self, split: str, overrides: dict[str, Any] | None = None) -> list[Example]:
        """Examples of `train`, `validation` or `test` as the recipe names them; empty when the recipe leaves it out."""
        name = getattr(self.section, split)
        if not name:
            return []
        overrides = dict(overrides or {})
        use = overrides.pop("use", self.section.use)
        options = overrides if use != self.section.use else self.section.options | overrides
        if split != "train" and use == self.section.use:
            options |= self.section.test_options
        key = json.dumps([use, split, options], sort_keys=True, default=str)
        if key not in self.opened:
            if self.modality is not None and use not in registered_names(self.registry):
                options = {"modality": self.modality} | options
            dataset = open_dataset(use, self.registry, options)
            examples = examples_of(dataset, name)
            if split == "train":
                for component in self.section.filters:
                    examples = self.registry.build("filter", component.use, component.options)(examples)
            self.opened[key] = examples[: self.section.limit] if self.section.limit else examples
        return self.opened[key]

    def captions(self) -> list[str]:
        """All captions of the training split, without repetition, sorted."""
        return sorted({caption for example in self.examples("train") for caption in example.captions})

    def items(self, modality: str) -> list[Any]:
        """Loaded items of the training split, for encoders that learn something from them before training.

        At most `MOST_FITTED`, at equal steps through the split.

        Raises:
            VlcliError: as `Modality.load` does.
        """
        reader = load_modality(self.registry, modality)
        sources = [example.sources[modality] for example in self.examples("train") if modality in example.sources]
        step = max(1, -(-len(sources) // MOST_FITTED))
        return [reader.load(source) for source in sources[::step]]


def build_loaders(
    method: Method,
    recipe: Recipe,
    registry: Registry,
    data: TrainingData,
    space: Space | None,
    accelerator: Accelerator,
    *,
    quiet: bool,
) -> list[Loader]:
    """One loader per stage.

    Raises:
        VlcliError: T101 when a method has neither a loader of its own nor a space to load for.
    """
    train = recipe.train
    assert train is not None
    result = method.result_space() or space
    loaders: list[Loader] = []
    for stage in method.stages():
        examples = data.examples("train", dict(stage.data))
        spec = LoaderSpec(stage, train.batch_size, recipe.seed, accelerator.process_index, accelerator.num_processes)
        own = method.loader(examples, spec)
        if own is not None:
            loaders.append(own)
            continue
        if result is None:
            raise VlcliError("T101", "method", "gives no space to load batches for", "add [towers.…] to the recipe")
        views = train.views if train.cache_features else 1
        banks = {}
        if train.cache_features:
            # The main process encodes; the others then find everything in the cache.
            with accelerator.main_process_first():
                banks = frozen_banks(result, examples, registry, views, accelerator.device, quiet=quiet)
        loaders.append(
            PairLoader(
                examples,
                result,
                registry,
                batch_size=train.batch_size,
                seed=recipe.seed,
                views=views,
                banks=banks,
                augment=train.augment,
                keep_inputs=train.keep_inputs,
                rank=accelerator.process_index,
                world_size=accelerator.num_processes,
            )
        )
    return loaders


def frozen_banks(
    space: Space, examples: list[Example], registry: Registry, views: int, device: torch.device, *, quiet: bool
) -> dict[str, FeatureBank]:
    """A bank for every tower whose encoder is frozen."""
    from vlcli.api import Source

    banks = {}
    for name in space.towers:
        tower = space.tower(name)
        if not is_frozen(tower.encoder):
            continue
        sources: list[Source]
        if name == "text":
            captions = sorted({caption for example in examples for caption in example.captions})
            sources = [Source(id=caption, value=caption) for caption in captions]
        else:
            sources = [example.sources[name] for example in examples if name in example.sources]
        banks[name] = build_bank(
            tower,
            load_modality(registry, name),
            sources,
            views=1 if name == "text" else views,
            folder=cache_dir("features"),
            device=device,
            progress=not quiet,
        )
    return banks
