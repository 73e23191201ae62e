"""Fuzz one target: in this process, or in a child that may crash, hang or run out of memory without taking us along.

python fuzz_run.py TARGET COUNT SEED FOLDER
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

HANG_SECONDS = 5
MEMORY_BYTES = 1 << 30
MAX_PIXELS = "10M"
CURRENT = "current.bin"


@dataclass
class Result:
    """What a number of attempts gave.

    Attributes:
        tried: inputs read.
        outcomes: `accepted` or the refusal's code -> how often.
        problems: crashes, hangs and breaches of the memory cap, one sentence each.
        peak_bytes: the largest growth of resident memory over what was there before the first input.
        slowest: seconds of the slowest input.
    """

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    peak_bytes: int = 0
    slowest: float = 0.0


def fuzz(name: str, count: int, number: int, folder: Path, *, watched: bool = False) -> Result:
    """Read `count` damaged inputs of a target in this process.

    Args:
        number: the seed.
        watched: end the process when one input takes longer than `HANG_SECONDS`, and note each input before it is
            read; only for a child.
    """
    from fuzz_targets import TARGETS, attempt

    target = TARGETS[name](folder)
    result = Result()

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate, Phase.shrink],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(target.cases)
    def body(case: tuple[str, bytes]) -> None:
        if watched:
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            (folder / CURRENT).write_bytes(case[0].encode() + b"\n" + case[1])
        started = time.perf_counter()
        result.tried += 1
        result.outcomes[attempt(target, folder, case)] += 1
        result.slowest = max(result.slowest, time.perf_counter() - started)

    try:
        body()
    except Exception as error:  # noqa: BLE001 (whatever a reader lets escape is a finding, named by its type)
        note = " ".join(str(part) for part in getattr(error, "__notes__", ()))
        result.problems.append(f"{type(error).__name__}: {str(error)[:300]} {note[:600]}")
    finally:
        faulthandler.cancel_dump_traceback_later()
    return result


def main() -> None:
    """The child."""
    name, count, number, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    from fuzz_targets import TARGETS, attempt

    # Everything that is loaded once is loaded before memory is counted.
    warm = TARGETS[name](folder)
    attempt(warm, folder, first_case(warm))
    limit_data(MEMORY_BYTES)
    before = resident()
    result = fuzz(name, count, number, folder, watched=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    (folder / "result.json").write_text(json.dumps({
        "tried": result.tried, "outcomes": result.outcomes, "problems": result.problems, "peak_bytes": max(0, peak),
        "slowest": result.slowest,
    }))  # fmt: skip


def first_case(target: object) -> tuple[str, bytes]:
    """Some case of a target."""
    from hypothesis import find

    return find(target.cases, lambda case: True, settings=settings(database=None))  # type: ignore[attr-defined]


def resident() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def limit_data(extra: int) -> None:
    """Let this process allocate no more than `extra` bytes beyond what it has."""
    used = int(Path("/proc/self/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_DATA, (used + extra, used + extra))


def fuzz_in_child(name: str, count: int, number: int, folder: Path, seconds: float) -> Result:
    """Fuzz in children until `count` inputs were read; a child that dies is a problem, and the next goes on."""
    total = Result()
    while total.tried < count and len(total.problems) < 5:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").unlink(missing_ok=True)
        (folder / CURRENT).unlink(missing_ok=True)
        environment = os.environ | {"VLCLI_MAX_PIXELS": MAX_PIXELS, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, __file__, name, str(count - total.tried), str(number), str(folder)]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=seconds, check=False
            )
            how = f"exit code {done.returncode}: {done.stderr[-600:]}"
        except subprocess.TimeoutExpired:
            how = f"not done after {seconds:.0f} s"
        file = folder / "result.json"
        if file.exists():
            found = json.loads(file.read_text())
            total.tried += found["tried"]
            total.outcomes.update(found["outcomes"])
            total.problems += found["problems"]
            total.peak_bytes = max(total.peak_bytes, found["peak_bytes"])
            total.slowest = max(total.slowest, found["slowest"])
            if found["problems"]:
                number += 1000
            continue
        kept = folder.parent / f"{folder.name}-died-{len(total.problems)}.bin"
        if (folder / CURRENT).exists():
            (folder / CURRENT).rename(kept)
        total.problems.append(f"the process died ({how}); its input is {kept.name}")
        total.tried += 1
        number += 1000
    return total


if __name__ == "__main__":
    main()
