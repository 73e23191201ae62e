"""From a recipe to a trained space: data, towers, method, loop, metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from vlcli.align.encoder import Encoder
from vlcli.align.load import load_space
from vlcli.align.projection import build_head
from vlcli.align.space import Space, Tower
from vlcli.data.dataset import Example
from vlcli.errors import VlcliError
from vlcli.evaluate.run import evaluate_space
from vlcli.runtime.device import resolve_device, seed_everything, set_threads
from vlcli.runtime.files import atomic_folder
from vlcli.runtime.tensors import system_errors
from vlcli.train.data import TrainingData, build_loaders
from vlcli.train.loop import LoopSettings, Trainer
from vlcli.train.method import Method, Setup, Stage, freeze

if TYPE_CHECKING:
    from vlcli.recipe.schema import Recipe
    from vlcli.recipe.schema_train import Tower as TowerSection
    from vlcli.registry import Registry

SPACE_PREFIX = "space:"
"""Begins a tower that is taken from a space: `space:images/starter`."""

Log = Callable[[dict[str, Any]], None]


@dataclass
class Training:
    """What `run_training` leaves behind.

    Attributes:
        metrics: flat, `test/t2i/recall@10` and the like.
        method: the trained method.
        space_folder: where the space was saved, or None.
        model_folder: where the method saved something else, or None.
    """

    metrics: dict[str, float]
    method: Method
    space_folder: Path | None
    model_folder: Path | None = None


def run_training(
    recipe: Recipe,
    folder: Path,
    registry: Registry,
    *,
    recipe_hash: str,
    resume: bool = False,
    log: Log | None = None,
    quiet: bool = False,
) -> Training:
    """Train what a recipe describes; save its space in `folder/space`, what else the method makes in `folder/model`.

    Args:
        recipe: resolved and checked.
        folder: the run's folder; checkpoints go to `folder/checkpoints`.
        recipe_hash: a checkpoint of another recipe is refused.
        resume: continue from the newest checkpoint.
        log: takes one flat record per event.

    Raises:
        VlcliError: T codes for what can not train, X codes for device and memory.
    """
    if recipe.train is None or recipe.data is None:
        missing = "train" if recipe.train is None else "data"
        raise VlcliError("R120", f"[{missing}]", "a recipe that trains needs this table", "add it")
    log = log or (lambda record: None)
    set_threads(recipe.threads)
    device = resolve_device(recipe.device)
    seed_everything(recipe.seed)
    accelerator = make_accelerator(device, recipe.train.precision)
    data = TrainingData(recipe, registry)
    # Opened before training, so that a split that is not there is noticed now and not at the end.
    sizes = {split: len(data.examples(split)) for split in ("train", "validation", "test")}
    space = build_space(recipe, registry, data)
    method = build_method(recipe, registry)
    stages = [stage_from(section) for section in recipe.stages]
    if stages:
        method.stages = lambda: stages  # type: ignore[method-assign]
    setup = Setup(space, registry, recipe.seed, total_steps(recipe, sizes["train"]), data.captions,
                  data.examples)  # fmt: skip
    method.build(setup)
    if recipe.train.lora is not None:
        from vlcli.train.lora import add_adapters

        add_adapters(method, recipe.train.lora)
    method.to(accelerator.device)
    loaders = build_loaders(method, recipe, registry, data, space, accelerator, quiet=quiet)
    trainer = Trainer(
        method,
        loaders,
        loop_settings(recipe, setup.total_steps, recipe_hash, quiet),
        accelerator,
        folder / "checkpoints",
        log,
        lambda: validation_metrics(method, registry, data),
    )
    log({"event": "data"} | sizes)
    trainer.train(resume)
    method.eval()
    metrics: dict[str, float] = {}
    space_folder = model_folder = None
    if trainer.average is not None:
        trainer.average.write_to(method)
    if recipe.train.lora is not None:
        from vlcli.train.lora import merge_adapters

        merge_adapters(method)
    if accelerator.is_main_process:
        metrics = final_metrics(method, registry, data)
        result = method.result_space()
        if result is not None:
            space_folder = folder / "space"
            result.save(space_folder)
        model_folder = save_model(method, folder / "model")
    accelerator.wait_for_everyone()
    log({"event": "trained", "step": trainer.global_step} | metrics)
    return Training(metrics, method, space_folder, model_folder)


def save_model(method: Method, folder: Path) -> Path | None:
    """What the method makes beside a space, written whole or not at all; None when there is nothing.

    An earlier model at the same place is replaced only once the new one is complete.
    """
    with atomic_folder(folder) as unfinished, system_errors(folder):
        written = method.save(unfinished)
    return folder if written else None


def make_accelerator(device: torch.device, precision: str) -> Accelerator:
    """An accelerator for this device and precision.

    Accelerate keeps one state per process; a run with other settings in the same process (the arms of a claim) needs
    a fresh one, unless processes are connected.
    """
    if AcceleratorState._shared_state and not torch.distributed.is_initialized():
        AcceleratorState._reset_state(reset_partial_state=True)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return Accelerator(cpu=device.type == "cpu", mixed_precision="bf16" if precision == "bf16" else "no")


def build_space(recipe: Recipe, registry: Registry, data: TrainingData) -> Space | None:
    """The towers of a recipe as an untrained space; None without any.

    Towers that are taken from one and the same space keep its temperature, which belongs to how its vectors lie.
    """
    if not recipe.towers:
        return None
    names = {section.use for section in recipe.towers.values() if section.use.startswith(SPACE_PREFIX)}
    spaces = {use: load_space(use.removeprefix(SPACE_PREFIX), registry, "cpu") for use in sorted(names)}
    towers = {name: build_tower(name, section, registry, data, spaces) for name, section in recipe.towers.items()}
    space = Space(recipe.name, towers)
    if len(spaces) == 1:
        with torch.no_grad():
            space.logit_scale.copy_(next(iter(spaces.values())).logit_scale)
    return space


def build_tower(
    modality: str, section: TowerSection, registry: Registry, data: TrainingData, spaces: Mapping[str, Space]
) -> Tower:
    """An encoder with its head; what the recipe does not train is frozen for good.

    Args:
        spaces: `use` of the towers that are taken from a space -> that space.

    Raises:
        VlcliError: T109 when the encoder is of another modality.
    """
    if section.use.startswith(SPACE_PREFIX):
        return tower_of_space(modality, section, spaces[section.use])
    entry = registry.find("encoder", section.use)
    if entry.spec.modality != modality:
        what = f"'{section.use}' is an encoder of {entry.spec.modality}, not of {modality}"
        raise VlcliError("T109", f"towers.{modality}.use", what, f"put it under [towers.{entry.spec.modality}]")
    options = registry.check_options(entry, section.options)
    encoder = registry.load(entry)(**options)
    if modality == "text":
        encoder.fit(data.captions())
    elif type(encoder).fit is not Encoder.fit:
        encoder.fit(data.items(modality))
    # A head of width 0 in the recipe takes the encoder's own width.
    head = build_head(section.head.spec(), encoder.dim)
    tower = Tower(encoder, head, entry.name, options)
    freeze(encoder, section.trainable)
    return tower


def tower_of_space(modality: str, section: TowerSection, space: Space) -> Tower:
    """The tower of an existing space, head included.

    Raises:
        VlcliError: T113 when the recipe gives a head or options beside it.
    """
    if section.options or section.head.use != "identity":
        raise VlcliError("T113", f"towers.{modality}", f"'{section.use}' brings its own options and head",
                         "leave options and head out, or name an encoder instead")  # fmt: skip
    tower = space.tower(modality)
    tower.of_space = section.use
    freeze(tower.encoder, section.trainable)
    return tower


def build_method(recipe: Recipe, registry: Registry) -> Method:
    """The recipe's method; an `[objective]` alone means `core/contrastive` with it."""
    if recipe.method is not None:
        method = registry.build("method", recipe.method.use, recipe.method.options)
        name = recipe.method.use
    else:
        assert recipe.objective is not None
        options = {"objective": recipe.objective.use, "objective_options": recipe.objective.options}
        name = "core/contrastive"
        method = registry.build("method", name, options)
    if not isinstance(method, Method):
        raise VlcliError("P208", name, "its target does not give a vlcli.train.Method", "run `vlcli plugins doctor`")
    return method


