"""One writer at a time. The operating system drops the lock when its holder dies, even by `kill -9`."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vlcli.errors import VlcliError

LOCK = "writer.lock"
OWNER = "writer.json"


class WriterLock:
    """An advisory lock (flock, on Windows msvcrt) on a store's folder, with its owner written beside it.

    The owner's file says who to name in an error message; only the lock itself decides, so a stale file is harmless.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK, timeout=0, thread_local=False)

    def acquire(self, command: str = "") -> None:
        """Take the lock.

        Raises:
            VlcliError: S106 naming the owner, when another writer holds it.
        """
        try:
            self._lock.acquire()
        except Timeout as error:
            raise VlcliError("S106", str(self.folder), f"the store is being written by {describe(self.folder)}",
                             "wait for it to finish, or end it") from error  # fmt: skip
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "started": now(), "command": command}
        (self.folder / OWNER).write_text(json.dumps(owner), encoding="utf-8")

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._lock.is_locked:
            (self.folder / OWNER).unlink(missing_ok=True)
            self._lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a writer holds the lock of this folder now."""
    if not (folder / LOCK).exists():
        return False
    lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return True
    except OSError:  # a folder that may not be written to has no writer that we could find
        return False
    lock.release()
    return False


def owner_of(folder: Path) -> dict[str, Any]:
    """What the owner wrote about itself; empty when it has not, or not yet."""
    try:
        owner = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def describe(folder: Path) -> str:
    """The owner in words: process, host, how long, command."""
    owner = owner_of(folder)
    if not owner:
        return "another process"
    text = f"process {owner.get('pid')} on {owner.get('host')}"
    try:
        seconds = (datetime.now(UTC) - datetime.fromisoformat(str(owner.get("started")))).total_seconds()
        text += f" since {owner['started']} ({age(seconds)})"
    except ValueError:
        text += " since an unknown time"
    return text + (f": {owner['command']}" if owner.get("command") else "")


def age(seconds: float) -> str:
    """`42 s`, `7 min` or `3.2 h`."""
    if seconds < 90:
        return f"{max(0, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def now() -> str:
    """The time now, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
