"""Trying out the states that a power cut may leave."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness.commands import Commands
from harness.disk import Choice, CrashState, Disk, crash_states, read_tree
from harness.operations import Operation, leftovers
from harness.shim import Faults
from harness.trace import read_trace
from harness.world import expect_success


@dataclass
class Tally:
    """What was tried, and what went wrong."""

    tried: int = 0
    faults: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, amount: int = 1) -> None:
        """Count something else."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def first_problem(self) -> str:
        """The first problem, for a message."""
        return self.problems[0] if self.problems else ""


def record(operation: Operation, commands: Commands, folder: Path) -> tuple[Disk, list[CrashState], str]:
    """Run an operation once under the recorder: all states a power cut may leave, and whether the recording is whole.

    The text is empty when replaying all events gives what is on the real disk.
    """
    operation.restore()
    disk, trace = Disk(operation.root), folder / f"{operation.name}.trace"
    expect_success(operation.run(commands, Faults(str(operation.root), trace=str(trace))))
    real = read_tree(operation.root)
    states = list(crash_states(disk, read_trace(trace), seed=0))
    final = disk.state([True] * len(disk.waiting), Choice())
    names = [name for name in sorted({*real, *final}) if not name.endswith("-shm")]
    wrong = [name for name in names if real.get(name, 0) != final.get(name, 0)]
    return disk, states, f"the recording is incomplete: {wrong[0]}" if wrong else ""


def sample(states: list[CrashState], count: int, seed: int) -> Iterator[CrashState]:
    """At most `count` states, spread over all boundaries."""
    if len(states) <= count:
        yield from states
        return
    chosen = random.Random(seed).sample(range(len(states)), count)
    yield from (states[index] for index in sorted(chosen))


def try_power_cuts(
    operation: Operation, commands: Commands, folder: Path, *, states: int, resumed: int, seed: int
) -> Tally:
    """Look at states after power cuts.

    Args:
        folder: for scratch files.
        states: how many states are opened and looked at.
        resumed: in how many of them the command is run again to its end, which must be the end without a fault.
    """
    tally = Tally()
    _, every, incomplete = record(operation, commands, folder)
    if incomplete:
        tally.problems.append(incomplete)
    tally.add("states found", len(every))
    scratch = folder / "state"
    chosen = list(sample(every, states, seed))
    for state in chosen:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        state.write(scratch)
        found = operation.sound(scratch, state.marks)
        tally.tried += 1
        if found:
            tally.problems.append(f"{operation.name}, power cut after change {state.boundary}, {state.kind}: {found}")
    for state in sample(chosen, resumed, seed + 1):
        shutil.rmtree(operation.root, ignore_errors=True)
        operation.root.mkdir(parents=True)
        state.write(operation.root)
        ended = operation.run_again(commands)
        found = f"exit code {ended.code}: {ended.stderr[-600:]}" if ended.code else operation.complete(operation.root)
        tally.add("gone on with")
        if found:
            tally.problems.append(
                f"{operation.name}, gone on with after a power cut after change {state.boundary}, {state.kind}: {found}"
            )
    tally.faults = tally.tried
    shutil.rmtree(scratch, ignore_errors=True)
    return tally


def try_kills_at_changes(operation: Operation, commands: Commands, numbers: list[int]) -> Tally:
    """Kill the command right before its n-th change to the disk, for each n."""
    return _try_kills(operation, commands, [{"faults": Faults(str(operation.root), kill_at=n)} for n in numbers])


def try_kills_at_moments(operation: Operation, commands: Commands, moments: list[float]) -> Tally:
    """Kill the command after so many seconds, for each number of seconds."""
    return _try_kills(operation, commands, [{"kill_after": seconds} for seconds in moments])


def _try_kills(operation: Operation, commands: Commands, orders: list[dict[str, object]]) -> Tally:
    tally = Tally()
    copy = operation.root.with_name(f"{operation.root.name}-copy")
    for order in orders:
        operation.restore()
        ended = operation.run(commands, **order)  # type: ignore[arg-type]
        tally.tried += 1
        tally.faults += ended.killed
        tally.add("killed", int(ended.killed))
        where = f"{operation.name}, killed at {order.get('faults') or order.get('kill_after')}"
        if ended.code not in (0, -9):
            tally.problems.append(f"{where}: exit code {ended.code}: {ended.stderr[-600:]}")
            continue
        tally.add("acknowledged", len(ended.marks))
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(operation.root, copy)
        if found := operation.sound(copy, ended.marks):
            tally.problems.append(f"{where}: {found}")
        again = operation.run_again(commands)
        if again.code:
            tally.problems.append(f"{where}, then run again: exit code {again.code}: {again.stderr[-600:]}")
        elif found := operation.complete(operation.root):
            tally.problems.append(f"{where}, then run again: {found}")
        elif left := leftovers(operation.root):
            tally.problems.append(f"{where}, then run again: {left[0]} is left over")
    shutil.rmtree(copy, ignore_errors=True)
    return tally
