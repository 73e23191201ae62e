"""Power cuts at every boundary: what was not yet synced is dropped, torn or reordered.

Each operation is recorded once; every state that a power cut may leave after each of its changes to the disk is then
opened, compared with what had been acknowledged, and a part of them gone on with to the end.
"""

from __future__ import annotations

import importlib.util

from _faults import as_row, every_operation, workshop
from harness.power import try_power_cuts
from parts import Budget, Row


def run(budget: Budget) -> list[Row]:
    """Cut the power in every operation, and in one of the Lance back end where it is installed."""
    rows = []
    with workshop(budget) as (_, commands, shop):
        operations = every_operation(shop)
        if importlib.util.find_spec("lancedb") is not None:
            operations.append(shop.embed("lance"))
        for operation in operations:
            lance = operation.name == "embed-lance"
            states, resumed = budget.count(250 if lance else 600), budget.count(3 if lance else 8)
            tally = try_power_cuts(
                operation, commands, shop.folder.parent, seed=budget.seed, states=states, resumed=resumed
            )
            rows.append(as_row(operation.name, [tally], 1, "the last acknowledged state, or a later one"))
    return rows
