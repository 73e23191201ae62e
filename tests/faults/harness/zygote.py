"""A process that has imported everything once and runs each command in a forked child.

    LD_PRELOAD=faultline.so python zygote.py

One JSON object a line on stdin, one on stdout. The child runs `vlcli.cli.main.run(argv)`, the code that the console
script runs (or the function named by `call`, for what has no command). Starting it costs milliseconds instead of the
seconds that importing torch takes. What the child acknowledges (a commit of the store, a checkpoint, a finished step)
is marked in the trace and in a file of marks.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.shim import Faults, Shim


def import_everything() -> None:
    """What the commands need; no thread may be started by it."""
    import torch

    torch.set_num_threads(1)
    # The first optimizer and the first figure import what they need only then.
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])
    for name in (
        "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "matplotlib.figure",
        "vlcli_images.plugin", "vlcli_images.small_cnn", "vlcli_text.plugin", "vlcli_text.small_gru",
        "vlcli.align.embedder", "vlcli.align.load", "vlcli.cli.embed", "vlcli.cli.main", "vlcli.cli.recipes",
        "vlcli.cli.report", "vlcli.cli.run", "vlcli.cli.search", "vlcli.cli.steps", "vlcli.cli.store",
        "vlcli.cli.store_index",
        "vlcli.evaluate.run", "vlcli.methods.contrastive", "vlcli.report.folders", "vlcli.store.query",
        "vlcli.store.sqlite", "vlcli.train.run",
    ):  # fmt: skip
        importlib.import_module(name)


class Marks:
    """Tells of what was acknowledged, at the moment at which a caller learns of it."""

    def __init__(self, file: str) -> None:
        self.descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self.shim = Shim() if Shim.loaded() else None

    def __call__(self, text: str) -> None:
        os.write(self.descriptor, text.encode() + b"\n")
        if self.shim is not None:
            self.shim.mark(text)

    def after(self, holder: Any, name: str, tell: Callable[..., str | None]) -> None:
        """Mark what `tell(result, *arguments)` gives, whenever a function returned."""
        plain = getattr(holder, name)

        @functools.wraps(plain)
        def marked(*arguments: Any, **options: Any) -> Any:
            result = plain(*arguments, **options)
            if (text := tell(result, *arguments)) is not None:
                self(text)
            return result

        setattr(holder, name, marked)


def watch_acknowledgements(mark: Marks) -> None:
    """Mark commits of stores, checkpoints, finished steps."""
    import vlcli.train.loop
    from vlcli.runtime.runs import RunFolder
    from vlcli.store.base import BaseStore

    def commit(result: Any, store: BaseStore, *rest: Any) -> str:
        state = store.catalog.state()
        return f"commit {state.commits} {len(store)} {state.content}"

    for name in ("begin_run", "end_run", "add", "remove"):
        mark.after(BaseStore, name, commit)
    mark.after(vlcli.train.loop, "save_checkpoint", lambda path, *rest: f"checkpoint {path.name}")
    mark.after(RunFolder, "finish", lambda result, run, step, *rest: f"finished {step}")


def child(order: dict[str, Any], report: int) -> int:
    """Run one command in this forked process; gives its exit code."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        target = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(target, number)
    os.chdir(order["cwd"])
    os.environ.update(order.get("environment", {}))
    sys.argv = ["vlcli", *order["argv"]]
    mark = Marks(order["marks"])
    watch_acknowledgements(mark)
    import vlcli.store.ingest

    vlcli.store.ingest.COMMIT_ITEMS = order.get("commit_items", 256)
    faults = order.get("faults")
    shim = Shim() if faults else None
    if shim is not None:
        settings = Faults(**faults)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        shim.start(settings, os.open(settings.trace, flags, 0o666) if settings.trace else -1)
    if order.get("file_limit"):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit"], order["file_limit"]))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    code = 1
    try:
        code = perform(order)
        mark(f"exit {code}")
    finally:
        counts = shim.stop() if shim is not None else (0, 0)
        os.write(report, json.dumps({"changes": counts[0], "failed": counts[1]}).encode())
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def perform(order: dict[str, Any]) -> int:
    """The command, or the function; gives the exit code."""
    if order.get("call"):
        module, _, name = order["call"].partition(":")
        return int(getattr(importlib.import_module(module), name)(*order["argv"]) or 0)
    from vlcli.cli.main import run

    return int(run(order["argv"]))


def wait(process: int, kill_after: float | None, limit: float) -> tuple[int, bool]:
    """The wait status, and whether the process had to be ended because it ran too long."""
    started = time.monotonic()
    pause = 0.0005
    killed = False
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return status, killed and kill_after is None
        spent = time.monotonic() - started
        if not killed and spent >= (limit if kill_after is None else kill_after):
            os.kill(process, signal.SIGKILL)
            killed = True
        left = (kill_after - spent) if kill_after is not None and not killed else pause
        time.sleep(max(0.0, min(pause, left)))
        pause = min(0.01, pause * 1.5)


def serve() -> None:
    """Answer orders until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    import_everything()
    print(json.dumps({"ready": True, "shim": Shim.loaded()}), file=answers)
    for line in sys.stdin:
        order = json.loads(line)
        started = time.monotonic()
        read_end, write_end = os.pipe()
        process = os.fork()
        if process == 0:
            code = 70
            try:
                os.close(read_end)
                code = child(order, write_end)
            except BaseException:  # noqa: BLE001 - a forked child must never return into the parent's loop
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(write_end)
        status, late = wait(process, order.get("kill_after"), order.get("limit", 120.0))
        with os.fdopen(read_end, "rb") as pipe:
            data = pipe.read()
        answer = {"code": os.waitstatus_to_exitcode(status), "late": late, "seconds": time.monotonic() - started}
        print(json.dumps(answer | (json.loads(data) if data else {"changes": 0, "failed": 0})), file=answers)


if __name__ == "__main__":
    serve()
