"""Building and steering `faultline.c`, the shim between a process and the C library.

Why a preloaded shim: it is the one unprivileged place through which all writers pass alike: Python's own calls, SQLite,
and the native parts of safetensors, Arrow and Lance. It needs a C compiler and Linux; where one is missing, the tests
that use it are skipped with that reason.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("faultline.c")
CREATE, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR = (1 << bit for bit in range(7))
SPACE_KINDS = CREATE | WRITE | TRUNCATE | SYNC | RENAME | MKDIR
"""Calls that a full disk can fail; it never fails to remove."""
DEVICE_KINDS = SPACE_KINDS | UNLINK


def why_not() -> str:
    """Why there is no shim here; empty when there can be one."""
    if not sys.platform.startswith("linux"):
        return "recording file system calls needs Linux"
    return "" if compiler() else "recording file system calls needs a C compiler (cc, gcc or clang)"


def compiler() -> str | None:
    """The C compiler."""
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def build(folder: Path) -> Path:
    """Compile the shim into `folder`."""
    library = folder / "faultline.so"
    command = [compiler() or "cc", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-o", str(library), str(SOURCE),
               "-ldl", "-lpthread"]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True)
    return library


@dataclass
class Faults:
    """What the shim does to the changes below `root`, which are counted from 1.

    Attributes:
        root: absolute path.
        trace: file to record them in.
        kill_at: the process is killed before this change; 0 never.
        fail_at: this change and the next ones fail, `fail_count` in all, with `errno`, as far as they are of `kinds`.
    """

    root: str
    trace: str | None = None
    kill_at: int = 0
    fail_at: int = 0
    fail_count: int = 0
    errno: int = 0
    kinds: int = 0

    def as_json(self) -> dict[str, object]:
        """For the protocol of `zygote.py`."""
        return asdict(self)


class Shim:
    """The shim of this process, which was started with it preloaded."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(None)
        self.library.faultline_count.restype = ctypes.c_long
        self.library.faultline_failed.restype = ctypes.c_long

    @staticmethod
    def loaded() -> bool:
        """Whether it is there."""
        return hasattr(ctypes.CDLL(None), "faultline_start")

    def start(self, faults: Faults, trace: int) -> None:
        """Begin counting, recording to the descriptor `trace` (-1: nowhere)."""
        numbers = [ctypes.c_long(value) for value in (faults.kill_at, faults.fail_at, faults.fail_count)]
        self.library.faultline_start(faults.root.encode(), trace, *numbers, faults.errno, faults.kinds)

    def stop(self) -> tuple[int, int]:
        """End; gives how many changes there were and how many of them failed."""
        self.library.faultline_stop()
        return self.library.faultline_count(), self.library.faultline_failed()

    def mark(self, text: str) -> None:
        """Put a line into the trace: what has been acknowledged by now."""
        self.library.faultline_mark(text.encode())
