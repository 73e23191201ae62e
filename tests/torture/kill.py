"""SIGKILL at random moments, and right before random changes to the disk.

Over embedding, building and renewing the cache and the approximate index, training, saving a space, exports, pages and
recipes. Whatever was acknowledged is there afterwards, nothing twice; the same command then ends as if nothing had
happened (training: with the same bits), and leaves no temporary file.
"""

from __future__ import annotations

import random

from _faults import as_row, changes_of, every_operation, workshop
from harness.power import try_kills_at_changes, try_kills_at_moments
from parts import Budget, Row

WEIGHTS = {"embed": 20, "embed-changes": 14, "train": 16}


def run(budget: Budget) -> list[Row]:
    """Kill every operation, those that acknowledge most often."""
    numbers = random.Random(budget.seed)
    rows = []
    with workshop(budget) as (_, commands, shop):
        for operation in every_operation(shop):
            changes, seconds = changes_of(operation, commands)
            count = budget.count(WEIGHTS.get(operation.name, 6))
            points = sorted(numbers.randint(1, changes) for _ in range(count))
            moments = sorted(numbers.uniform(0, seconds) for _ in range(count))
            tallies = [try_kills_at_changes(operation, commands, points),
                       try_kills_at_moments(operation, commands, moments)]  # fmt: skip
            rows.append(as_row(operation.name, tallies, count, "lost = 0, none twice, no temporary file left"))
    kills = sum(row.faults for row in rows)
    least = budget.count(100)
    rows.append(Row("kills in all", kills, 0, 0, kills >= least, f"at least {least} kills", summary=True))
    return rows
