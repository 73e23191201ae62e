"""A ceiling on the host memory of a command: a limit of the operating system, sizes planned from it, and clear words.

What is limited is *private* memory: the heap, torch's tensors, stacks. Files that are mapped for reading (the store's
vector cache, libraries) do not count, since the system drops their pages whenever it needs room.

Why `RLIMIT_DATA` and neither `RLIMIT_AS` nor a watch on the resident size alone: torch reserves gigabytes of addresses
that it never touches, so `RLIMIT_AS` would have to be set far above what is used; and a watcher sees an allocation
only once it has been made. `RLIMIT_DATA` makes the allocation itself fail, which Python and torch report as an
exception: the batch is then halved like any other that is too large. It counts private memory that is reserved but
untouched, too, so the limit is the ceiling plus what is reserved and untouched when it is set. That is once a model has
been loaded (`limit_now`): Python code that is imported while every allocation fails can hang. Until then a parent
process watches, and between batches `check_ceiling` compares what is really used, which is also the guard where the
system has no such limit (macOS, Windows) or the device's driver reserves too much for it (CUDA).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from vlcli.errors import ExitCode, VlcliError
from vlcli.runtime.amounts import parse_amount, show_bytes

MAX_MEMORY_VARIABLE = "VLCLI_MAX_MEMORY"
# Below this much free room under the ceiling no model computes anything.
LEAST_ROOM = 64 * 2**20
# What an allocator says when it is not a torch.OutOfMemoryError: the CPU's allocator, MPS, cuBLAS, cuDNN and oneDNN,
# the operating system when it can not map a thread's stack.
MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed", "cannot allocate memory",
                "std::bad_alloc", "could not create a memory", "could not execute a primitive",
                "can't start new thread")  # fmt: skip
# How far above the ceiling a process is ended from outside, as the last resort, and how often that is looked at.
GRACE = 1.1
WATCH_SECONDS = 0.05
# Errors about memory that name the number to lower already.
NAMES_A_NUMBER = ("X201", "X206")
PRIMITIVE = "could not create a primitive"
STATUS = Path("/proc/self/status")


def is_out_of_memory(error: BaseException) -> bool:
    """True when an error means that a device or the host ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    # oneDNN says no more than this when it finds no room for its code; "… primitive descriptor" is a wrong shape.
    if PRIMITIVE in text and f"{PRIMITIVE} descriptor" not in text:
        return True
    return any(words in text for words in MEMORY_WORDS)


def max_memory() -> int | None:
    """The ceiling in bytes from `$VLCLI_MAX_MEMORY`, where `--max-memory` puts its number too; None without one.

    Raises:
        VlcliError: U130 when it is no amount.
    """
    text = os.environ.get(MAX_MEMORY_VARIABLE)
    return parse_amount(text, MAX_MEMORY_VARIABLE) if text else None


def memory_in_use() -> int:
    """Private resident memory of this process, bytes (resident memory where the system does not tell them apart)."""
    found = read_status("RssAnon")
    if found is not None:
        return found
    import psutil  # type: ignore[import-untyped]

    return int(psutil.Process().memory_info().rss)


def read_status(key: str, process: int | None = None) -> int | None:
    """A size from Linux's `/proc/self/status` (or another process's), bytes; None elsewhere."""
    place = STATUS if process is None else Path(f"/proc/{process}/status")
    try:
        for line in place.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None


def room_below_ceiling() -> int | None:
    """Bytes that may still be taken under the ceiling; None without one."""
    ceiling = max_memory()
    return None if ceiling is None else max(0, ceiling - memory_in_use())


def planned(usual: int, share: float, least: int) -> int:
    """A buffer's size: `usual`, or `share` of the room below the ceiling when that is less, but at least `least`."""
    room = room_below_ceiling()
    return usual if room is None else max(least, min(usual, int(room * share)))


def check_ceiling(advice: str) -> None:
    """Give back what is free and compare what is left with the ceiling. Cheap; meant for between batches.

    Args:
        advice: which number to lower, for the error's help.

    Raises:
        VlcliError: X206 when more is in use than the ceiling allows.
    """
    ceiling = max_memory()
    if ceiling is None or memory_in_use() <= ceiling:
        return
    release_free_memory()
    used = memory_in_use()
    if used > ceiling:
        raise ceiling_error(ceiling, f"{show_bytes(used)} are in use", advice)


def release_free_memory() -> None:
    """Give freed memory back to the system (glibc keeps it otherwise)."""
    gc.collect()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def ceiling_error(ceiling: int, why: str, advice: str) -> VlcliError:
    """The error of a command that does not fit."""
    return VlcliError("X206", "--max-memory", f"the ceiling of {show_bytes(ceiling)} is too low: {why}; what was "
                      "acknowledged is kept", f"{advice}, or raise --max-memory")  # fmt: skip


