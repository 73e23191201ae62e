"""What all benchmarks share: rows and their bars, runs that take turns, memory of a fresh process, the JSON they write.

A script of this folder names its rows in `PARTS` and ends with `main(__doc__, PARTS)`. Every script takes `--out FILE`
(JSON), `--only PART`, `--quick` (tiny sizes: whether it runs, not how fast) and `--threads N`. `run.py` runs them all.

Modules here import torch and the peers inside functions only, so that the rows can be listed without them.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).resolve().parent
EVIDENCE = FOLDER.parent / "docs" / "evidence" / "bench.json"
MIB = 2**20
THREADS = 2
# Rows of issue 5's table, and the command line's start; every row of a benchmark belongs to one of them.
TOPICS = ("losses", "gradcache", "frozen towers", "text encoding", "image embedding", "search", "unchanged files",
          "training step", "cpu back end", "growth", "determinism", "start-up", "molecules",
          "point clouds")  # fmt: skip
PACKAGES = (
    "torch",
    "numpy",
    "transformers",
    "sentence-transformers",
    "open_clip_torch",
    "pillow",
    "usearch",
    "accelerate",
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Spec:
    """A row before it is measured.

    Attributes:
        name: unique over all scripts.
        topic: one of `TOPICS`.
        unit: of the value.
        bar: what the value must reach; None for a row that only informs.
        better: whether a `lower` or a `higher` value passes.
    """

    name: str
    topic: str
    unit: str
    bar: float | None
    better: Literal["lower", "higher"] = "lower"


@dataclass(frozen=True)
class Settings:
    """How to measure: `quick` takes tiny sizes and one round, `threads` is the number for us and for every peer."""

    quick: bool = False
    threads: int = THREADS

    def pick(self, full: int, quick: int) -> int:
        """A size or count for this mode."""
        return quick if self.quick else full


@dataclass
class Report:
    """Takes the values of a part's rows as they are measured."""

    specs: Sequence[Spec]
    rows: list[Row] = field(default_factory=list)

    def add(self, name: str, value: float, *, peers: Mapping[str, Any] | None = None, detail: str = "") -> None:
        """One measured value.

        Args:
            name: of a spec of this part, not yet added.
            value: in the spec's unit; a ratio's denominator is named by the row.
            peers: what was measured beside it, name -> number or table of numbers.
            detail: sizes, absolute times, what limits it.

        Raises:
            KeyError: for a row that the part does not name.
        """
        spec = {one.name: one for one in self.specs}[name]
        row = make_row(spec, value, peers, detail)
        self.rows.append(row)
        print(describe(row), flush=True)

    def fill(self, reason: str) -> None:
        """Every row that was not measured says why, and does not pass."""
        known = {row["name"] for row in self.rows}
        for spec in self.specs:
            if spec.name not in known:
                self.rows.append(make_row(spec, None, None, f"not measured: {reason}"))
                print(describe(self.rows[-1]), flush=True)


@dataclass(frozen=True)
class Part:
    """Rows that are measured together.

    Attributes:
        name: for `--only`.
        specs: the rows.
        measure: adds them to the report.
        packages: modules without which nothing can be measured (peers).
    """

    name: str
    specs: tuple[Spec, ...]
    measure: Callable[[Report, Settings], None]
    packages: tuple[str, ...] = ()


def make_row(spec: Spec, value: float | None, peers: Mapping[str, Any] | None, detail: str) -> Row:
    """A row of `bench.json`; numbers are kept to 4 digits."""
    value = None if value is None else shorten(value)
    return {
        "name": spec.name, "topic": spec.topic, "value": value, "unit": spec.unit, "bar": spec.bar,
        "better": spec.better, "passed": verdict(value, spec.bar, spec.better), "peers": shorten(dict(peers or {})),
        "detail": detail,
    }  # fmt: skip


def verdict(value: float | None, bar: float | None, better: str) -> bool | None:
    """Whether a value reaches its bar: never without a value or with NaN; None where there is no bar."""
    if value is None or math.isnan(value):
        return False
    if bar is None:
        return None
    return value <= bar if better == "lower" else value >= bar


def shorten(value: Any) -> Any:
    """Floats to 4 significant digits, also inside tables."""
    if isinstance(value, Mapping):
        return {str(key): shorten(one) for key, one in value.items()}
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return value if isinstance(value, int) or not math.isfinite(value) else float(f"{value:.4g}")


def describe(row: Row) -> str:
    """A row as one line of text."""
    mark = {True: "pass", False: "FAIL", None: "info"}[row["passed"]]
    value = "–" if row["value"] is None else f"{row['value']:g}"
    return f"{mark}  {row['name']}: {value} {row['unit']}{describe_bar(row)}  {row['detail']}".rstrip()


def describe_bar(row: Row) -> str:
    """` (at most 2)`, ` (at least 3)` or nothing."""
    if row["bar"] is None:
        return ""
    return f" (at {'most' if row['better'] == 'lower' else 'least'} {row['bar']:g})"


