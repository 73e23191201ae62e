"""Calls RDKit in worker processes, which may crash or hang without harm: the input is refused and a new one starts."""

from __future__ import annotations

import atexit
import base64
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

from vlcli.errors import VlcliError
from vlcli_molecules.molecule import Molecule
from vlcli_molecules.options import DEFAULT, Notation, StructureOptions

SECONDS = 30.0
WORKERS = 2
COMMAND = (sys.executable, "-m", "vlcli_molecules.worker")


class Worker:
    """One worker process. Used by one thread at a time."""

    def __init__(self, command: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.answered = False
        # Pipes can not be waited on with a time limit everywhere; a queue can.
        threading.Thread(target=self._listen, name="vlcli-molecules", daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(b"")

    def ask(self, request: bytes, seconds: float) -> bytes:
        """The answer to a request; empty when the process ended instead.

        Raises:
            queue.Empty: when it took longer than `seconds`.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
        except BrokenPipeError:
            return b""
        answer = self.answers.get(timeout=seconds)
        self.answered = self.answered or bool(answer)
        return answer

    def stop(self) -> int:
        """End the process; its exit status."""
        self.process.kill()
        return self.process.wait()


class Guard:
    """Up to `workers` processes, started when they are needed.

    Args:
        workers: how many at once; further callers wait.
        seconds: what takes longer is refused.
        command: starts a worker.
    """

    def __init__(self, workers: int = WORKERS, seconds: float = SECONDS, command: Sequence[str] = COMMAND) -> None:
        self.seconds = seconds
        self.command = command
        self.slots: queue.LifoQueue[Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self.slots.put(None)

    def call(self, where: str, operation: str, **arguments: Any) -> Any:
        """The result of one of `vlcli_molecules.worker.OPERATIONS`.

        Raises:
            VlcliError: the operation's own, or D631 when RDKit crashed, D632 when it took too long, X601 when no worker
                can be started.
        """
        request = json.dumps({"operation": operation, **arguments}).encode() + b"\n"
        worker = self.slots.get()
        try:
            if worker is None or worker.process.poll() is not None:
                worker = self.start()
            line = worker.ask(request, self.seconds)
            if not line:
                ended, worker = worker, None
                status = ended.process.wait()
                # Python's own status for an error while it starts: the input was not looked at.
                if status == 1 and not ended.answered:
                    raise no_worker("it ended before it could answer")
                raise crash(where, status)
        except queue.Empty:
            if worker is not None:
                worker.stop()
                worker = None
            raise VlcliError("D632", where, f"RDKit did not finish with it within {self.seconds:g} s",
                             "leave it out") from None  # fmt: skip
        except BaseException:
            # Interrupted while the worker computes: its answer would be taken for the next one's.
            if worker is not None:
                worker.stop()
                worker = None
            raise
        finally:
            self.slots.put(worker)
        found = json.loads(line)
        if "error" in found:
            code, message, help = found["error"]
            raise VlcliError(code, where, message, help)
        return found["result"]

    def start(self) -> Worker:
        """A new worker."""
        try:
            return Worker(self.command)
        except OSError as error:
            raise no_worker(f"{self.command[0]}: {error.strerror}") from error

    def parse(
        self, text: str, where: str, notation: Notation = "auto", options: StructureOptions = DEFAULT
    ) -> Molecule:
        """`vlcli_molecules.structure.parse`, guarded."""
        found = self.call(where, "parse", text=text, notation=notation, options=asdict(options))
        return Molecule(found["smiles"], found["selfies"], found["source"], tuple(found["notes"]))

    def draw(self, smiles: str, where: str, size: int) -> bytes:
        """`vlcli_molecules.preview.draw_png`, guarded."""
        return base64.b64decode(self.call(where, "draw", smiles=smiles, size=size))

    def close(self) -> None:
        """End the processes; a later call starts new ones."""
        for _ in range(self.slots.qsize()):
            worker = self.slots.get()
            if worker is not None:
                worker.stop()
            self.slots.put(None)


def no_worker(reason: str) -> VlcliError:
    """The refusal when a worker does not start."""
    return VlcliError("X601", "", f"RDKit's worker process can not be started ({reason})",
                      f"see what `{' '.join(COMMAND)}` says")  # fmt: skip


def crash(where: str, status: int) -> VlcliError:
    """The refusal of an input at which the worker died."""
    name = f"signal {-status}" if status < 0 else f"status {status}"
    if status < 0 and -status in {number.value for number in signal.Signals}:
        name = signal.Signals(-status).name
    return VlcliError("D631", where, f"RDKit crashed while it worked on it ({name})", "leave it out")


def shared_guard() -> Guard:
    """The guard of this process: starting a worker costs as much as a thousand molecules, so all readers share it."""
    return _guard_of(os.getpid())


@cache
def _guard_of(process: int) -> Guard:
    """One guard a process; a forked child must not talk to its parent's workers."""
    guard = Guard()
    atexit.register(guard.close)
    return guard
