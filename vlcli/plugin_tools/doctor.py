"""Examines every plugin in a process of its own, so that a segfault or a hang is a finding and not the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vlcli.plugin_tools.report import Check, Report
from vlcli.plugins import Found, PluginRecord, disabled_names, find_installed, triage


def examine_all(
    names: Sequence[str] | None = None, *, timeout: float = 120.0, note: Callable[[str], None] | None = None
) -> list[Report]:
    """Examine installed plugins, none of which is imported into this process.

    Args:
        names: entry-point names; None for all. A shadowed namesake is reported as well.
        timeout: seconds that one plugin may take.
        note: told the name of each plugin before it is examined.
    """
    from vlcli import __version__, builtin
    from vlcli.plugins import BUILTIN

    records = [PluginRecord(BUILTIN, "vlcli", __version__, 1, "ok", builtin.__name__)]
    warnings: list[str] = []
    disabled = disabled_names(warnings)
    reports: list[Report] = []
    for found in find_installed():
        record = triage(found, records, disabled)
        records.append(record)
        if names is not None and record.name not in names:
            continue
        if record.state == "ok":
            if note is not None:
                note(f"examining {record.name} …")
            reports.append(examine(found, timeout))
        else:
            reports.append(Report(record.name, record.distribution, record.version, record.state, record.error))
    return reports


def examine(found: Found, timeout: float) -> Report:
    """Examine one plugin in a subprocess."""
    report = Report(found.entry_point.name, found.distribution, found.version)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="vlcli-doctor-") as folder:
        journal, output = Path(folder, "journal.jsonl"), Path(folder, "output.txt")
        command = [sys.executable, "-m", "vlcli.plugin_tools.examine", found.distribution, report.name, str(journal)]
        # The parent keeps the time; a timer inside would hide where a plugin hangs.
        environment = {**os.environ, "VLCLI_PLUGIN_TIMEOUT": "0", "VLCLI_STRICT_PLUGINS": "0"}
        with open(output, "wb") as sink:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment,
                                       start_new_session=True)  # fmt: skip
            try:
                code: int | None = process.wait(timeout)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                kill_group(process)
        finished = read_journal(journal, report)
        last_words = output.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    report.seconds = round(time.perf_counter() - started, 3)
    if code is None:
        report.error = f"did not finish within {timeout:g} s, while {finished.step}"
    elif not finished.done:
        words = f" ({last_words[0][:200]})" if last_words else ""
        report.error = f"its process {ending(code)} while {finished.step}{words}"
    if report.error:
        report.state = "broken"
    return report


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it started, and wait for it."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except ProcessLookupError:
        # Everything in it has ended by itself, which is the usual case.
        process.poll()
    process.wait()


def ending(code: int) -> str:
    """A process's exit code in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


class Progress:
    """How far the examination came."""

    step = "starting"
    done = False


def read_journal(journal: Path, report: Report) -> Progress:
    """Fill the report from what the subprocess wrote down; a torn last line of a killed process is left out."""
    progress = Progress()
    text = journal.read_text(encoding="utf-8", errors="replace") if journal.exists() else ""
    for line in text.splitlines():
        try:
            event: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "step" in event:
            progress.step = event["step"]
        if "check" in event:
            report.checks.append(Check(**event["check"]))
        if "registered" in event:
            report.import_ms, report.modules = event["registered"]["ms"], event["registered"]["modules"]
            report.error = event["registered"]["error"]
        if event.get("done"):
            progress.done = True
    return progress
