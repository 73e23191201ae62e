"""The folder of a run: what was run, with what, how far it came, and what came out.

    recipe.toml     the resolved recipe, with a comment after each key that says where it was set
    run.json        versions, seed, device, command, status, finished steps
    events.jsonl    one JSON object a line, flushed as it happens
    metrics.json    the numbers
    report.html     the page for people

`run.json` is replaced atomically whenever a step ends, so a run that was killed knows which steps are done.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

from vlcli import __version__
from vlcli.errors import VlcliError
from vlcli.runtime.files import make_folder, sync_folder, write_atomic
from vlcli.runtime.leftovers import clear_leftovers

RECIPE_FILE = "recipe.toml"
RECORD_FILE = "run.json"
EVENTS_FILE = "events.jsonl"
METRICS_FILE = "metrics.json"
REPORT_FILE = "report.html"
LOCK_FILE = "run.lock"
RUN_PREFIX = "@run/"

VERSIONED = ("torch", "numpy", "transformers", "accelerate", "safetensors", "pydantic")


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def versions(plugins: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Versions of vlcli, Python, the libraries that decide numbers, and the plugins (name -> version)."""
    found: dict[str, Any] = {"vlcli": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in VERSIONED:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    found["plugins"] = dict(plugins or {})
    return found


def default_folder(recipe: str, parent: Path | None = None) -> Path:
    """`./runs/<recipe>-<time>`, made; a second run within the same second gets a number."""
    parent = Path("runs") if parent is None else parent
    stem = f"{recipe.replace('/', '-')}-{time.strftime('%Y%m%d-%H%M%S')}"
    make_folder(parent)
    for number in range(1, 1000):
        folder = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        sync_folder(parent)
        return folder
    raise VlcliError("R203", str(parent), f"holds 999 runs of the name {stem}", "name a folder with --out")


@dataclass
class RunFolder:
    """A run on disk. Make one with `create`, go on with `open`, and work inside `running()`.

    Attributes:
        path: the folder.
        record: what `run.json` holds.
    """

    path: Path
    record: dict[str, Any]
    _events: TextIO | None = field(default=None, repr=False)

    @classmethod
    def create(cls, path: Path, recipe_text: str, **facts: Any) -> RunFolder:
        """Begin a run in an empty or new folder.

        Args:
            path: the folder.
            recipe_text: the resolved recipe as TOML.
            facts: what `run.json` says of it: `recipe`, `recipe_hash`, `command`, `seed`, `device`, `versions` …

        Raises:
            VlcliError: R203 when the folder holds something.
        """
        make_folder(path)
        clear_leftovers(path)
        # The recipe alone is what a process left that was killed before `run.json` made a run of the folder.
        if {entry.name for entry in path.iterdir()} - {RECIPE_FILE}:
            raise VlcliError("R203", str(path), "is not empty", "name another folder with --out, or continue a run "
                             "with --resume")  # fmt: skip
        record = {"schema": 1, **facts, "folder": str(Path.cwd()), "status": "running", "started": now(), "ended": None,
                  "error": None, "steps": {}}  # fmt: skip
        run = cls(path, record)
        write_atomic(path / RECIPE_FILE, recipe_text)
        run.save()
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A run that was begun before.

        Raises:
            VlcliError: R202 when the folder holds no readable run.
        """
        file = path / RECORD_FILE
        remedy = "name the folder of a run, such as runs/quickstart-20260131-101500"
        if not file.is_file():
            raise VlcliError("R202", str(path), f"is not a run: there is no {RECORD_FILE} in it", remedy)
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise VlcliError("R202", str(file), f"is not the record of a run ({error})", remedy) from error
        if not isinstance(record, dict) or record.get("schema") != 1 or not isinstance(record.get("steps"), dict):
            raise VlcliError("R202", str(file), "is not the record of a run, or of a newer vlcli", remedy)
        return cls(path, record)

    def save(self) -> None:
        """Write `run.json`, atomically and durably."""
        write_atomic(self.path / RECORD_FILE, json.dumps(self.record, indent=2, ensure_ascii=False, default=str) + "\n")

    def update(self, **facts: Any) -> None:
        """Set keys of `run.json`."""
        self.record.update(facts)
        self.save()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Hold the run's lock; at the end `run.json` says done, failed or interrupted.

        Raises:
            VlcliError: R204 when another process runs it.
        """
        with self.lock():
            for folder in (self.path, *(entry for entry in self.path.iterdir() if entry.is_dir())):
                clear_leftovers(folder)
            lost = self.mend_events()
            with open(self.path / EVENTS_FILE, "a", encoding="utf-8") as self._events:
                self.update(status="running", ended=None, error=None)
                if lost:
                    self.event("mended", lost_lines=lost)
                try:
                    yield
                except BaseException as error:
                    interrupted = isinstance(error, KeyboardInterrupt)
                    status = "interrupted" if interrupted else "failed"
                    text = None if interrupted else str(error) or type(error).__name__
                    self.event("end", status=status, error=text)
                    self.update(status=status, ended=now(), error=text)
                    raise
                else:
                    self.event("end", status="done")
                    self.update(status="done", ended=now())
                finally:
                    self._events = None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One process at a time works in the folder; the system frees the lock when that process ends, however it does.

        Where the platform has no `flock` there is no such protection.
        """
        try:
            import fcntl
        except ImportError:
            yield
            return
        with open(self.path / LOCK_FILE, "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise VlcliError("R204", str(self.path), "is being run by another process",
                                 "wait for it to end, or stop it, then resume") from error  # fmt: skip
            yield

    def mend_events(self) -> int:
        """Take out lines that are no events, and give their number.

        A killed process leaves the last line half written; a power cut may leave holes where lines were not yet on the
        disk, since events are synced only when a step is done.
        """
        file = self.path / EVENTS_FILE
        if not file.exists():
            return 0
        lines = file.read_bytes().split(b"\n")
        kept = [line for line in lines[:-1] if read_event(line) is not None]
        lost = len(lines) - 1 - len(kept) + bool(lines[-1])
        if lost:
            write_atomic(file, b"".join(line + b"\n" for line in kept))
        return lost

    def event(self, kind: str, **fields: Any) -> None:
        """Append a line to `events.jsonl` and flush it; NaN is written as null.

        Raises:
            RuntimeError: outside `running()`.
        """
        if self._events is None:
            raise RuntimeError("events are written while the run is running")
        line = json.dumps(without_nan({"time": now(), "event": kind, **fields}), ensure_ascii=False, default=str)
        self._events.write(line + "\n")
        self._events.flush()

    def events(self) -> Iterator[dict[str, Any]]:
        """The events so far."""
        file = self.path / EVENTS_FILE
        if file.exists():
            with open(file, "rb") as stream:
                for line in stream:
                    event = read_event(line) if line.endswith(b"\n") else None
                    if event is not None:
                        yield event

    def finished(self, step: str) -> dict[str, Any] | None:
        """What a finished step left, or None when it is still to be done."""
        found: dict[str, Any] | None = self.record["steps"].get(step)
        return found

    def finish(self, step: str, outcome: Mapping[str, Any]) -> None:
        """Record durably that a step is done, with what it left."""
        self.record["steps"][step] = without_nan(dict(outcome))
        os.fsync(self._events.fileno()) if self._events is not None else None
        self.save()

    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds so far."""
        file = self.path / METRICS_FILE
        if not file.exists():
            return {}
        content = json.loads(file.read_text(encoding="utf-8"))
        return {key: value for key, value in content.items() if key != "schema"}

    def add_metrics(self, name: str, metrics: Mapping[str, Any]) -> None:
        """Set the metrics of a step in `metrics.json`."""
        content = {"schema": 1, **self.metrics(), name: without_nan(dict(metrics))}
        write_atomic(self.path / METRICS_FILE, json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")

    def resolve(self, text: str) -> str:
        """A name or path with `@run/` replaced by this folder; all other text as it is.

        Raises:
            VlcliError: R206 when it would leave the folder.
        """
        return str(self.inside(text.removeprefix(RUN_PREFIX))) if text.startswith(RUN_PREFIX) else text

    def inside(self, name: str) -> Path:
        """The path of a file or folder in this folder.

        Raises:
            VlcliError: R206 when it would leave the folder or take the place of the run's own files.
        """
        target = (self.path / name).resolve()
        root = self.path.resolve()
        own = {RECIPE_FILE, RECORD_FILE, EVENTS_FILE, METRICS_FILE, LOCK_FILE}
        if target == root or not target.is_relative_to(root) or target.relative_to(root).parts[0] in own:
            raise VlcliError("R206", name, "is no place for output inside the run's folder",
                             "give a plain name, such as answers.html")  # fmt: skip
        return target


def read_event(line: bytes) -> dict[str, Any] | None:
    """An event from its line; None when the line is damaged."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def without_nan(value: Any) -> Any:
    """NaN and infinities as None, which JSON can hold, recursively."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    if isinstance(value, Mapping):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value
