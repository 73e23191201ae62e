"""What keeps one plugin's mistakes from everybody else while plugins are discovered.

An import fence (nothing heavy is imported), a timer, stdout sent to stderr, and a record of the core's own names so
that a plugin that overwrites one of them is noticed and undone. It protects against mistakes, not against malice:
plugins are trusted code.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import io
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Importing any of these while plugins register would make every `--help` slow.
HEAVY_MODULES = frozenset((
    "PIL", "accelerate", "cv2", "diffusers", "jax", "lancedb", "librosa", "matplotlib", "numba", "numpy", "pandas",
    "peft", "pyarrow", "pydantic", "ray", "rdkit", "scipy", "selfies", "skimage", "sklearn", "soundfile", "tensorflow",
    "torch", "torchaudio", "torchvision", "transformers", "trimesh",
))  # fmt: skip

# A plugin may swallow the first alarm with a bare `except`; it then gets another one every so many seconds.
REPEAT_SECONDS = 0.1


class PluginTimeout(BaseException):
    """A plugin took too long; a BaseException, so that its own `except Exception` can not swallow it."""


class ImportFence(importlib.abc.MetaPathFinder):
    """Refuses heavy imports while it stands in `sys.meta_path`."""

    def __init__(self, allowed: frozenset[str] = frozenset()) -> None:
        self.refused = HEAVY_MODULES - allowed

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> None:
        """Raise for a heavy module, leave every other to the finders that follow."""
        if fullname.partition(".")[0] in self.refused:
            raise ImportError(
                f"a plugin's registration module must not import '{fullname}': name the implementation lazily "
                "as 'package.module:attribute'"
            )


@contextlib.contextmanager
def import_fence(allowed: frozenset[str] = frozenset()) -> Iterator[None]:
    """Keep heavy modules out for the duration, and leave `sys.meta_path` as it was found.

    Those that are loaded already are hidden meanwhile: a plugin is refused or accepted alike in a fresh process and in
    one that has been running for a while.
    """
    before = list(sys.meta_path)
    fence = ImportFence(allowed)
    hidden = {name: sys.modules.pop(name) for name in fence.refused if name in sys.modules}
    sys.meta_path.insert(0, fence)
    try:
        yield
    finally:
        sys.meta_path[:] = before
        sys.modules.update(hidden)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `PluginTimeout` after `seconds`, where the platform and the thread allow a timer.

    A timer that was already running (a test runner's, an outer limit) goes on afterwards with the time it has left.
    Code that never returns to the interpreter can not be interrupted this way; `vlcli plugins doctor` uses a process.
    """
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not usable or seconds <= 0:
        yield
        return

    def expire(signum: int, frame: types.FrameType | None) -> None:
        raise PluginTimeout(f"took longer than {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, expire)
    started = time.monotonic()
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, REPEAT_SECONDS)
    try:
        yield
    finally:
        # First make a late alarm harmless, then stop the timer: an alarm between two of these lines would otherwise
        # escape from here with the handlers half restored.
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        # `None` means that the handler was not installed from Python, so it can not be put back.
        signal.signal(signal.SIGALRM, handler if handler is not None else signal.SIG_DFL)
        if remaining:
            left = max(remaining - (time.monotonic() - started), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, interval)


class StdoutStandIn(io.TextIOBase):
    """Stands in for `sys.stdout` while plugins load: writes to stderr, counts, and can not be closed by a plugin."""

    def __init__(self) -> None:
        self.characters = 0

    def write(self, text: str) -> int:
        self.characters += len(text)
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave stderr open."""

    def take_count(self) -> int:
        """How many characters were written since the last call."""
        count, self.characters = self.characters, 0
        return count


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[StdoutStandIn]:
    """Send what is printed to stdout to stderr: by Python, and by child processes or C code through the descriptor."""
    saved: int | None = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        # There is no stdout to flush when the process was started without one.
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        saved = os.dup(1)
        os.dup2(2, 1)
    stand_in = StdoutStandIn()
    try:
        with contextlib.redirect_stdout(stand_in):
            yield stand_in
    finally:
        if sys.__stdout__ is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.__stdout__.flush()
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


@dataclass
class CoreNames:
    """The core's modules and the registry class as they were before any plugin ran."""

    owners: list[tuple[Any, str, Mapping[str, Any]]]

    @classmethod
    def take(cls) -> CoreNames:
        """Remember every name of every core module that is loaded."""
        from vlcli.registry import Registry

        modules = [module for name, module in sorted(sys.modules.items()) if name.split(".")[0] == "vlcli"]
        owners: list[tuple[Any, str, Mapping[str, Any]]] = [(m, m.__name__, dict(vars(m))) for m in modules if m]
        owners.append((Registry, "vlcli.registry.Registry", dict(vars(Registry))))
        return cls(owners)

    def restore(self) -> str:
        """Undo every change; returns the name of the first that was overwritten or deleted, or an empty string."""
        culprit = ""
        for owner, label, before in self.owners:
            now = vars(owner)
            for name, value in before.items():
                if now.get(name, self) is not value:
                    setattr(owner, name, value)
                    culprit = culprit or f"{label}.{name}"
        return culprit


def describe(error: BaseException) -> str:
    """`Type: first line of the message`; survives an exception whose own `__str__` raises."""
    try:
        lines = str(error).strip().splitlines()
    except BaseException as nested:  # noqa: BLE001 - a plugin's exception class is plugin code as well
        lines = [f"its message can not be shown ({type(nested).__name__})"]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
