"""Bits that change on the disk: what is read is what was written, or an error that names the remedy.

In the database of a store, its write-ahead log, its vector cache, its record of commits and its approximate index; in
Lance's files; in checkpoints; in a space's weights, description and vocabulary.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from _faults import as_row, workshop
from harness.rot import Answers, index_answers, store_answers, store_check, store_with_log, try_rot
from harness.stores import home_at
from parts import Budget, Row

from vlcli.align.load import load_space
from vlcli.train.checkpoint import checkpoints, load_checkpoint

BAR = "what was written, or an error with its remedy"


def run(budget: Budget) -> list[Row]:
    """Damage each kind of file."""
    rows = []
    with workshop(budget) as (world, _, shop):
        folder = shop.folder.parent
        copy = folder / "copy"
        operations = {operation.name: operation for operation in shop.store_operations()}
        store = operations["cache"].root / "store"
        logged = store_with_log(store, folder / "log")
        plans: list[tuple[str, Path, list[str], int]] = [
            ("store", store, ["store.db"], 250), ("store", store, ["vectors.npy", "commits.bin"], 60),
            ("store with a log", logged, ["store.db-wal"], 120),
        ]  # fmt: skip
        if importlib.util.find_spec("lancedb") is not None:
            lance = shop.embed("lance").root / "store"
            parts = [str(path.relative_to(lance)) for kind in ("data/*.lance", "_versions/*.manifest")
                     for path in sorted(lance.glob(f"vectors.lancedb/vectors.lance/{kind}"))[-1:]]  # fmt: skip
            plans.append(("Lance store", lance, parts, 30))
        for name, template, files, count in plans:
            for file in files:
                tally = try_rot(
                    name, template, file, copy, budget.count(count), budget.seed, store_answers, store_check
                )
                rows.append(as_row(f"{name}: {Path(file).suffix or file}", [tally], 1, BAR))

        if "index" in operations:
            with home_at(operations["index"].root / "home"):
                indexed = operations["index"].root / "store"
                tally = try_rot(
                    "store", indexed, "ann.index", copy, budget.count(60), budget.seed, index_answers, store_check
                )
                rows.append(as_row("store: ann.index", [tally], 1, BAR))

        def read_space(place: Path) -> Answers:
            return load_space(str(place), shop.registry, "cpu").identity

        for file in ("weights.safetensors", "space.json", "towers/text/tokenizer.json"):
            tally = try_rot("space", world.space, file, copy, budget.count(60), budget.seed, read_space)
            rows.append(as_row(f"space: {file}", [tally], 1, BAR))
        checkpoint = checkpoints(shop.train().root / "run" / "checkpoints")[-1]
        for file in ("tensors.safetensors", "state.json", "checksums.json"):
            tally = try_rot("checkpoint", checkpoint, file, copy, budget.count(60), budget.seed, read_checkpoint)
            rows.append(as_row(f"checkpoint: {file}", [tally], 1, BAR))
    return rows


def read_checkpoint(folder: Path) -> Answers:
    """The checkpoint's files, when it may be resumed from.

    Raises:
        VlcliError: T201 when it is damaged.
    """
    load_checkpoint(folder)
    names = ("tensors.safetensors", "state.json")
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
