"""Which trained captioner a command uses (no torch here, so that a missing one is told at once)."""

from __future__ import annotations

from pathlib import Path

from vlcli.data.names import printable
from vlcli.errors import VlcliError

CAPTIONER_FILE = "captioner.json"
RECIPE = "jm3d-llm"
REMEDY = "train one with `vlcli run jm3d-llm` (some minutes) and name its run folder with --model"


def find_captioner(given: Path | None, runs: Path = Path("runs")) -> Path:
    """The folder that holds `captioner.json`: a model's own, a run's `model`, or that of the newest run.

    Raises:
        VlcliError: W241 when there is none; it says how to get one.
    """
    if given is not None:
        for folder in (given, given / "model"):
            if (folder / CAPTIONER_FILE).is_file():
                return folder
        if (given / "run.json").is_file():
            what = "holds no captioner: the run has not finished, or is of another recipe"
            raise VlcliError("W241", printable(given), what, REMEDY)
        what = "holds no captioner of points" if given.exists() else "does not exist"
        raise VlcliError("W241", printable(given), what, REMEDY)
    found = sorted(runs.glob(f"{RECIPE}-*/model/{CAPTIONER_FILE}"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise VlcliError("W241", "--model", "no captioner of points was found in ./runs", REMEDY)
    return found[-1].parent
