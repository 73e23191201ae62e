"""`make torture`: every part in a process of its own, the counts as a table, and docs/evidence/torture.json.

    python tests/torture/run.py [PART ...] [--scale 1.0] [--seed 0] [--out docs/evidence/torture.json]

Exit code 1 when anything was lost or a part ended badly. Named parts, or another scale, write no evidence unless --out
is given; with --update the rows of the named parts, run in full, take the place of theirs in the evidence.
See `parts.py` for what a part is.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EVIDENCE = ROOT / "docs" / "evidence" / "torture.json"
FAULTS = HERE.parent / "faults"
PART_SECONDS = 1800.0
NOT_PARTS = ("run", "parts")


def part_titles() -> dict[str, str]:
    """Name -> title of all parts, without importing them."""
    titles = {}
    for file in sorted(HERE.glob("*.py")):
        if file.stem not in NOT_PARTS and not file.stem.startswith("_"):
            text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or file.stem
            titles[file.stem] = text.splitlines()[0]
    return titles


def run_part(name: str, folder: Path, seed: int, scale: float, out: Path) -> None:
    """Run a part in this process and write its rows."""
    for place in (HERE, FAULTS):
        sys.path.insert(0, str(place))
    from parts import Budget

    budget = Budget(folder, seed, scale, PART_SECONDS)
    rows = importlib.import_module(name).run(budget)
    out.write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")


def start_part(name: str, seed: int, scale: float) -> list[dict[str, Any]]:
    """Run a part in a child process; a part that ends badly is a failed row."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"vlcli-torture-{name}-", ignore_cleanup_errors=True) as scratch:
        folder, out = Path(scratch) / "work", Path(scratch) / "rows.json"
        folder.mkdir()
        command = [sys.executable, str(HERE / "run.py"), "--inside", name, "--seed", str(seed), "--scale", str(scale)]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "VLCLI_HOME": str(folder / "home")}
        process = subprocess.Popen([*command, "--work", str(folder), "--out", str(out)], cwd=ROOT, env=environment,
                                   start_new_session=True)  # fmt: skip
        problem = ""
        try:
            code = process.wait(PART_SECONDS)
            problem = f"the part ended with exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            problem = f"the part did not end within {PART_SECONDS:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        rows = json.loads(out.read_text(encoding="utf-8")) if out.exists() and not problem else []
    if not rows:
        rows = [{"name": "the part itself", "tried": 0, "faults": 0, "lost": 0, "passed": False, "bar": "it ends well",
                 "counts": {}, "detail": problem or "the part gave no rows", "summary": False}]  # fmt: skip
    seconds = round(time.monotonic() - started, 1)
    return [{"part": name, **row, "part_seconds": seconds} for row in rows]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for people."""
    heads = ("part", "what", "tried", "faults", "lost", "")
    lines = [heads, *((row["part"], row["name"], f"{row['tried']:,}", f"{row['faults']:,}", f"{row['lost']:,}",
                       "pass" if row["passed"] else "FAIL") for row in rows)]  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    text = []
    for line in lines:
        cells = [cell.rjust(width) if 2 <= column <= 4 else cell.ljust(width)
                 for column, (cell, width) in enumerate(zip(line, widths, strict=True))]  # fmt: skip
        text.append("  ".join(cells).rstrip())
    text.insert(1, "-" * len(text[0]))
    return "\n".join(text)


def totals(rows: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Inputs tried, faults injected and things lost over all rows; what a summary repeats is not counted again."""
    counted = [row for row in rows if not row["summary"]]
    return (sum(row["tried"] for row in counted), sum(row["faults"] for row in counted),
            sum(row["lost"] for row in rows))  # fmt: skip


def merged(rows: list[dict[str, Any]], seed: int, scale: float) -> tuple[list[dict[str, Any]], float]:
    """The evidence's rows with those of the parts that ran anew in their place, and the seconds that it took before."""
    if not EVIDENCE.exists():
        raise SystemExit("there is no evidence to update: run all parts first")
    known = json.loads(EVIDENCE.read_text(encoding="utf-8"))
    if (known["seed"], known["scale"]) != (seed, scale):
        raise SystemExit(f"the evidence was made with seed {known['seed']} and scale {known['scale']}")
    ran = {row["part"] for row in rows}
    kept = [row for row in known["rows"] if row["part"] not in ran]
    return sorted(kept + rows, key=lambda row: str(row["part"])), float(known["seconds"])


def machine() -> dict[str, Any]:
    """Where the counts were made."""
    return {"platform": platform.platform(), "python": platform.python_version(), "cpus": os.cpu_count()}


def main() -> int:
    """Run the parts; gives the exit code."""
    titles = part_titles()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(f"{k}: {v}" for k, v in titles.items()))
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--update", action="store_true", help="replace the named parts' rows in the evidence")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        run_part(given.inside, given.work, given.seed, given.scale, given.out)
        return 0
    unknown = [name for name in given.parts if name not in titles]
    if unknown:
        parser.error(f"there is no part '{unknown[0]}'; choose from {', '.join(titles)}")
    started, rows = time.monotonic(), []
    for name in given.parts or titles:
        print(f"{name}: {titles[name]}", flush=True)
        rows += start_part(name, given.seed, given.scale)
        for row in rows:
            if row["part"] == name:
                counts = ", ".join(f"{key} {value:,}" for key, value in row["counts"].items())
                print(f"  {'pass' if row['passed'] else 'FAIL'}  {row['name']}: {counts or row['bar']}", flush=True)
                if row["detail"]:
                    print(f"        {row['detail']}", flush=True)
    seconds = round(time.monotonic() - started, 1)
    if given.update:
        rows, earlier = merged(rows, given.seed, given.scale)
        seconds += earlier
    print(f"\n{table(rows)}\n")
    tried, faults, lost = totals(rows)
    passed = all(row["passed"] for row in rows)
    print(f"inputs and states tried {tried:,}, faults injected {faults:,}, lost = {lost:,}")
    complete = bool(rows) and (given.update or not given.parts) and given.scale >= 1
    out = given.out or (EVIDENCE if complete else None)
    if out is not None:
        from vlcli.runtime.files import write_atomic

        command = f"python tests/torture/run.py --seed {given.seed} --scale {given.scale:g}"
        content = {
            "schema": 1, "command": command, "seed": given.seed, "scale": given.scale, "tried": tried,
            "faults": faults, "lost": lost, "passed": passed, "seconds": seconds, "machine": machine(), "rows": rows,
        }  # fmt: skip
        write_atomic(out, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        print(f"written: {out}")
    return 0 if rows and passed and not lost else 1


if __name__ == "__main__":
    sys.exit(main())
