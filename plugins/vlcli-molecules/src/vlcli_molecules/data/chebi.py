"""The data set `molecules/chebi-20`: molecules with descriptions (Edwards et al. 2021, Text2Mol), brought along.

The files are `training.txt`, `validation.txt` and `test.txt` of MolT5's repository: tab-separated, with the columns
`CID`, `SMILES` and `description`. The descriptions come from ChEBI (CC BY 4.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vlcli.api import Source, VlcliError
from vlcli.data.dataset import Example
from vlcli.data.files import check_file
from vlcli.data.inputs import RefusedInput
from vlcli.data.names import printable
from vlcli_molecules.data.structures import NOTATION, UnreadableStructure, connectivity_key, read_structure

FILES = {"training.txt": "train", "train.txt": "train", "validation.txt": "val", "test.txt": "test"}
COLUMNS = ["CID", "SMILES", "description"]


class ChebiDataset:
    """`molecules/chebi-20`. Ids are PubChem CIDs; the caption is the description.

    With several files, a molecule of `val` or `test` that has the connectivity of one in `train` is left out of `train`
    and counted in `overlapping`.

    Args:
        path: one of the files, or the folder that holds them.
        split: only this one; all of them when None.
        limit: at most so many examples of each file.

    Raises:
        VlcliError: D656 when there is no such file or it has other columns.
    """

    def __init__(self, path: str, split: str | None = None, limit: int | None = None) -> None:
        self.refused: list[RefusedInput] = []
        self.examples: list[Example] = []
        root = Path(path).expanduser()
        files = [root / name for name in FILES if (root / name).is_file()] if root.is_dir() else [root]
        if not files:
            raise VlcliError("D656", printable(root), f"holds none of {', '.join(FILES)}", "name the file itself")
        for file in files:
            self.examples += self.read(file, FILES.get(file.name, "test"))[:limit]
        self.overlapping = self.part_splits() if len(files) > 1 else 0
        self.examples = [example for example in self.examples if split in (None, example.split)]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]

    def read(self, file: Path, split: str) -> list[Example]:
        """The usable rows of one file; the others are noted in `refused`."""
        check_file(file)
        where = printable(file)
        found = []
        # Quotes are part of the descriptions, so this is no CSV dialect.
        with open(file, encoding="utf-8", errors="replace", newline="") as lines:
            if next(lines, "").rstrip("\r\n").split("\t") != COLUMNS:
                raise VlcliError("D656", where, f"does not begin with the columns {', '.join(COLUMNS)}",
                                 "use molecules/table for other tables")  # fmt: skip
            for number, line in enumerate(lines, start=2):
                cells = line.rstrip("\r\n").split("\t")
                if len(cells) != len(COLUMNS):
                    self.refused.append(RefusedInput(f"{where}#{number}", "D106",
                                                     f"row {number} has {len(cells)} cells, not 3"))  # fmt: skip
                    continue
                try:
                    smiles = read_structure(cells[1]).smiles
                except UnreadableStructure as error:
                    self.refused.append(RefusedInput(f"{where}#{number}", "D652", str(error)))
                    continue
                metadata: dict[str, Any] = {"cid": cells[0], "license": "CC-BY-4.0"}
                source = Source(id=f"{where}#{number}", value=smiles, metadata=NOTATION)
                text = " ".join(cells[2].split())
                found.append(Example(cells[0], {"molecules": source}, (text,) if text else (), None, split, metadata))
        return found

    def part_splits(self) -> int:
        """Take molecules of val and test out of train; how many there were."""
        keys = [connectivity_key(str(example.sources["molecules"].value)) for example in self.examples]
        held_out = {key for key, example in zip(keys, self.examples, strict=True) if example.split != "train"}
        kept = [example for key, example in zip(keys, self.examples, strict=True)
                if example.split != "train" or key not in held_out]  # fmt: skip
        removed = len(self.examples) - len(kept)
        self.examples = kept
        return removed
