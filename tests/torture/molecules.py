"""Molecules: mutated SMILES, SELFIES, InChI and MOL blocks are read or refused with a reason."""

from __future__ import annotations

import sys
from pathlib import Path

from parts import Budget, Row

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins" / "vlcli-molecules" / "tests"))
GUARD = {"D631": "crashes of RDKit", "D632": "hangs of RDKit", "D633": "out of memory"}


def run(budget: Budget) -> list[Row]:
    """20,000 strings; what RDKit itself can not stand is counted, and must have cost only its own input."""
    from fuzz_structures import fuzz

    tried = budget.count(20_000)
    outcomes, faults = fuzz(tried, budget.seed)
    caught = ", ".join(f"{outcomes[code]} {words}" for code, words in GUARD.items())
    passed = not faults and outcomes.total() == tried
    return [
        Row(
            "mutated structures", tried, faults=tried, lost=len(faults), passed=passed,
            bar="0 crashes, each refused with a D6 code", counts=dict(sorted(outcomes.items())),
            detail=faults[0] if faults else f"caught by the guard: {caught}",
        ),
    ]  # fmt: skip
