"""The learned multiplier of cosines, in both usual forms, and its clamp."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LogitScale(nn.Module):
    """CLIP's form: a learned logarithm; calling the module gives `exp(value)`, kept within `[1, maximum]`.

    `forward` clamps straight through (the gradient passes), and `clamp_` puts the parameter itself back into range;
    call that once after each optimizer step, as CLIP does, or the parameter may wander far outside.

    Args:
        initial: first value of the multiplier (CLIP: 1 / 0.07).
        maximum: largest multiplier; the logarithm stays in `[0, ln maximum]`.
    """

    def __init__(self, initial: float = 1 / 0.07, maximum: float = 100.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(math.log(initial)))
        self.maximum = maximum

    def forward(self) -> Tensor:
        """The multiplier, a scalar tensor."""
        return clamp_straight_through(self.value, 0.0, math.log(self.maximum)).exp()

    @torch.no_grad()
    def clamp_(self) -> None:
        """Put the parameter into `[0, ln maximum]`."""
        self.value.clamp_(0.0, math.log(self.maximum))


class Temperature(nn.Module):
    """ALIGN's and ALBEF's form: a learned temperature tau; calling the module gives the multiplier `1 / tau`.

    Args:
        initial: first temperature (ALIGN 1.0, ALBEF 0.07).
        minimum, maximum: range of tau (ALBEF: 0.001 to 0.5; ALIGN clamps nothing, hence the wide default).
    """

    def __init__(self, initial: float = 0.07, minimum: float = 0.001, maximum: float = 1000.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(initial)))
        self.minimum = minimum
        self.maximum = maximum

    def forward(self) -> Tensor:
        """The multiplier `1 / tau`, a scalar tensor."""
        return 1.0 / clamp_straight_through(self.value, self.minimum, self.maximum)

    @torch.no_grad()
    def clamp_(self) -> None:
        """Put tau into its range."""
        self.value.clamp_(self.minimum, self.maximum)


def clamp_straight_through(value: Tensor, minimum: float, maximum: float) -> Tensor:
    """`value` clamped, with the gradient of the identity, so that a parameter outside can come back."""
    # the bracket is exactly 0: adding the clamp to the value instead would round
    return value.detach().clamp(minimum, maximum) + (value - value.detach())
