"""Optimizers and schedules from a recipe's `[optim]` and `[schedule]`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from vlcli.errors import VlcliError
from vlcli.train.method import Stage, matches

NO_DECAY_SUFFIXES = ("bias", "logit_scale", "logit_bias", "temperature")


def parameter_groups(
    named: list[tuple[str, nn.Parameter]],
    lr: float,
    weight_decay: float,
    overrides: dict[str, dict[str, float]],
) -> list[dict[str, Any]]:
    """Groups of equal learning rate and weight decay.

    Vectors, biases and temperatures get no weight decay, as CLIP's training does. `overrides` maps a pattern of
    parameter names to `{"lr": …, "weight_decay": …}`; the first that matches decides.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        own = next((values for pattern, values in overrides.items() if matches(name, (pattern,))), {})
        decay = own.get("weight_decay", weight_decay)
        if parameter.ndim < 2 or name.endswith(NO_DECAY_SUFFIXES):
            decay = 0.0
        groups.setdefault((own.get("lr", lr), decay), []).append(parameter)
    return [{"params": parameters, "lr": rate, "weight_decay": decay} for (rate, decay), parameters in groups.items()]


def build_optimizer(name: str, groups: list[dict[str, Any]], options: dict[str, Any]) -> torch.optim.Optimizer:
    """One of torch's optimizers by its lower-case name.

    Raises:
        VlcliError: T103 for another name.
    """
    kinds: dict[str, type[torch.optim.Optimizer]] = {
        "adamw": torch.optim.AdamW,
        "adam": torch.optim.Adam,
        "sgd": torch.optim.SGD,
        "adafactor": torch.optim.Adafactor,
    }
    if name not in kinds:
        raise VlcliError("T103", "optim.use", f"there is no optimizer '{name}'", f"choose from {', '.join(kinds)}")
    return kinds[name](groups, **options)  # type: ignore[call-arg]


def stage_lengths(stages: list[Stage], total_steps: int) -> list[int]:
    """Steps of each stage by their shares; they add up to `total_steps` and none is empty.

    Raises:
        VlcliError: T104 when there are fewer steps than stages.
    """
    if total_steps < len(stages):
        raise VlcliError("T104", "train.steps", f"{total_steps} steps can not hold {len(stages)} stages", "raise it")
    share = sum(stage.share for stage in stages)
    bounds = [0]
    passed = 0.0
    for index, stage in enumerate(stages):
        passed += stage.share
        left = len(stages) - index - 1
        bound = round(total_steps * passed / share)
        bounds.append(min(max(bound, bounds[-1] + 1), total_steps - left))
    return [after - before for before, after in itertools.pairwise(bounds)]


def learning_rate_factor(kind: str, warmup: float, final: float) -> Callable[[int, int], float]:
    """`(step, total) -> factor` of the base learning rate.

    Args:
        kind: `cosine`, `linear` or `constant` after the warm-up.
        warmup: steps when >= 1, else a share of the total.
        final: factor at the end.

    Raises:
        VlcliError: T105 for another kind.
    """
    if kind not in ("cosine", "linear", "constant"):
        raise VlcliError("T105", "schedule.use", f"there is no schedule '{kind}'", "choose cosine, linear or constant")

    def factor(step: int, total: int) -> float:
        warm = int(warmup) if warmup >= 1 else round(warmup * total)
        if step < warm:
            return (step + 1) / warm
        if kind == "constant" or total <= warm:
            return 1.0
        progress = (step - warm) / max(1, total - warm)
        if kind == "linear":
            return final + (1 - final) * (1 - progress)
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return factor
