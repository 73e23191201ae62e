"""A short run of the fuzzer; `make torture` runs 20,000."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from fuzz_structures import fuzz


def test_mutated_structures_are_read_or_refused() -> None:
    outcomes, faults = fuzz(600, seed=1)
    assert not faults
    assert outcomes.total() == 600
    assert outcomes["read"] > 50
    assert not {"D631", "D632", "D633"} & set(outcomes)