def stage_from(section: Any) -> Stage:
    """A recipe's `[[stages]]` entry as the loop's stage."""
    return Stage(section.name, section.trainable, section.frozen, section.share, section.data, section.lr_scale)


def total_steps(recipe: Recipe, examples: int) -> int:
    """Steps of the run, from `train.steps` or `train.epochs`.

    Raises:
        VlcliError: T110 when neither or both are given, T111 when a contrastive batch would hold one example.
    """
    train = recipe.train
    assert train is not None
    if (train.steps is None) == (train.epochs is None):
        raise VlcliError("T110", "[train]", "needs either steps or epochs", "give one of the two")
    batch = min(train.batch_size, examples)
    if batch < 2:
        what = f"a batch of {batch} has nothing to contrast with"
        raise VlcliError("T111", "train.batch_size", what, "use a batch_size of 2 or more, and more examples")
    if train.steps is not None:
        return train.steps
    assert train.epochs is not None
    return max(1, round(train.epochs * max(1, examples // batch)))


def loop_settings(recipe: Recipe, steps: int, recipe_hash: str, quiet: bool) -> LoopSettings:
    """The loop's settings from `[optim]`, `[schedule]` and `[train]`."""
    optim, schedule, train = recipe.optim, recipe.schedule, recipe.train
    assert train is not None
    given = {"betas": optim.betas, "eps": optim.eps, "momentum": optim.momentum}
    groups = {name: group.model_dump(exclude_none=True) for name, group in optim.groups.items()}
    return LoopSettings(
        total_steps=steps,
        optimizer=optim.use,
        lr=optim.lr,
        weight_decay=optim.weight_decay,
        optimizer_options={key: value for key, value in given.items() if value is not None},
        groups=groups,
        schedule=schedule.use,
        warmup=schedule.warmup,
        final_factor=schedule.final,
        micro_batch=train.micro_batch if isinstance(train.micro_batch, int) else 0,
        grad_clip=train.grad_clip or 0.0,
        ema=train.ema or 0.0,
        seed=recipe.seed,
        checkpoint_every=train.checkpoint_every,
        evaluate_every=train.eval_every or 0,
        log_every=train.log_every,
        recipe_hash=recipe_hash,
        quiet=quiet,
    )


def validation_metrics(method: Method, registry: Registry, data: TrainingData) -> dict[str, float]:
    """For the curve: what the method measures itself, or else retrieval with its space on the validation split."""
    own = method.validate()
    space = method.result_space()
    if own or space is None:
        return own
    examples = data.examples("validation")
    return retrieval(space, examples, registry, "validation") if examples else {}


def final_metrics(method: Method, registry: Registry, data: TrainingData) -> dict[str, float]:
    """The method's own test metrics."""

    def evaluate(split: str, prefix: str, overrides: dict[str, Any] | None = None) -> dict[str, float]:
        space = method.result_space()
        examples = data.examples(split, overrides)
        return retrieval(space, examples, registry, prefix) if space is not None and examples else {}

    return method.evaluate(evaluate)


def retrieval(space: Space, examples: list[Example], registry: Registry, prefix: str) -> dict[str, float]:
    """Retrieval metrics of the space as it stands, without intervals (they are over seeds, or come from `eval`).

    Raises:
        VlcliError: T112 when an input is refused: a split with holes can not be compared between runs.
    """
    training = space.training
    space.eval()
    result = evaluate_space(space, examples, "retrieval", registry, split=examples[0].split, resamples=0)
    space.train(training)
    if result.refused:
        first = result.refused[0]
        raise VlcliError("T112", first.path, f"is refused ({first.code}: {first.reason})", "remove it from the data")
    values = {name: float(metric.value) for name, metric in result.metrics.items()}
    # The mean of the two directions, which claims compare.
    for name in sorted({name.rpartition("/")[2] for name in values}):
        both = [value for key, value in values.items() if key.rpartition("/")[2] == name]
        values[name] = sum(both) / len(both)
    return {f"{prefix}/{name}": value for name, value in values.items()}
