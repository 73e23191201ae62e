"""Which trained model a command uses (no torch here, so that a missing one is told at once)."""

from __future__ import annotations

from pathlib import Path

from vlcli.data.names import printable
from vlcli.errors import VlcliError

TASKS_FILE = "tasks.json"
RECIPE = "text-chem-t5"
REMEDY = "train one with `vlcli run text-chem-t5` (some minutes) and name its run folder with --model"


def find_model(given: Path | None, runs: Path = Path("runs")) -> Path:
    """The folder that holds `tasks.json`: a model's own, a run's `model`, or that of the newest run.

    Raises:
        VlcliError: W232 when there is none, or the run has not finished; it says how to get one.
    """
    if given is not None:
        for folder in (given, given / "model"):
            if (folder / TASKS_FILE).is_file():
                return folder
        if (given / "run.json").is_file():
            what = "holds no trained Text+Chem T5: the run has not finished, or is of another recipe"
            raise VlcliError("W232", printable(given), what, REMEDY)
        what = "holds no trained Text+Chem T5" if given.exists() else "does not exist"
        raise VlcliError("W232", printable(given), what, REMEDY)
    found = sorted(runs.glob(f"{RECIPE}-*/model/{TASKS_FILE}"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise VlcliError("W232", "--model", "no trained Text+Chem T5 was found in ./runs", REMEDY)
    return found[-1].parent
