"""Calls that fail: a full disk, a broken device."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass

from harness.commands import Commands, Ended
from harness.operations import Operation, leftovers
from harness.power import Tally
from harness.shim import DEVICE_KINDS, SPACE_KINDS, Faults

FOREVER = 10**9


@dataclass(frozen=True)
class Failure:
    """A way to fail.

    Attributes:
        codes: error codes that the command may tell it by.
        words: one of which its message must hold, to say what to do.
    """

    name: str
    errno: int
    kinds: int
    count: int
    codes: tuple[str, ...]
    words: tuple[str, ...]


FAILURES = (
    Failure("the disk is full", errno.ENOSPC, SPACE_KINDS, FOREVER, ("X301", "X304", "X302"), ("free space",)),
    Failure("one I/O error", errno.EIO, DEVICE_KINDS, 1, ("X304", "X302"), ("check the disk", "check that you may")),
    Failure("a broken device", errno.EIO, DEVICE_KINDS, FOREVER, ("X304", "X302"), ("check the disk", "check that")),
)


def try_failures(operation: Operation, commands: Commands, failure: Failure, numbers: list[int]) -> Tally:
    """Let the n-th change to the disk fail, for each n: the state before is kept, the message is right, it goes on."""
    tally = Tally()
    copy = operation.root.with_name(f"{operation.root.name}-copy")
    for number in numbers:
        operation.restore()
        faults = Faults(str(operation.root), fail_at=number, fail_count=failure.count, errno=failure.errno,
                        kinds=failure.kinds)  # fmt: skip
        ended = operation.run(commands, faults)
        tally.tried += 1
        tally.faults += ended.failed > 0
        tally.add("calls failed", ended.failed)
        where = f"{operation.name}, {failure.name} from change {number}"
        if ended.failed and (found := wrong_message(ended, failure, operation)):
            tally.problems.append(f"{where}: {found}")
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


def wrong_message(ended: Ended, failure: Failure, operation: Operation) -> str:
    """What is wrong with how a command told of a failure; a call whose failure changes nothing may go untold."""
    if ended.code == 0:
        return ""
    if operation.call:
        return "" if f"[Errno {failure.errno}]" in ended.stderr or "error[X" in ended.stderr else ended.stderr[-600:]
    if ended.code != 1:
        return f"exit code {ended.code}: {ended.stderr[-600:]}"
    if "Traceback" in ended.stderr:
        return f"a traceback: {ended.stderr[-1500:]}"
    if not any(f"error[{code}]" in ended.stderr for code in failure.codes):
        return f"another error: {ended.stderr[-600:]}"
    return "" if any(word in ended.stderr for word in failure.words) else f"no remedy: {ended.stderr[-600:]}"
