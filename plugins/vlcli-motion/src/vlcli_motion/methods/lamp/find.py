"""Which trained model a command uses (no torch here, so that a missing one is told at once)."""

from __future__ import annotations

from pathlib import Path

from vlcli.data.names import printable
from vlcli.errors import VlcliError

RECIPE = "lamp"
GENERATOR_FILE, CAPTIONER_FILE = "generator.json", "captioner/captioner.json"
"""Which show that a model's folder holds the part."""
REMEDY = "train one with `vlcli run lamp-generation` and name its run folder with --model"


def find_model(given: Path | None, needed: str, runs: Path = Path("runs")) -> Path:
    """The folder that holds the file `needed`: a model's own, a run's `model`, or that of the newest run in ./runs.

    Raises:
        VlcliError: W330 when there is none, or the run has not finished; it says how to get one.
    """
    if given is not None:
        for folder in (given, given / "model"):
            if (folder / needed).is_file():
                return folder
        if (given / "run.json").is_file():
            what = f"holds no {needed}: the run has not finished, is of another recipe, or left this part out"
            raise VlcliError("W330", printable(given), what, REMEDY)
        what = f"holds no {needed}" if given.exists() else "does not exist"
        raise VlcliError("W330", printable(given), what, REMEDY)
    found = sorted(runs.glob(f"{RECIPE}-*/model/{needed}"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise VlcliError("W330", "--model", f"no LaMP model with {needed} was found in ./runs", REMEDY)
    folder = found[-1]
    return folder.parents[len(Path(needed).parts) - 1]
