"""Which trained model a command uses (no torch here, so that a missing one is told at once)."""

from __future__ import annotations

from pathlib import Path

from vlcli.data import models

GENERATOR_FILE, CAPTIONER_FILE = "generator.json", "captioner/captioner.json"
"""Which show that a model's folder holds the part."""
REMEDY = "train one with `vlcli run lamp-generation` and name its run folder with --model"


def find_model(given: Path | None, needed: str, runs: Path = Path("runs")) -> Path:
    """The folder of a LaMP model that holds the file `needed`.

    Raises:
        VlcliError: W330 when there is none, or the run has not finished; it says how to get one.
    """
    return models.find_model(models.ModelKind("lamp", needed, f"LaMP model with {needed}", "W330", REMEDY), given, runs)
