"""Ledger: 10,000 mixed inputs, one in ten hostile, embedded by the command line

Three runs: everything new, everything unchanged, and a tenth changed, broken, mended or removed. After each, embedded +
unchanged + refused is the number of inputs, every refusal has a code and a reason, every row's content hash is that of
its input, and each input met the fate it deserved.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from fuzz_targets import registry_of, saved_space
from mixed_inputs import Input, encoded, make_world, pixels, sha_of, write
from parts import Budget, Row
from PIL import Image

from vlcli.data.names import printable
from vlcli.store import open_store


def run(budget: Budget) -> list[Row]:
    """The three runs."""
    inputs = make_world(budget.folder / "world", budget.count(10_000), budget.seed)
    space = saved_space(budget.folder / "space", registry_of())
    rows = [judge("everything new", inputs, budget.folder, space, fresh=True)]
    rows.append(judge("everything unchanged", inputs, budget.folder, space, fresh=False))
    changed = change(inputs, random.Random(budget.seed + 1))
    rows.append(judge("a tenth changed, broken, mended or removed", changed, budget.folder, space, fresh=False))
    return rows


def change(inputs: list[Input], rng: random.Random) -> list[Input]:
    """The inputs after some of their files were replaced, broken, mended or removed."""
    found = []
    for number, one in enumerate(inputs):
        picture = one.fate == "embedded" and one.path.endswith(b".png")
        if number % 40 == 0 and picture:
            write(one.path, encoded(Image.fromarray(pixels(rng)), "PNG"))
            one = replace(one, kind="changed", sha256=sha_of(one.path))
        elif number % 40 == 1 and picture:
            write(one.path, b"broken %d" % number)
            one = replace(one, kind="broken", fate="refused", sha256="")
        elif number % 40 == 2 and one.kind == "zero bytes":
            write(one.path, encoded(Image.fromarray(pixels(rng)), "PNG"))
            one = replace(one, kind="mended", fate="embedded", sha256=sha_of(one.path))
        elif number % 40 == 3 and one.fate == "embedded":
            Path(os.fsdecode(one.path)).unlink()
            one = replace(one, kind="removed", fate="refused", sha256="")
        found.append(one)
    return found


def judge(name: str, inputs: list[Input], folder: Path, space: Path, *, fresh: bool) -> Row:
    """Embed the inputs and compare the ledger and the rows with what they had to be."""
    store = folder / "store"
    listing = folder / "inputs.list"
    listing.write_bytes(b"\0".join(one.path for one in inputs) + b"\0")
    command = [sys.executable, "-m", "vlcli", "embed", "-", "--space", str(space), "--store", str(store), "--json"]
    with listing.open("rb") as source:
        done = subprocess.run(command, stdin=source, capture_output=True, timeout=900, check=False)
    if done.returncode not in (0, 3):
        return Row(name, len(inputs), 0, len(inputs), False, detail=done.stderr.decode(errors="replace")[-800:])
    printed = json.loads(done.stdout)
    wrong = compare(inputs, store, printed)
    if not fresh and name == "everything unchanged" and printed["embedded"]:
        wrong.append(f"{printed['embedded']} were embedded again")
    hostile = Counter(one.kind for one in inputs if one.kind != "plain")
    counts = {"embedded": printed["embedded"], "unchanged": printed["unchanged"], "refused": len(printed["refused"]),
              "hostile kinds": len(hostile)}  # fmt: skip
    return Row(name, len(inputs), sum(hostile.values()), len(wrong), not wrong,
               "embedded + unchanged + refused = inputs; every hash and every fate right", counts,
               wrong[0] if wrong else "")  # fmt: skip


def compare(inputs: list[Input], store: Path, printed: dict[str, object]) -> list[str]:
    """What is wrong, in sentences."""
    refused = printed["refused"]
    assert isinstance(refused, list) and isinstance(printed["embedded"], int) and isinstance(printed["unchanged"], int)
    wrong = []
    total = printed["embedded"] + printed["unchanged"] + len(refused)
    if total != len(inputs):
        wrong.append(f"{total} of {len(inputs)} inputs are accounted for")
    wrong += [f"refused without code or reason: {line}" for line in refused if not (line["code"] and line["reason"])]
    # The one line of a text file is an item of its own, `notes.txt#1`.
    told = Counter(line["path"].removesuffix("#1") for line in refused)
    with open_store(store) as opened:
        last = opened.runs()[-1]
        lines = {line.input: line for line in opened.ledger(last.id)}
        if last.inputs != len(inputs) or len(lines) != len(inputs):
            wrong.append(f"the ledger counts {last.inputs} inputs in {len(lines)} lines")
        rows = {item.id.removesuffix("#1"): item for item in opened.items() if item.stale is None}
    for one in inputs:
        path = printable(os.fsdecode(one.path))
        if one.fate == "refused":
            if told[path] != 1:
                wrong.append(f"{one.kind}: {path[-60:]} was to be refused once, was {told[path]} times")
            if path in rows:
                wrong.append(f"{one.kind}: {path[-60:]} is refused and can still be found")
        elif path not in rows or path in told:
            reason = next((line["reason"] for line in refused if line["path"].startswith(path)), "no row")
            wrong.append(f"{one.kind}: {path[-60:]} was to be embedded: {reason}")
        elif one.path.endswith(b".txt"):
            words = Path(os.fsdecode(one.path)).read_text(encoding="utf-8").strip()
            if rows[path].content_hash != hashlib.sha256(words.encode()).hexdigest():
                wrong.append(f"{one.kind}: {path[-60:]} has the hash of another text")
        elif rows[path].content_hash != one.sha256:
            wrong.append(f"{one.kind}: {path[-60:]} has the hash of another content")
    return wrong
