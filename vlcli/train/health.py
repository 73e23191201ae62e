"""Stopping a run that can not succeed: losses and gradients that are not finite, and losses that grow without end."""

from __future__ import annotations

import math
from collections.abc import Mapping

from vlcli.errors import VlcliError
from vlcli.train.batches import Batch

DIVERGED_FACTOR = 1e4
DIVERGED_STEPS = 100


def check_finite(losses: Mapping[str, float], norm: float, batch: Batch, step: int) -> None:
    """Refuse a step whose losses or gradient are NaN or infinite.

    Raises:
        VlcliError: T401 naming the step and the first examples of the batch.
    """
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if not bad and math.isfinite(norm):
        return
    what = f"the loss '{bad[0]}' is {losses[bad[0]]}" if bad else f"the gradient's norm is {norm}"
    names = ", ".join(example.id for example in batch.examples[:4])
    more = " …" if len(batch.examples) > 4 else ""
    raise VlcliError("T401", f"step {step}", f"{what}; the batch of {len(batch)} examples holds {names}{more}",
                     "lower optim.lr, set train.grad_clip, or look at these examples")  # fmt: skip


class DivergenceWatch:
    """Notices a total loss that stays far above its first value.

    Attributes:
        first: the first step's total, at least 1 (a loss that begins near 0 has room to grow).
        above: steps in a row that were more than `DIVERGED_FACTOR` times it.
    """

    def __init__(self) -> None:
        self.first: float | None = None
        self.above = 0

    def check(self, total: float, step: int) -> None:
        """Take a step's total in.

        Raises:
            VlcliError: T402 after `DIVERGED_STEPS` steps in a row.
        """
        if self.first is None:
            self.first = max(1.0, abs(total))
        self.above = self.above + 1 if abs(total) > DIVERGED_FACTOR * self.first else 0
        if self.above >= DIVERGED_STEPS:
            what = f"the loss has been above {DIVERGED_FACTOR:.0e} times its first value for {self.above} steps"
            raise VlcliError("T402", f"step {step}", f"{what} (now {total:.3g})", "lower optim.lr, or add warm-up")

    def state(self) -> dict[str, float | int | None]:
        """For a checkpoint."""
        return {"first": self.first, "above": self.above}

    def restore(self, state: dict[str, float | int | None]) -> None:
        """From a checkpoint."""
        self.first = state["first"]
        self.above = int(state["above"] or 0)
