"""Which trained model a command uses (no torch here, so that a missing one is told at once)."""

from __future__ import annotations

from pathlib import Path

from vlcli.data import models

TASKS_FILE = "tasks.json"
TEXT_CHEM = models.ModelKind(
    "text-chem-t5", TASKS_FILE, "trained Text+Chem T5", "W232",
    "train one with `vlcli run text-chem-t5` (some minutes) and name its run folder with --model",
)  # fmt: skip


def find_model(given: Path | None, runs: Path = Path("runs")) -> Path:
    """The folder that holds `tasks.json`.

    Raises:
        VlcliError: W232 when there is none, or the run has not finished; it says how to get one.
    """
    return models.find_model(TEXT_CHEM, given, runs)