@contextlib.contextmanager
def memory_ceiling(text: str | None, advice: str) -> Iterator[None]:
    """Keep the block under a ceiling; nothing happens without one.

    From the command line the block runs in a child process: whatever ends it without words (a library that aborts
    when it gets no memory, the system's out-of-memory killer) is told by the parent.

    Args:
        text: the option's value; None takes `$VLCLI_MAX_MEMORY`.
        advice: which number to lower, such as `lower --batch-size or --workers`.

    Raises:
        VlcliError: U130 for no amount, X206 when the ceiling does not suffice.
    """
    before = os.environ.get(MAX_MEMORY_VARIABLE)
    if text is not None:
        os.environ[MAX_MEMORY_VARIABLE] = str(parse_amount(text, "--max-memory"))
    try:
        ceiling = max_memory()
        if ceiling is None:
            yield
            return
        stand_guard(ceiling, advice)
        try:
            import torch  # noqa: F401 (what it takes belongs to the command)

            if memory_in_use() + LEAST_ROOM > ceiling:
                least = show_bytes(memory_in_use() + LEAST_ROOM)
                raise ceiling_error(ceiling, f"at least {least} are needed before any model is loaded", advice)
            with restored_limit():
                yield
        except Exception as error:
            named = isinstance(error, VlcliError) and error.code in NAMES_A_NUMBER
            if named or not any(is_out_of_memory(cause) for cause in causes(error)):
                raise
            raise ceiling_error(ceiling, f"with {show_bytes(memory_in_use())} in use, more was asked for",
                                advice) from error  # fmt: skip
    finally:
        if before is None:
            os.environ.pop(MAX_MEMORY_VARIABLE, None)
        else:
            os.environ[MAX_MEMORY_VARIABLE] = before


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from: want of memory may come wrapped as a checkpoint that can not be read."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


@contextlib.contextmanager
def restored_limit() -> Iterator[None]:
    """Take back what `limit_now` set in the block."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def limit_now(advice: str) -> None:
    """Let the system enforce the ceiling from now on, where there is one and the system can; models are loaded by now.

    Raises:
        VlcliError: X206 when more is in use already.
    """
    check_ceiling(advice)
    ceiling, reserved, used = max_memory(), read_status("VmData"), read_status("RssAnon")
    if ceiling is None or reserved is None or used is None or cuda_is_there():
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = ceiling + max(0, reserved - used)
    known = [wanted, *(limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)]
    resource.setrlimit(resource.RLIMIT_DATA, (min(known), hard))


def cuda_is_there() -> bool:
    """Whether a CUDA driver may reserve memory in this process."""
    import torch

    return torch.cuda.is_available()


def stand_guard(ceiling: int, advice: str) -> None:
    """Go on in a child process and wait for it; only the child returns.

    Without effect where a process can not be copied safely: on Windows, and once torch or a thread is there.
    """
    if not hasattr(os, "fork") or "torch" in sys.modules or threading.active_count() > 1:
        return
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        end_with_parent(parent)
        return
    # Ctrl-C reaches the child too, and it knows what to do; what is sent to this process alone is handed on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: os.kill(child, received))
    status, used = watch(child, ceiling)
    if used > GRACE * ceiling:
        print(ceiling_error(ceiling, f"with {show_bytes(used)} in use it was ended", advice), file=sys.stderr,
              flush=True)  # fmt: skip
        os._exit(int(ExitCode.FAILED))
    if status >= 0:
        os._exit(status)
    name = signal.Signals(-status).name
    if -status in (signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS):
        why = f"the process was ended by {name}, as happens when memory runs out where nothing can be caught"
        print(ceiling_error(ceiling, why, advice), file=sys.stderr, flush=True)
        os._exit(int(ExitCode.FAILED))
    signal.signal(-status, signal.SIG_DFL)
    os.kill(parent, -status)
    os._exit(128 - status)


def watch(child: int, ceiling: int) -> tuple[int, int]:
    """Wait for a process, and end it when it takes far more than the ceiling; gives its exit code and what it took."""
    while True:
        number, status = os.waitpid(child, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status), 0
        used = read_status("RssAnon", child) or 0
        if used > GRACE * ceiling:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return int(ExitCode.FAILED), used
        time.sleep(WATCH_SECONDS)


def end_with_parent(parent: int) -> None:
    """Have Linux end this process when its parent is killed, so that no writer is left behind unseen."""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(int(ExitCode.FAILED))
