"""The training loop: stages, micro-batches, several optimizers, averages, checkpoints. Read it from top to bottom.

What a run does is a function of its recipe and seed. A checkpoint holds everything that changes: weights, optimizers,
average, random states and the number of the next step. A run that is killed and resumed therefore ends, on the CPU,
with the same bits as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn

from vlcli.align.gradcache import gradcache_backward
from vlcli.errors import VlcliError
from vlcli.runtime.memory import check_ceiling, is_out_of_memory, limit_now, release_free_memory
from vlcli.runtime.progress import track
from vlcli.train.batches import Batch
from vlcli.train.checkpoint import (
    checkpoints,
    clear_unfinished,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
)
from vlcli.train.ema import WeightAverage
from vlcli.train.health import DivergenceWatch, check_finite
from vlcli.train.loaders import Loader
from vlcli.train.method import Method, Stage, StepState, matches, set_trainable, total_loss, training_mode
from vlcli.train.optim import build_optimizer, learning_rate_factor, parameter_groups, stage_lengths

MINIMUM_MICRO_BATCH = 1


@dataclass(frozen=True)
class LoopSettings:
    """What the loop needs from a recipe.

    Attributes:
        total_steps: over all stages.
        micro_batch: examples per forward pass; 0 takes the whole batch. It is halved when memory runs out.
        checkpoint_every, evaluate_every, log_every: in steps; 0 switches the first two off.
        recipe_hash: a checkpoint of another recipe is refused.
    """

    total_steps: int
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    optimizer_options: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    schedule: str = "cosine"
    warmup: float = 0.0
    final_factor: float = 0.0
    micro_batch: int = 0
    grad_clip: float = 0.0
    ema: float = 0.0
    seed: int = 0
    checkpoint_every: int = 0
    evaluate_every: int = 0
    log_every: int = 10
    recipe_hash: str = ""
    quiet: bool = True


Log = Callable[[dict[str, Any]], None]


class Trainer:
    """Everything that changes while a method trains.

    Args:
        method: built, with what stays frozen frozen.
        loaders: one per stage.
        accelerator: device, precision and processes.
        folder: where checkpoints go.
        log: takes one flat record per logged step.
        evaluate: gives metrics of the present weights, or None.
    """

    def __init__(
        self,
        method: Method,
        loaders: list[Loader],
        settings: LoopSettings,
        accelerator: Accelerator,
        folder: Path,
        log: Log,
        evaluate: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        self.method = method.to(accelerator.device)
        self.loaders = loaders
        self.settings = settings
        self.accelerator = accelerator
        self.folder = folder
        self.log = log
        self.evaluate = evaluate
        self.stages = method.stages()
        self.lengths = stage_lengths(self.stages, settings.total_steps)
        self.factor = learning_rate_factor(settings.schedule, settings.warmup, settings.final_factor)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.micro_batch = settings.micro_batch
        self.average: WeightAverage | None = None
        self.divergence = DivergenceWatch()
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.model: nn.Module = self.method
        self.stage_index, self.step, self.global_step = 0, 0, 0

    def train(self, resume: bool = False) -> None:
        """Run all stages, from the newest checkpoint when `resume` is set and there is one."""
        limit_now("lower train.micro_batch")
        restored = self.restore() if resume else False
        while self.stage_index < len(self.stages):
            stage = self.stages[self.stage_index]
            if not restored:
                self.start_stage(stage)
            restored = False
            self.run_stage(stage)
            self.stage_index, self.step = self.stage_index + 1, 0

    def start_stage(self, stage: Stage) -> None:
        """Freeze and thaw, and make fresh optimizers."""
        self.method.on_stage_start(stage, self.stage_index)
        self.method.to(self.accelerator.device)
        self.prepare_stage(stage)

    def prepare_stage(self, stage: Stage) -> None:
        """What a stage needs both when it starts and when a run is resumed inside it."""
        trained = set_trainable(self.method, stage)
        parameters = dict(self.method.named_parameters())
        settings = self.settings
        self.optimizers = {}
        for name, keys in self.turns(trained).items():
            named = [(key, parameters[key]) for key in keys]
            groups = parameter_groups(named, settings.lr, settings.weight_decay, settings.groups)
            for group in groups:
                group["base_lr"] = group["lr"] * stage.learning_rate_scale
            self.optimizers[name] = build_optimizer(settings.optimizer, groups, settings.optimizer_options)
        # A new wrapper per stage: a distributed wrapper notes once which parameters train. The old one is taken off
        # first, or mixed precision would be wrapped around itself.
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.accelerator.free_memory()
        # A loss may leave parameters out, above all one of several; GradCache reaches all in its last pass.
        unused = len(self.optimizers) > 1 or not self.method.splits_batches or not self.micro_batch
        self.accelerator.ddp_handler = DistributedDataParallelKwargs(find_unused_parameters=unused)
        self.model = self.accelerator.prepare_model(self.method)
        if self.settings.ema and self.average is None:
            self.average = WeightAverage(self.method, self.settings.ema)

    def turns(self, trained: list[str]) -> dict[str, list[str]]:
        """Optimizer name -> names of the parameters that it updates in this stage; optimizers without any rest.

        Raises:
            VlcliError: T113 when a parameter that trains belongs to none or to several.
        """
        patterns = self.method.optimizers()
        found: dict[str, list[str]] = {name: [] for name in patterns}
        for key in trained:
            owners = [name for name, wanted in patterns.items() if matches(key, wanted)]
            if len(owners) != 1:
                what = f"'{key}' trains, but belongs to {' and '.join(owners) if owners else 'no optimizer'}"
                raise VlcliError("T113", f"method {type(self.method).__name__}", what, "correct its optimizers()")
            found[owners[0]].append(key)
        return {name: keys for name, keys in found.items() if keys}

    def run_stage(self, stage: Stage) -> None:
        """The steps of one stage."""
        loader, length = self.loaders[self.stage_index], self.lengths[self.stage_index]
        started = time.perf_counter()
        training_mode(self.method)
        batches = loader.stream(self.step, length)
        for batch in track(batches, label=stage.name, total=length - self.step, quiet=self.settings.quiet):
            check_ceiling("lower train.micro_batch")
            state = StepState(
                stage, self.stage_index, self.step, length, self.global_step, loader.steps_per_epoch, self.generator
            )
            self.method.before_step(state)
            factor = self.factor(self.step, length)
            losses: dict[str, float] = {}
            norms: dict[str, float] = {}
            for name, optimizer in self.optimizers.items():
                for group in optimizer.param_groups:
                    group["lr"] = group["base_lr"] * factor
                terms = self.backward(batch.to(self.accelerator.device), state, name)
                own = self.averaged_over_processes(terms)
                self.method.after_backward(state)
                norms[name] = self.clip(optimizer)
                check_finite(own, norms[name], batch, self.global_step)
                optimizer.step()
                # Of all parameters: one optimizer's loss leaves gradients in the others' too.
                self.method.zero_grad(set_to_none=True)
                losses |= own
            self.divergence.check(total_of(losses), self.global_step)
            self.method.after_step(state)
            if self.average is not None:
                self.average.update(self.method)
            self.step, self.global_step = self.step + 1, self.global_step + 1
            self.after_step(stage, losses, norms, factor, started)

    def after_step(
        self, stage: Stage, losses: dict[str, float], norms: dict[str, float], factor: float, started: float
    ) -> None:
        """Log, evaluate and save when it is time."""
        last = self.global_step == self.settings.total_steps
        if self.global_step % self.settings.log_every == 0 or last:
            record = {
                "event": "step",
                "stage": stage.name,
                "step": self.global_step,
                "lr": self.settings.lr * factor * stage.learning_rate_scale,
            }
            record |= {f"loss/{name}": value for name, value in losses.items()}
            record |= {f"grad_norm/{name}": value for name, value in norms.items()}
            self.log(record | {"seconds": round(time.perf_counter() - started, 3)})
        every = self.settings.evaluate_every
        if self.evaluate is not None and every and self.global_step % every == 0 and not last:
            if self.accelerator.is_main_process:
                with self.averaged():
                    self.log({"event": "validation", "step": self.global_step} | self.evaluate())
            self.accelerator.wait_for_everyone()
            training_mode(self.method)
        every = self.settings.checkpoint_every
        if every and (self.global_step % every == 0 or last) and self.accelerator.is_main_process:
            self.save()

    def averaged_over_processes(self, terms: dict[str, Tensor]) -> dict[str, float]:
        """The loss terms of the global batch: every process holds its share, and the mean of the shares is the whole.

        So a loss that is NaN on one process is NaN on all, and all stop.
        """
        if self.accelerator.num_processes > 1:
            terms = dict(zip(terms, self.accelerator.reduce([*terms.values()], reduction="mean"), strict=True))
        return {key: float(value) for key, value in terms.items()}

    def backward(self, batch: Batch, state: StepState, name: str) -> dict[str, Tensor]:
        """Gradients of one optimizer's turn. When memory runs out, the micro-batch is halved and the turn repeated.

        Raises:
            VlcliError: X201 when it can not be halved: at one example, for a method that can not be cut, and with
                several processes, which would wait for the one that starts over.
        """
        before = random_state(), self.generator.get_state()
        while True:
            try:
                return self.backward_once(batch, state, name)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                used = min(self.micro_batch or len(batch), len(batch))
                alone = self.accelerator.num_processes == 1
                if not self.method.splits_batches or used <= MINIMUM_MICRO_BATCH or not alone:
                    key = "train.micro_batch" if self.method.splits_batches else "train.batch_size"
                    raise VlcliError("X201", key, f"out of memory with {used} examples at once",
                                     f"lower {key}, or take smaller towers or inputs") from error  # fmt: skip
                # Rounded up, so that the parts stay as few as possible.
                self.micro_batch = (used + 1) // 2
                self.log({"event": "out_of_memory", "step": self.global_step, "micro_batch": self.micro_batch})
            # Outside the handler, so that the traceback no longer keeps the failed step's tensors alive.
            self.method.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            release_free_memory()
            restore_random_state(before[0])
            self.generator.set_state(before[1])

    def backward_once(self, batch: Batch, state: StepState, name: str) -> dict[str, Tensor]:
        """Forward and backward of the whole batch, in micro-batches where that is asked for and possible."""
        size = self.micro_batch or len(batch)
        if size >= len(batch):
            with self.accelerator.autocast():
                terms = self.model("step", batch, state, name)
            self.accelerator.backward(total_loss(terms))
            return {key: value.detach() for key, value in terms.items()}
        if not self.method.splits_batches:
            what = f"{type(self.method).__name__} compares the batch in its own training step and can not be cut"
            raise VlcliError("T108", "train.micro_batch", what, "leave micro_batch out and lower batch_size")

        def encode(part: Batch) -> dict[str, Tensor]:
            with self.accelerator.autocast():
                encoded: dict[str, Tensor] = self.model("encode", part, state, name)
                return encoded

        return gradcache_backward(
            encode,
            lambda encoded: self.method.loss(encoded, batch, state),
            [batch.rows(start, start + size) for start in range(0, len(batch), size)],
            sync_context=lambda: self.accelerator.no_sync(self.model),
            backward=self.accelerator.backward,
            generators=[self.generator],
        )

    def clip(self, optimizer: torch.optim.Optimizer) -> float:
        """The norm of an optimizer's gradients, after which they are clipped where that is asked for."""
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        return float(torch.nn.utils.clip_grad_norm_(parameters, self.settings.grad_clip or float("inf")))

    def averaged(self) -> Any:
        """The averaged weights for the duration, or the plain ones without an average."""
        from contextlib import nullcontext

        return self.average.applied(self.method) if self.average is not None else nullcontext()

    def save(self) -> Path:
        """Write a checkpoint of everything that changes; what stays frozen is left out."""
        frozen = self.frozen_names()
        weights = {name: tensor for name, tensor in self.method.state_dict().items() if name not in frozen}
        state = {
            "recipe_hash": self.settings.recipe_hash,
            "stage_index": self.stage_index,
            "step": self.step,
            "global_step": self.global_step,
            "micro_batch": self.micro_batch,
            "weights": weights,
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "average": self.average.state() if self.average is not None else None,
            "divergence": self.divergence.state(),
            "generator": self.generator.get_state(),
            "random": random_state(),
        }
        return save_checkpoint(self.folder, self.global_step, state)

    def frozen_names(self) -> set[str]:
        """Names of the parameters that never change."""
        named = self.method.named_parameters(remove_duplicate=False)
        return {name for name, parameter in named if getattr(parameter, "stays_frozen", False)}

    def restore(self) -> bool:
        """Continue from the newest checkpoint; False when there is none.

        Raises:
            VlcliError: T202 when it belongs to another recipe.
        """
        if self.accelerator.is_main_process:
            clear_unfinished(self.folder)
        found = checkpoints(self.folder)
        if not found:
            return False
        state = load_checkpoint(found[-1])
        if state["recipe_hash"] != self.settings.recipe_hash:
            raise VlcliError("T202", str(found[-1]), "the checkpoint was written by another recipe",
                             "start a new run, or resume with the recipe in the run's folder")  # fmt: skip
        self.stage_index, self.step, self.global_step = state["stage_index"], state["step"], state["global_step"]
        self.micro_batch = state["micro_batch"]
        for index in range(self.stage_index + 1):
            # Stages may build modules (a frozen teacher) that the weights below then fill.
            self.method.on_stage_start(self.stages[index], index)
        self.method.to(self.accelerator.device)
        mismatch = self.method.load_state_dict(state["weights"], strict=False)
        missing = set(mismatch.missing_keys) - self.frozen_names()
        if mismatch.unexpected_keys or missing:
            what = f"holds other weights than this recipe builds ('{[*mismatch.unexpected_keys, *sorted(missing)][0]}')"
            raise VlcliError("T202", str(found[-1]), what, "start a new run")
        self.prepare_stage(self.stages[self.stage_index])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        if self.average is not None and state["average"] is not None:
            self.average.restore(state["average"], self.accelerator.device)
        self.divergence.restore(state["divergence"])
        self.generator.set_state(state["generator"])
        restore_random_state(state["random"])
        return True


def total_of(losses: dict[str, float]) -> float:
    """`total` where it is given, else the sum of all terms."""
    return losses["total"] if "total" in losses else sum(losses.values())
