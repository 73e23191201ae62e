"""What the parts that inject faults share."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness import shim
from harness.commands import Commands
from harness.operations import Operation, Workshop
from harness.power import Tally
from harness.shim import Faults
from harness.world import World, trained_world
from parts import Budget, Row


@contextlib.contextmanager
def workshop(budget: Budget) -> Iterator[tuple[World, Commands, Workshop]]:
    """A world, its commands and operations; in memory where the platform has such a disk, as nothing waits for it."""
    if reason := shim.why_not():
        raise SystemExit(reason)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else budget.folder, prefix="vlcli-torture-") as text:
        folder = Path(text)
        with Commands(folder / "commands") as commands:
            world = trained_world(folder / "world", commands)
            yield world, commands, Workshop(world, commands, folder / "operations")


def every_operation(shop: Workshop) -> list[Operation]:
    """All operations on the default back end."""
    stores = shop.store_operations()
    return [*stores, shop.train(), shop.save_space(), *shop.file_operations(stores[1].root)]


def changes_of(operation: Operation, commands: Commands) -> tuple[int, float]:
    """How many changes to the disk the operation makes, and how long it takes, seconds."""
    operation.restore()
    ended = operation.run(commands, Faults(str(operation.root)))
    return ended.changes, ended.seconds


def as_row(name: str, tallies: Iterable[Tally], least: int, bar: str) -> Row:
    """The sum of tallies as a row; it passes when nothing went wrong and enough faults were injected."""
    total = Tally()
    for tally in tallies:
        total.tried += tally.tried
        total.faults += tally.faults
        total.problems += tally.problems
        for key, value in tally.counts.items():
            total.add(key, value)
    enough = total.faults >= least
    detail = total.first_problem() or ("" if enough else f"only {total.faults} of {least} faults were injected")
    return Row(name, total.tried, total.faults, len(total.problems), enough and not total.problems, bar, total.counts,
               detail)  # fmt: skip
