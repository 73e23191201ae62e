"""Fuzz: damaged pictures, recipes, manifests, space.json and safetensors headers

20,000 inputs over five readers. Each runs in a child process that ends itself when one input takes longer than 5 s and
that may allocate 1 GiB beyond what it starts with. A reader may accept or refuse; an exception that is no refusal, a
dead child, a hang or memory over the cap is a loss.
"""

from __future__ import annotations

from fuzz_run import HANG_SECONDS, MAX_PIXELS, MEMORY_BYTES, fuzz_in_child
from parts import Budget, Row

SHARES = {"image": 6000, "recipe": 5000, "manifest": 4000, "space.json": 2500, "safetensors": 2500}


def run(budget: Budget) -> list[Row]:
    """All targets one after the other."""
    rows = []
    for name, full in SHARES.items():
        count = budget.count(full)
        result = fuzz_in_child(name, count, budget.seed, budget.folder / name, max(60.0, budget.left()))
        within = result.peak_bytes <= MEMORY_BYTES
        problems = result.problems + ([] if within else [f"resident memory grew by {result.peak_bytes:,} bytes"])
        refused = sum(number for outcome, number in result.outcomes.items() if outcome != "accepted")
        rows.append(Row(
            f"{name}, damaged", result.tried, result.tried, len(problems),
            not problems and result.tried >= count and refused > 0,
            f"0 crashes, 0 inputs over {HANG_SECONDS} s, at most {MEMORY_BYTES >> 20} MiB more, {full:,} inputs",
            {"accepted": result.outcomes["accepted"], "refused": refused, "peak MiB": result.peak_bytes >> 20,
             "slowest s": round(result.slowest, 2)},
            problems[0] if problems else f"pictures of at most {MAX_PIXELS} pixels" if name == "image" else "",
        ))  # fmt: skip
    return rows
