"""The data set `molecules/chemicals`: the substances of the package `chemicals` with their names.

The package (MIT) holds tables that its author derived from PubChem: CAS number, SMILES, InChIKey, IUPAC name, common
name, synonyms. They are read as files; the package is not imported and nothing is looked up on a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.data.inputs import RefusedInput
from vlcli_molecules.data.cache import Records, cached_table
from vlcli_molecules.data.descriptions import VERSION as WORDING
from vlcli_molecules.data.descriptions import describe
from vlcli_molecules.data.names import distinct_names
from vlcli_molecules.data.packages import package_file
from vlcli_molecules.data.scaffold import split_groups
from vlcli_molecules.data.structures import NOTATION, UnreadableStructure, read_structure

DISTRIBUTION = "chemicals==1.5.2"
FOLDER = "Identifiers"
LARGE = "chemical identifiers pubchem large.tsv"
OTHERS = ("chemical identifiers pubchem small.tsv", "chemical identifiers example user db.tsv", "Inorganic db.tsv",
          "Cation db.tsv", "Anion db.tsv")  # fmt: skip
VERSION = "1"
MAX_NAMES = 12
Part = Literal["all", "small"]
Captions = Literal["all", "names", "iupac", "descriptions"]


class ChemicalsDataset:
    """`molecules/chemicals`. Captions: IUPAC name, common name, then synonyms that are no catalogue numbers.

    Example ids are CAS numbers; metadata hold the name, IUPAC name, CAS number and formula. The split is by scaffold;
    substances of equal connectivity (stereoisomers, isotopologues) lie in one split. A second row of the same InChIKey
    is left out and counted in `repeated`; a structure that RDKit does not read is listed in `refused`.

    Args:
        part: `all`, or `small`: the tables beside the large one (about 5,000 substances).
        captions: `names`; `iupac`, the IUPAC name alone; `descriptions`, computed from the structure and the names;
            or `all`, names and descriptions.
        names: at most so many names a substance.
        descriptions: at most so many descriptions a substance.
        split: only this one; all of them when None.

    Raises:
        VlcliError: D650 when the package is missing.
    """

    def __init__(
        self, part: Part = "all", captions: Captions = "names", names: int = 8, descriptions: int = 3,
        split: str | None = None,
    ) -> None:  # fmt: skip
        records = chemical_records(part)
        self.refused = [RefusedInput(f"chemicals {row['id']}", "D652", row["refused"]) for row in records
                        if row["refused"] and not row["repeated"]]  # fmt: skip
        self.repeated = sum(row["repeated"] for row in records)
        self.records = [row for row in records if row["split"] and split in (None, row["split"])]
        self.captions = captions
        self.names = 1 if captions == "iupac" else names
        self.descriptions = descriptions
        self.described: dict[str, list[str]] = {}
        if captions in ("all", "descriptions"):
            self.described = {row["id"]: row["descriptions"] for row in description_records(part)}

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int, /) -> Example:
        row = self.records[index]
        captions = row["names"][: self.names] if self.captions != "descriptions" else []
        captions += self.described.get(row["id"], [])[: self.descriptions]
        metadata = {"name": row["names"][min(1, len(row["names"]) - 1)] if row["names"] else row["formula"],
                    "iupac": row["iupac"], "cas": row["id"], "formula": row["formula"]}  # fmt: skip
        source = Source(id=f"chemicals {row['id']}", value=row["smiles"], metadata=NOTATION)
        return Example(row["id"], {"molecules": source}, tuple(dict.fromkeys(captions)), None, row["split"], metadata)


def chemical_records(part: Part) -> Records:
    """All rows: id, smiles (canonical), key (connectivity), names, iupac, formula, split, refused, repeated.

    `split` is empty for rows that are refused or repeated.
    """
    files = part_files(part)

    def make() -> Records:
        rows = []
        for file in files:
            with open(file, encoding="utf-8") as lines:
                rows += [line.rstrip("\n").split("\t") for line in lines if line.strip()]
        return derive(rows)

    return cached_table(f"chemicals-{part}", files, VERSION, make)


def description_records(part: Part) -> Records:
    """Of every usable substance: id and descriptions."""
    files = part_files(part)

    def make() -> Records:
        from rdkit import Chem, rdBase

        with rdBase.BlockLogs():
            return [
                {"id": row["id"], "descriptions": list(describe(Chem.MolFromSmiles(row["smiles"]), row["names"], 5))}
                for row in chemical_records(part) if row["split"]
            ]  # fmt: skip

    return cached_table(f"chemicals-{part}-descriptions", files, f"{VERSION}.{WORDING}", make)


def part_files(part: Part) -> list[Path]:
    """The package's tables."""
    return [package_file("chemicals", f"{FOLDER}/{name}", DISTRIBUTION)
            for name in ((LARGE, *OTHERS) if part == "all" else OTHERS)]  # fmt: skip


def derive(rows: Sequence[Sequence[str]]) -> Records:
    """Records of the package's rows, in their order."""
    records: Records = []
    groups: list[str] = []
    kept: list[dict[str, Any]] = []
    scaffold_by_key: dict[str, str] = {}
    seen: set[str] = set()
    for cells in rows:
        _, number, formula, _, smiles, _, key, iupac, common = (*cells, *[""] * 9)[:9]
        record: dict[str, Any] = {"id": number, "smiles": smiles, "key": key.partition("-")[0], "formula": formula,
                                  "iupac": iupac, "names": distinct_names([iupac, common, *cells[9:]], MAX_NAMES),
                                  "split": "", "refused": "", "repeated": False}  # fmt: skip
        records.append(record)
        try:
            structure = read_structure(smiles)
        except UnreadableStructure as error:
            record["refused"] = str(error)
            continue
        record["smiles"] = structure.smiles
        identity = key or structure.smiles
        if {identity, structure.smiles, number} & seen:
            record["repeated"] = True
            continue
        seen |= {identity, structure.smiles, number}
        # Isomers of one connectivity share the scaffold of the first, even where tautomers would have several.
        groups.append(scaffold_by_key.setdefault(record["key"] or structure.smiles, structure.scaffold))
        kept.append(record)
    for record, split in zip(kept, split_groups(groups), strict=True):
        record["split"] = split
    return records
