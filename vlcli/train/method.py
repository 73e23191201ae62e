"""What a method is: a paper's modules and losses in one `nn.Module`, with the stages in which they train."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from vlcli.align.encoder import Encoder
from vlcli.align.momentum import FrozenCopy, MomentumCopy
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.data.dataset import Example
    from vlcli.registry import Registry
    from vlcli.train.batches import Batch
    from vlcli.train.loaders import Loader, LoaderSpec


Evaluate = Callable[[str, str, "dict[str, Any] | None"], dict[str, float]]


class Examples(Protocol):
    """Gives the examples of `train`, `validation` or `test`, as the recipe names these splits.

    `overrides` are options of the data set that differ; with the key `use` they belong to another data set altogether.
    A split that the recipe leaves out is empty.
    """

    def __call__(self, split: str, overrides: dict[str, Any] | None = None) -> list[Example]: ...


def no_examples(split: str, overrides: dict[str, Any] | None = None) -> list[Example]:
    """For methods that are built without data."""
    return []


@dataclass(frozen=True)
class Stage:
    """A part of a training run.

    Attributes:
        name: shown in logs and checkpoints.
        trainable: patterns (`fnmatch`) over the method's parameter names; what matches none is frozen in this stage.
        frozen: patterns that are taken out again.
        share: this stage's share of the run's steps, relative to the other stages' shares.
        data: options of the data set that differ in this stage, e.g. `{"domain": "new"}`; with the key `use` the stage
            reads another data set, with these options alone.
        learning_rate_scale: multiplies every learning rate.
    """

    name: str = "main"
    trainable: tuple[str, ...] = ("*",)
    frozen: tuple[str, ...] = ()
    share: float = 1.0
    data: Mapping[str, Any] = field(default_factory=dict)
    learning_rate_scale: float = 1.0


@dataclass
class StepState:
    """Where training stands, as a method sees it.

    Attributes:
        stage: the running stage.
        stage_index: its index.
        step: steps done in this stage.
        stage_steps: steps of this stage in all.
        global_step: steps done in all stages.
        steps_per_epoch: batches in a pass over this stage's data.
        generator: seeded randomness for the method (CPU); saved in checkpoints.
    """

    stage: Stage
    stage_index: int
    step: int
    stage_steps: int
    global_step: int
    steps_per_epoch: int
    generator: torch.Generator


@dataclass(frozen=True)
class Setup:
    """What a method may use to build its modules.

    Attributes:
        space: built from the recipe's `[towers]`, or None without any.
        registry: to build further components by name.
        seed: of the run.
        total_steps: of the run.
        captions: a function giving all captions of the training split, for vocabularies.
        examples: a function giving the recipe's examples, for methods that evaluate themselves.
    """

    space: Space | None
    registry: Registry
    seed: int
    total_steps: int
    captions: Callable[[], list[str]]
    examples: Examples = field(default_factory=lambda: no_examples)

    def require_space(self, method: str, *modalities: str) -> Space:
        """The space, with these modalities.

        Raises:
            VlcliError: T101 when the recipe gives no towers or lacks a modality.
        """
        if self.space is None:
            raise VlcliError("T101", method, "needs towers", "add [towers.images] and [towers.text] to the recipe")
        missing = [name for name in modalities if name not in self.space.towers]
        if missing:
            raise VlcliError("T101", method, f"needs a tower for {', '.join(missing)}", f"add [towers.{missing[0]}]")
        return self.space


class Method(nn.Module):
    """Base of all methods.

    A contrastive method implements `encode` and `loss`: the trainer can then cut the batch into micro-batches and
    still compute the loss over the whole batch (GradCache). Any other overrides `training_step`.
    """

    def build(self, setup: Setup) -> None:
        """Make the modules. Called once, after seeding, before the method moves to its device."""
        raise NotImplementedError

    def stages(self) -> list[Stage]:
        """The stages in their order; by default one that trains everything."""
        return [Stage()]

    def optimizers(self) -> dict[str, tuple[str, ...]]:
        """Optimizer name -> patterns of the parameters that it updates; one optimizer by default."""
        return {"main": ("*",)}

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Embeddings of a (micro-)batch, each `[B, …]`; what `loss` compares."""
        raise NotImplementedError

    def loss(self, encoded: dict[str, Tensor], batch: Batch, state: StepState) -> dict[str, Tensor]:
        """Named loss terms over the whole batch; `total` is minimised, or their sum where there is no `total`."""
        raise NotImplementedError

    def training_step(self, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        """Named loss terms for one optimizer's turn."""
        return self.loss(self.encode(batch), batch, state)

    def forward(self, mode: str, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        """`encode` or `training_step`, so that a distributed wrapper sees every use of the parameters."""
        if mode == "encode":
            return self.encode(batch)
        return self.training_step(batch, state, optimizer)

    @property
    def splits_batches(self) -> bool:
        """Whether `micro_batch` may be smaller than `batch_size`: true when only `encode` and `loss` are defined."""
        return type(self).training_step is Method.training_step

    def loader(self, examples: list[Example], spec: LoaderSpec) -> Loader | None:
        """Batches of a stage, made by the method itself (see `ExampleLoader`); None: those of its space's towers."""
        return None

    def on_stage_start(self, stage: Stage, index: int) -> None:
        """Called before a stage's first step; here a stage may add modules, such as a frozen copy of the model.

        A resumed run calls it again for every stage up to its own, then loads the weights of its checkpoint. A copy
        must be kept out of training by the stage's `frozen` patterns.
        """

    def before_step(self, state: StepState) -> None:
        """Called before each step (momentum updates)."""

    def after_backward(self, state: StepState) -> None:
        """Called when all gradients of a step are there, before they are used."""

    def after_step(self, state: StepState) -> None:
        """Called after each optimizer step (clamps, queues)."""

    def evaluate(self, evaluate: Evaluate) -> dict[str, float]:
        """Final metrics; by default retrieval on the test split.

        Args:
            evaluate: `(split, prefix, data options that differ) -> metrics`, of the space that `result_space` gives.
        """
        return evaluate("test", "test", None)

    def validate(self) -> dict[str, float]:
        """Metrics for the curve; without any, a space is measured by retrieval on the validation data."""
        return {}

    def result_space(self) -> Space | None:
        """The space that the run saves, or None when the method makes something else."""
        return None

    def save(self, folder: Path) -> bool:
        """Write what the method makes beside a space, or instead of one, into `folder` (the run's `model`).

        Returns:
            whether anything was written. The folder exists only then.
        """
        return False


def total_loss(terms: dict[str, Tensor]) -> Tensor:
    """`total` where it is given, else the sum of all terms."""
    if "total" in terms:
        return terms["total"]
    return torch.stack(list(terms.values())).sum()


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """True when a parameter's name matches one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def set_trainable(method: nn.Module, stage: Stage) -> list[str]:
    """Set `requires_grad` for a stage and return the names of what trains.

    Parameters that the method itself froze when it was built (a frozen tower) stay frozen: they carry the attribute
    `stays_frozen`. So do teachers (`FrozenCopy`, `MomentumCopy`), whatever the patterns say.

    Raises:
        VlcliError: T102 when nothing is left to train.
    """
    names = []
    taught = {id(parameter) for copy in teachers(method) for parameter in copy.parameters()}
    for name, parameter in method.named_parameters():
        wanted = matches(name, stage.trainable) and not matches(name, stage.frozen)
        wanted = wanted and not getattr(parameter, "stays_frozen", False) and id(parameter) not in taught
        parameter.requires_grad_(wanted)
        if wanted:
            names.append(name)
    if not names:
        raise VlcliError("T102", f"stage '{stage.name}'", "no parameter is trainable",
                         "give a tower a head, set its trainable patterns, or change the stage's patterns")  # fmt: skip
    return names


def freeze(module: nn.Module, trainable: tuple[str, ...] = ()) -> None:
    """Freeze a module for good, but for the parameters that match `trainable`."""
    for name, parameter in module.named_parameters():
        keep = matches(name, trainable)
        parameter.requires_grad_(keep)
        parameter.stays_frozen = not keep  # type: ignore[attr-defined]


def teachers(module: nn.Module) -> list[nn.Module]:
    """The copies of models inside a module that only teach."""
    return [part for part in module.modules() if isinstance(part, FrozenCopy | MomentumCopy)]


def training_mode(method: nn.Module) -> None:
    """Training mode, but evaluation mode for what is frozen: its dropout and BatchNorm statistics must not move.

    That is every module whose parameters all stay frozen, and every encoder that this stage does not train. A teacher
    decides for itself (a momentum teacher runs in training mode, as its papers do).
    """
    method.train()
    taught = {id(part) for copy in teachers(method) for part in copy.modules()}
    for part in method.modules():
        parameters = list(part.parameters())
        if id(part) in taught or not parameters:
            continue
        rests = isinstance(part, Encoder) and not any(parameter.requires_grad for parameter in parameters)
        if rests or is_frozen(part):
            part.eval()


def is_frozen(module: nn.Module) -> bool:
    """True when every parameter of the module stays frozen for the whole run."""
    return all(getattr(parameter, "stays_frozen", False) for parameter in module.parameters())
