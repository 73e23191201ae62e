"""The data set `molecules/moleculenet`: the CSV files of MoleculeNet (Wu et al. 2018, arXiv:1703.00564), brought along.

The files are those that DeepChem distributes (`delaney-processed.csv`, `sider.csv.gz` …), plain or gzipped. The task is
recognised from the columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vlcli.api import VlcliError
from vlcli.data import manifests
from vlcli.data.names import printable
from vlcli_molecules.data.table import TABLE_SUFFIXES, SplitRule, TableDataset, unzipped

Kind = Literal["regression", "classification"]


@dataclass(frozen=True)
class Task:
    """A benchmark: what it predicts and which columns hold it; no columns means all but the structure and its names."""

    name: str
    kind: Kind
    targets: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    column: str = "smiles"


TASKS = (
    Task("esol", "regression", ("measured log solubility in mols per litre",)),
    Task("freesolv", "regression", ("expt",)),
    Task("lipophilicity", "regression", ("exp",)),
    Task("clintox", "classification", ("FDA_APPROVED", "CT_TOX")),
    Task("bbbp", "classification", ("p_np",)),
    Task("bace", "classification", ("Class",), column="mol"),
    Task("hiv", "classification", ("HIV_active",)),
    Task("tox21", "classification", others=("mol_id",)),
    Task("muv", "classification", others=("mol_id",)),
    Task("sider", "classification"),
)
MARKS = {"tox21": "NR-AR", "muv": "MUV-466", "sider": "Hepatobiliary disorders"}


class MoleculeNetDataset(TableDataset):
    """`molecules/moleculenet`. Targets are numbers in the metadata, None where a measurement is missing.

    `task` tells the benchmark, `task.kind` whether it is regression or classification.

    Args:
        path: the CSV file.
        targets: instead of the benchmark's own.
        split: `scaffold` (.8/.1/.1), `random` or `none`.
        seed: of the random split.

    Raises:
        VlcliError: D655 when the columns are of no benchmark that is known; what `TableDataset` raises.
    """

    task: Task

    def __init__(self, path: str, targets: Sequence[str] = (), split: SplitRule = "scaffold", seed: int = 0) -> None:
        names = column_names(Path(path).expanduser())
        self.task = recognise(names, path)
        own = self.task.targets or [name for name in names if name not in (self.task.column, *self.task.others)]
        super().__init__(path=path, column=self.task.column, targets=tuple(targets or own), split=split, seed=seed)


def column_names(path: Path) -> list[str]:
    """The columns of a table."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind not in TABLE_SUFFIXES:
        raise VlcliError("D655", printable(path), "is not a table", "name one of MoleculeNet's CSV files")
    with unzipped(path, kind) as plain:
        first = next(iter(manifests.read_rows(plain)), None)
    return [name for name, _ in first.cells] if first is not None else []


def recognise(names: Sequence[str], where: str) -> Task:
    """The benchmark that these columns are of.

    Raises:
        VlcliError: D655 when there is none.
    """
    for task in TASKS:
        marks = task.targets or (MARKS[task.name],)
        if task.column in names and all(mark in names for mark in marks):
            return task
    known = ", ".join(task.name for task in TASKS)
    raise VlcliError("D655", where, f"has the columns of no benchmark that is known ({known})",
                     "use molecules/table and name its targets")  # fmt: skip
