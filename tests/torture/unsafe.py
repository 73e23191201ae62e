"""Unsafe files: pickles, code and lying safetensors headers in every loading path; recipes that want out

Every loading path of the core, of the weight caches and of every file type of every installed modality is given every
payload, under an audit hook. Executed means: the payload's marker is there, something was looked up by an unpickler, or
a process was started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import unsafe_paths
from parts import Budget, Row
from unsafe_recipes import check_all, copies_stay_inside


def run(budget: Budget) -> list[Row]:
    """Loading paths in a child (an audit hook can not be taken off), recipes here."""
    out = budget.folder / "paths.json"
    command = [sys.executable, unsafe_paths.__file__, str(budget.folder / "paths"), str(out)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
                          timeout=max(60.0, budget.left()), check=False)  # fmt: skip
    if done.returncode:
        return [Row("hostile files", 0, 0, 0, False, "the child ends well", detail=done.stderr[-800:])]
    results = json.loads(out.read_text())
    return [*path_rows(results), recipe_row(budget.folder)]


def path_rows(results: list[dict[str, object]]) -> list[Row]:
    """One row for execution, one for crashes."""
    tried = sum(int(str(result["tried"])) for result in results)
    executed = [f"{result['name']}: {text}" for result in results for text in as_list(result["executed"])]
    crashed = [f"{result['name']}: {text}" for result in results for text in as_list(result["crashed"])]
    counts = {"paths": len(results), "refused": sum(int(str(result["refused"])) for result in results),
              "read as data": sum(len(as_list(result["read"])) for result in results)}  # fmt: skip
    enough = len(results) >= 30 and tried >= 30 * len(results) // 2
    return [
        Row("payloads, executed", tried, tried, len(executed), not executed and enough, "0 executed, at least 30 paths",
            counts, executed[0] if executed else ""),
        Row("payloads, refused or read without a crash", tried, tried, len(crashed), not crashed, "0 crashes",
            {"crashes": len(crashed)}, crashed[0] if crashed else "", summary=True),
    ]  # fmt: skip


def recipe_row(folder: Path) -> Row:
    """Recipes that must be refused."""
    place = folder / "recipes"
    place.mkdir()
    count, wrong = check_all(place)
    wrong += copies_stay_inside(place)
    return Row("recipes that run code or leave their folder", count, count, len(wrong), not wrong, "0 accepted", {},
               wrong[0] if wrong else "")  # fmt: skip


def as_list(value: object) -> list[str]:
    """A list of the child's record."""
    assert isinstance(value, list)
    return [str(item) for item in value]