def interleave(runs: Mapping[str, Callable[[], Any]], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of every run in every round; the runs take turns A B A B …, so that a busy machine slows all alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(-warmup, rounds):
        for name, run in runs.items():
            gc.collect()
            start = time.perf_counter()
            run()
            if number >= 0:
                times[name].append(time.perf_counter() - start)
    return times


def ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Median of the ratios of neighbouring runs."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def medians(times: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Median seconds of each run."""
    return {name: statistics.median(values) for name, values in times.items()}


def set_threads(threads: int) -> None:
    """The same number of threads for torch, BLAS and tokenizers, of us and of the peers."""
    os.environ.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads))
    import torch

    torch.set_num_threads(threads)


def extra_memory(run: Callable[[], Any]) -> float:
    """MiB that `run` needs at its peak above what the process holds before. Call it in a fresh process."""
    gc.collect()
    give_back_freed_memory()
    before = status_bytes("VmRSS")
    with PeakMemory() as peak:
        result = run()
    del result
    return max(0.0, (peak.bytes - before) / MIB)


class PeakMemory:
    """Highest resident size inside a `with` block: the kernel's own mark where it can be reset, else by watching."""

    def __init__(self) -> None:
        self.bytes = 0
        self.exact = False
        self.stop = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.exact = True
        except OSError:
            self.watcher.start()
        return self

    def watch(self) -> None:
        while not self.stop.wait(0.002):
            self.bytes = max(self.bytes, status_bytes("VmRSS"))

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        if not self.exact:
            self.watcher.join()
        self.bytes = max(self.bytes, status_bytes("VmHWM" if self.exact else "VmRSS"))


def status_bytes(name: str) -> int:
    """A line of `/proc/self/status` (`VmRSS`, `VmHWM`) in bytes; elsewhere psutil's resident size."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        import psutil  # type: ignore[import-untyped]

        return int(psutil.Process().memory_info().rss)
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def give_back_freed_memory() -> None:
    """Freed blocks that the allocator keeps would hide what the next run needs."""
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def fresh(module: str, function: str, threads: int, **arguments: Any) -> Any:
    """Call `function` of a script of this folder in a process of its own; arguments and result are JSON.

    Raises:
        RuntimeError: with the end of its messages, when it fails.
    """
    call = json.dumps({"module": module, "function": function, "threads": threads, "arguments": arguments})
    done = subprocess.run(
        [sys.executable, str(FOLDER / "common.py"), call], capture_output=True, text=True, env=environment(threads)
    )
    if done.returncode:
        raise RuntimeError(f"{module}.{function} failed with {done.returncode}: {done.stderr[-1500:].strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def environment(threads: int) -> dict[str, str]:
    """Environment of a benchmark's process: fixed threads, no network."""
    number = str(threads)
    return os.environ | {
        "OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number, "RAYON_NUM_THREADS": number, "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false", "PYTHONWARNINGS": "ignore",
    }  # fmt: skip


def measure(parts: Sequence[Part], settings: Settings, after: Callable[[list[Row]], None]) -> list[Row]:
    """Measure parts one after another; one that fails leaves rows that say so, and the next goes on."""
    rows: list[Row] = []
    for part in parts:
        report = Report(part.specs)
        missing = [name for name in part.packages if importlib.util.find_spec(name) is None]
        if missing:
            report.fill(f"{', '.join(missing)} is not installed")
        else:
            try:
                part.measure(report, settings)
                report.fill("the measurement gave no value")
            except Exception as error:  # noqa: BLE001 - whatever a peer or our code raises is this row's result
                traceback.print_exc()
                report.fill(f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}")
        rows += report.rows
        after(rows)
    return rows


def document(rows: Sequence[Row], settings: Settings) -> dict[str, Any]:
    """The content of a JSON file of results."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    machine = {"cores": os.cpu_count(), "device": "cpu", "threads": settings.threads,
               "python": platform.python_version(), "versions": versions}  # fmt: skip
    return {"schema": 1, "quick": settings.quick, "machine": machine, "rows": list(rows)}


def write(path: Path, rows: Sequence[Row], settings: Settings) -> None:
    """Write results; the file is replaced at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(json.dumps(document(rows, settings), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    scratch.replace(path)


def main(description: str | None, parts: Sequence[Part], arguments: Sequence[str] | None = None) -> None:
    """The command line of a script."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--only", action="append", choices=[part.name for part in parts], help="a part; repeatable")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run, not how fast is it")
    parser.add_argument("--threads", type=int, default=THREADS)
    options = parser.parse_args(arguments)
    settings = Settings(options.quick, options.threads)
    os.environ.update(environment(options.threads))
    chosen = [part for part in parts if options.only is None or part.name in options.only]

    def save(rows: list[Row]) -> None:
        if options.out is not None:
            write(options.out, rows, settings)

    measure(chosen, settings, save)


def answer(call: str) -> None:
    """The other end of `fresh`."""
    asked = json.loads(call)
    set_threads(asked["threads"])
    result = getattr(importlib.import_module(asked["module"]), asked["function"])(**asked["arguments"])
    print(json.dumps(result))


if __name__ == "__main__":
    answer(sys.argv[1])
