"""The counts that `make torture` left: all parts, whole, and totals that follow from the rows."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]

# What the parts must have tried at least: inputs of the ledger and of the fuzzer, kills, failing writes, payloads.
LEAST = {("ledger", "tried"): 10_000, ("fuzz", "tried"): 20_000, ("kill", "faults"): 100, ("disk_full", "faults"): 50,
         ("unsafe", "tried"): 30}  # fmt: skip


def runner() -> ModuleType:
    """`tests/torture/run.py` as a module."""
    spec = importlib.util.spec_from_file_location("torture_run", ROOT / "tests" / "torture" / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_counts_are_consistent() -> None:
    run = runner()
    written = json.loads(run.EVIDENCE.read_text(encoding="utf-8"))
    rows = written["rows"]
    assert written["schema"] == 1 and written["scale"] >= 1
    assert {row["part"] for row in rows} == set(run.part_titles())
    assert len({(row["part"], row["name"]) for row in rows}) == len(rows)
    sums: Counter[tuple[str, str]] = Counter()
    for row in rows:
        assert 0 <= row["lost"] <= max(row["tried"], row["faults"]) and row["tried"] > 0, row
        assert not (row["passed"] and row["lost"]), row
        for key in ("tried", "faults", "lost"):
            sums[row["part"], key] += row[key] if key == "lost" or not row["summary"] else 0
    for key in ("tried", "faults", "lost"):
        assert written[key] == sum(sums[part, key] for part in run.part_titles())
    assert written["lost"] == 0
    assert written["passed"] is all(row["passed"] for row in rows)
    for place, least in LEAST.items():
        assert sums[place] >= least, place
