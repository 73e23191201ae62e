"""A full disk and I/O errors, at random changes to the disk; and a real disk of one megabyte.

The version before stays whole, the message says what to do, and the command goes on when there is space again.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from _faults import as_row, changes_of, every_operation, workshop
from harness.commands import Commands
from harness.full_disk import FAILURES, try_failures
from harness.operations import Workshop
from harness.power import Tally
from harness.world import World
from parts import Budget, Row

from vlcli.store import open_store


def run(budget: Budget) -> list[Row]:
    """Let calls fail in every operation; then fill a real disk."""
    numbers = random.Random(budget.seed)
    rows = []
    with workshop(budget) as (world, commands, shop):
        operations = every_operation(shop)
        converted = shop.convert_weights()
        for operation in [*operations, *([converted] if converted is not None else [])]:
            changes, _ = changes_of(operation, commands)
            tallies = []
            for failure in FAILURES:
                points = {1, *(numbers.randint(1, changes) for _ in range(budget.count(4)))}
                tallies.append(try_failures(operation, commands, failure, sorted(points)))
            rows.append(as_row(operation.name, tallies, 3, "the version before is whole, the remedy named"))
        rows.append(small_disk(world, commands, shop))
    points = sum(row.faults for row in rows)
    least = budget.count(50)
    rows.append(Row("failing points in all", points, 0, 0, points >= least, f"at least {least} points", summary=True))
    return rows


def small_disk(world: World, commands: Commands, shop: Workshop) -> Row:
    """Embed onto a disk that is too small, then make it larger and embed again."""
    name, bar = "a real disk that is full", "X301, then complete"
    place = shop.folder.parent / "disk"
    place.mkdir()
    if not mount(place, "-t", "tmpfs", "-o", "size=300k", "tmpfs"):
        return Row(name, 0, 0, 0, True, bar, detail="not tried: this user may not mount a disk")
    tally = Tally(tried=1)
    try:
        argv = world.embed(place / "store")
        full = commands.run(*argv, cwd=world.folder, commit_items=8)
        tally.faults += full.code == 1
        if full.code != 1 or "error[X301]" not in full.stderr or "free space" not in full.stderr:
            tally.problems.append(f"exit code {full.code}: {full.stderr}")
        mount(place, "-o", "remount,size=64m")
        again = commands.run(*argv, cwd=world.folder, commit_items=8)
        with open_store(place / "store") as store:
            if again.code or len(store) != 40 or store.check():
                tally.problems.append(f"afterwards {len(store)} items, {store.check()}: {again.stderr}")
    finally:
        subprocess.run(["umount", str(place)], check=True)
    return as_row(name, [tally], 1, bar)


def mount(place: Path, *options: str) -> bool:
    """Mount something, where that is allowed."""
    try:
        return subprocess.run(["mount", *options, str(place)], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
