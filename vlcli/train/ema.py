"""An exponential moving average of the trained weights, for evaluation and the saved space."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """`shadow = decay * shadow + (1 - decay) * weight` after each step, over what trains.

    The effective decay grows as (1 + n) / (10 + n) at first, so that a short run is not held at its start.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in module.named_parameters() if parameter.requires_grad
        }

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take a step's weights in; a parameter that starts to train later joins with its present value."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            if name not in self.shadow:
                self.shadow[name] = parameter.detach().clone()
            self.shadow[name].lerp_(parameter.detach(), 1 - decay)

    @torch.no_grad()
    def write_to(self, module: nn.Module) -> None:
        """Put the averaged weights in place of the trained ones for good."""
        parameters = dict(module.named_parameters())
        for name, value in self.shadow.items():
            parameters[name].copy_(value)

    @contextlib.contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """The averaged weights in place of the trained ones."""
        parameters = dict(module.named_parameters())
        saved = {name: parameters[name].detach().clone() for name in self.shadow}
        try:
            self.write_to(module)
            yield
        finally:
            with torch.no_grad():
                for name, value in saved.items():
                    parameters[name].copy_(value)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"updates": self.updates, "shadow": dict(self.shadow)}

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """From a checkpoint."""
        self.updates = int(state["updates"])
        self.shadow = {name: value.to(device) for name, value in state["shadow"].items()}
