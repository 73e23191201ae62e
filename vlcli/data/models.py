"""Which trained model a command uses (no torch here, so that a missing one is told at once)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vlcli.data.names import printable
from vlcli.errors import VlcliError


@dataclass(frozen=True)
class ModelKind:
    """A kind of model that runs write into their `model` folder.

    Attributes:
        recipe: whose runs are looked at, `runs/RECIPE-TIME`, when the user names none.
        file: which shows that a folder holds such a model, relative to the folder.
        what: the model in words, "captioner of points".
        code: of the error when there is none.
        remedy: how to get one.
    """

    recipe: str
    file: str
    what: str
    code: str
    remedy: str


def find_model(kind: ModelKind, given: Path | None, runs: Path = Path("runs")) -> Path:
    """The folder that holds the kind's file: a model's own, a run's `model`, or that of the newest run in `runs`.

    Raises:
        VlcliError: with the kind's code when there is none, or the run has not finished; it says how to get one.
    """
    if given is not None:
        for folder in (given, given / "model"):
            if (folder / kind.file).is_file():
                return folder
        what = f"holds no {kind.what}" if given.exists() else "does not exist"
        if (given / "run.json").is_file():
            what = f"holds no {kind.what}: the run has not finished, is of another recipe, or left this part out"
        raise VlcliError(kind.code, printable(given), what, kind.remedy)
    found = sorted(runs.glob(f"{kind.recipe}-*/model/{kind.file}"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise VlcliError(kind.code, "--model", f"no {kind.what} was found in {printable(runs)}", kind.remedy)
    return found[-1].parents[len(Path(kind.file).parts) - 1]
