"""The data set `molecules/nci`: the 5,000 structures of the NCI open database that ship with RDKit (BSD-3-Clause)."""

from __future__ import annotations

from typing import Any

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.data.inputs import RefusedInput
from vlcli_molecules.data.cache import Records, cached_table
from vlcli_molecules.data.packages import package_file
from vlcli_molecules.data.scaffold import random_split
from vlcli_molecules.data.structures import NOTATION, UnreadableStructure, connectivity_key, read_structure

VERSION = "1"


class NciDataset:
    """`molecules/nci`. Structures without captions; the split is random by connectivity, .8/.1/.1, always the same.

    Structures that RDKit does not read are listed in `refused`; a second row of the same structure is left out and
    counted in `repeated`.

    Args:
        split: only this one; all of them when None.

    Raises:
        VlcliError: D650 when RDKit's data are missing.
    """

    def __init__(self, split: str | None = None) -> None:
        records = nci_records()
        self.refused = [RefusedInput(f"nci {row['id']}", "D652", row["refused"]) for row in records
                        if row["refused"]]  # fmt: skip
        self.repeated = sum(row["repeated"] for row in records)
        usable = [row for row in records if not row["refused"] and not row["repeated"]]
        splits = random_split([row["key"] for row in usable])
        self.examples = [example_of(row, name) for row, name in zip(usable, splits, strict=True)
                         if split in (None, name)]  # fmt: skip

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


def example_of(row: dict[str, Any], split: str) -> Example:
    """One structure."""
    source = Source(id=f"nci {row['id']}", value=row["smiles"], metadata=NOTATION)
    return Example(row["id"], {"molecules": source}, (), None, split, {"nci": row["id"]})


def nci_records() -> Records:
    """All rows: id (as in the file), smiles (canonical), key (connectivity), refused, repeated."""
    file = package_file("rdkit", "Data/NCI/first_5K.smi", "rdkit")

    def make() -> Records:
        records: Records = []
        seen: set[str] = set()
        for line in file.read_text(encoding="utf-8").splitlines():
            smiles, _, number = line.partition("\t")
            record: dict[str, Any] = {"id": number.strip(), "smiles": smiles, "key": "", "refused": "",
                                      "repeated": False}  # fmt: skip
            records.append(record)
            try:
                record["smiles"] = read_structure(smiles).smiles
                record["key"] = connectivity_key(smiles)
            except UnreadableStructure as error:
                record["refused"] = str(error)
                continue
            record["repeated"] = record["smiles"] in seen
            seen.add(record["smiles"])
        return records

    return cached_table("nci", [file], VERSION, make)
