"""Copies of a module that follow it slowly (momentum teachers) or not at all (frozen teachers)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import torch
from torch import nn

Copied = TypeVar("Copied", bound=nn.Module)


class MomentumCopy(nn.Module, Generic[Copied]):
    """An exponential moving average of a module's parameters: `average = m * average + (1 - m) * online`.

    Call `update` before the teacher's forward pass (MoCo, ALBEF) or after the optimizer step (BYOL); the two differ by
    one step. Buffers are copied. The copy's parameters take no gradient and belong to its `state_dict`, so checkpoints
    hold them.

    Args:
        online: the module to follow; it is not kept, so it is saved only once.
        momentum: m, in [0, 1]. Of a run of n steps, momentum should be well above `1 - 10/n`, or the teacher is
            hardly a teacher; 0.995 belongs to runs of many thousand steps.
    """

    def __init__(self, online: Copied, momentum: float = 0.995) -> None:
        super().__init__()
        self.module: Copied = copy.deepcopy(online).requires_grad_(False)
        self.momentum = momentum

    @torch.no_grad()
    def update(self, online: nn.Module, momentum: float | None = None) -> None:
        """Move towards `online`; `momentum` overrides the default for this step (a schedule)."""
        moving_average_(self.module, online, self.momentum if momentum is None else momentum)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The copy's output, without gradient."""
        with torch.no_grad():
            return self.module(*args, **kwargs)


class FrozenCopy(nn.Module, Generic[Copied]):
    """A module as it was: no gradient, no update, and always in evaluation mode.

    A teacher left in training mode drifts through its BatchNorm statistics and its dropout (Mod-X's pitfall).
    """

    def __init__(self, module: Copied) -> None:
        super().__init__()
        self.module: Copied = copy.deepcopy(module).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenCopy[Copied]:
        """Ignored: a frozen teacher stays in evaluation mode."""
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The copy's output, without gradient."""
        with torch.no_grad():
            return self.module(*args, **kwargs)


@torch.no_grad()
def moving_average_(average: nn.Module, online: nn.Module, momentum: float) -> None:
    """`average = momentum * average + (1 - momentum) * online`, in place, for two modules of one architecture.

    Raises:
        ValueError: when their parameters differ in name or shape.
    """
    for target, source in _pairs(dict(average.named_parameters()), dict(online.named_parameters())):
        target.lerp_(source.detach().to(target.dtype), 1 - momentum)
    for target, source in _pairs(dict(average.named_buffers()), dict(online.named_buffers())):
        target.copy_(source)


def _pairs(targets: dict[str, Any], sources: dict[str, Any]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    if targets.keys() != sources.keys():
        different = sorted(targets.keys() ^ sources.keys())
        raise ValueError(f"a moving average needs two modules of one architecture; they differ in {different[:3]}")
    for name, target in targets.items():
        yield target, sources[name]
