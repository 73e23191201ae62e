"""Which trained model a command uses (no torch here, so that a missing one is told at once)."""

from __future__ import annotations

from pathlib import Path

from vlcli.data import models

CAPTIONER_FILE = "captioner.json"
CAPTIONER = models.ModelKind(
    "jm3d-llm", CAPTIONER_FILE, "captioner of points", "W241",
    "train one with `vlcli run jm3d-llm` (some minutes) and name its run folder with --model",
)  # fmt: skip


def find_captioner(given: Path | None, runs: Path = Path("runs")) -> Path:
    """The folder that holds `captioner.json`.

    Raises:
        VlcliError: W241 when there is none; it says how to get one.
    """
    return models.find_model(CAPTIONER, given, runs)
