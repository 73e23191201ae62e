"""The data set `molecules/esol`: solubility in water of 1,128 molecules (Delaney 2004), from the user's file."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from vlcli.api import VlcliError
from vlcli.data.dataset import Example
from vlcli_molecules.data.moleculenet import MoleculeNetDataset

FILE = Path("data") / "moleculenet" / "delaney-processed.csv"
TARGET = "log solubility"


class EsolDataset:
    """`molecules/esol`, split by scaffold (.8/.1/.1); the target is log10 of mol/L.

    Args:
        path: MoleculeNet's `delaney-processed.csv`; by default `data/moleculenet/delaney-processed.csv` in the folder
            that the environment variable VLCLI_SHARED names.

    Raises:
        VlcliError: D661 when the file is nowhere.
    """

    def __init__(self, path: str = "") -> None:
        shared = os.environ.get("VLCLI_SHARED")
        file = Path(path).expanduser() if path else Path(shared) / FILE if shared else None
        if file is None or not file.is_file():
            raise VlcliError("D661", str(file or "molecules/esol"), "there is no file of ESOL",
                             "give MoleculeNet's delaney-processed.csv with data.options.path, or use "
                             "molecules/nci-logp")  # fmt: skip
        found = MoleculeNetDataset(path=str(file))
        if found.task.name != "esol":
            raise VlcliError("D661", str(file), f"is MoleculeNet's {found.task.name}, not ESOL", "give another file")
        name = found.task.targets[0]
        self.refused = found.refused
        self.examples = [
            replace(example, metadata={"targets": {TARGET: example.metadata[name]}}) for example in found.examples
        ]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]
