"""Run all benchmarks, print the table and write `docs/evidence/bench.json` and the table of `docs/benchmarks.md`.

    python benchmarks/run.py [--only SCRIPT] [--quick] [--out FILE] [--threads 2]

Every script runs in a process of its own: one that dies costs its own rows only. With `--only` the other rows keep
their last values; with `--quick` nothing under `docs` is written unless `--out` says so. Exit code 1 when a bar is
missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import common
from common import EVIDENCE, FOLDER, THREADS, Part, Row, Settings, Spec, make_row

SCRIPTS = ("startup", "losses", "gradcache", "frozen", "text_encoding", "image_embedding", "search", "embed",
           "training", "cpu_backend", "growth", "determinism", "molecules", "pointclouds")  # fmt: skip
"""The scripts of this folder that name rows in `PARTS`, in the order of the table."""

PAGE = FOLDER.parent / "docs" / "benchmarks.md"
TABLE = re.compile(r"(<!-- table: written by benchmarks/run.py -->\n).*?(<!-- end of table -->)", re.DOTALL)


def parts_of(script: str) -> tuple[Part, ...]:
    """What a script measures."""
    parts: tuple[Part, ...] = importlib.import_module(script).PARTS
    return parts


def all_specs() -> list[Spec]:
    """The rows of all scripts."""
    return [spec for script in SCRIPTS for part in parts_of(script) for spec in part.specs]


def run_script(script: str, settings: Settings, scratch: Path) -> list[Row]:
    """The rows of one script; what it did not live to measure is said to be missing."""
    out = scratch / f"{script}.json"
    command = [sys.executable, str(FOLDER / f"{script}.py"), "--out", str(out), "--threads", str(settings.threads)]
    started = time.perf_counter()
    code = subprocess.run(
        command + (["--quick"] if settings.quick else []), env=common.environment(settings.threads)
    ).returncode
    print(f"      {script}: {time.perf_counter() - started:.0f} s", flush=True)
    found = {row["name"]: row for row in json.loads(out.read_text())["rows"]} if out.is_file() else {}
    rows = []
    for part in parts_of(script):
        for spec in part.specs:
            missing = make_row(spec, None, None, f"not measured: {script}.py ended with exit code {code}")
            rows.append(found.get(spec.name, missing))
    return rows


def merge(new: Sequence[Row], old: Sequence[Row]) -> list[Row]:
    """All rows in the registered order: new ones, else old ones, else a row that was not measured."""
    known = {row["name"]: row for row in [*old, *new]}
    return [known.get(spec.name, make_row(spec, None, None, "not measured yet")) for spec in all_specs()]


def text_table(rows: Sequence[Row]) -> str:
    """The table for the terminal."""
    lines = []
    for row in rows:
        mark = {True: "pass", False: "FAIL", None: "info"}[row["passed"]]
        value = "–" if row["value"] is None else f"{row['value']:g}"
        bar = "" if row["bar"] is None else f"{'≤' if row['better'] == 'lower' else '≥'} {row['bar']:g}"
        lines.append(f"{mark:<5}{row['topic']:<17}{row['name']:<62}{value:>10} {row['unit']:<10}{bar}")
    judged = [row for row in rows if row["passed"] is not None]
    return "\n".join([*lines, f"{sum(row['passed'] for row in judged)} of {len(judged)} bars reached"])


def page_table(rows: Sequence[Row]) -> str:
    """The table for the page, Markdown."""
    lines = ["| | what | value | bar | beside it | detail |", "|---|---|---|---|---|---|"]
    for row in rows:
        mark = {True: "pass", False: "**fail**", None: "–"}[row["passed"]]
        value = "–" if row["value"] is None else f"{row['value']:g} {row['unit']}"
        bar = "" if row["bar"] is None else f"{'≤' if row['better'] == 'lower' else '≥'} {row['bar']:g}"
        cells = [mark, row["name"], value, bar, peers_text(row["peers"]), row["detail"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def peers_text(peers: dict[str, Any]) -> str:
    """Peers' numbers in a line."""

    def text(value: Any) -> str:
        if isinstance(value, dict):
            return ", ".join(f"{key} {text(one)}" for key, one in value.items())
        return f"{value:g}" if isinstance(value, float) else str(value)

    return "; ".join(f"{name}: {text(value)}" for name, value in peers.items())


def write_page(rows: Sequence[Row], page: Path = PAGE) -> None:
    """Put the table between the marks of the page."""
    text = page.read_text(encoding="utf-8")
    page.write_text(TABLE.sub(lambda found: found[1] + "\n" + page_table(rows) + "\n" + found[2], text), "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=SCRIPTS, help="a script; repeatable")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run, not how fast is it")
    parser.add_argument("--out", type=Path, help="JSON file to write instead of the one under docs")
    parser.add_argument("--threads", type=int, default=THREADS)
    options = parser.parse_args(arguments)
    settings = Settings(options.quick, options.threads)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="vlcli-bench-") as scratch:
        for script in options.only or SCRIPTS:
            rows += run_script(script, settings, Path(scratch))
    target: Path | None = options.out or (None if options.quick else EVIDENCE)
    if target == EVIDENCE and options.only and EVIDENCE.is_file():
        rows = merge(rows, json.loads(EVIDENCE.read_text(encoding="utf-8"))["rows"])
    if target is not None:
        common.write(target, rows, settings)
    if target == EVIDENCE and PAGE.is_file():
        write_page(rows)
    print(text_table(rows))
    return int(any(row["passed"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
