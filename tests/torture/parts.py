"""What a part of `make torture` takes and gives.

A part is a module in this folder with a docstring (its first line is the part's title) and a function

    def run(budget: Budget) -> list[Row]

The runner starts each part in a process of its own. Helper modules begin with an underscore.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Budget:
    """How much a part may do.

    Attributes:
        folder: an empty folder for everything that the part writes; it is removed afterwards.
        seed: of all randomness; the same seed tries the same things.
        scale: 1.0 is what `make torture` runs; smaller numbers are for trying a part out.
        seconds: how long the part may take. A part that has to stop early says so in its rows, which then fail.
    """

    folder: Path
    seed: int = 0
    scale: float = 1.0
    seconds: float = 900.0
    started: float = field(default_factory=time.monotonic)

    def count(self, full: int) -> int:
        """`full` times the scale, at least 1."""
        return max(1, round(full * self.scale))

    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.started)


@dataclass
class Row:
    """One line of the table.

    Attributes:
        name: what was attacked and how, unique within its part: `embed, killed at random moments`.
        tried: inputs or states tried.
        faults: faults injected (kills, crash points, failing calls, flipped bits, hostile files).
        lost: acknowledged things that were lost, doubled, or silently wrong. The bar is 0.
        passed: whether all bars of the row hold: `lost` is 0, and enough was tried.
        bar: the bars in words.
        counts: further counts by name.
        detail: what a reader should know; for a failure, the first one in full.
        summary: the row judges what other rows have counted already, so the totals leave its `tried` and `faults` out.
    """

    name: str
    tried: int
    faults: int
    lost: int
    passed: bool
    bar: str = "lost = 0"
    counts: dict[str, int | float] = field(default_factory=dict)
    detail: str = ""
    summary: bool = False
