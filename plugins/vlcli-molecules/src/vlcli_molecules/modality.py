"""The modality `molecules`: a structure in text or in a file becomes a sanitised, canonical `Molecule`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlcli.api import Source, VlcliError
from vlcli.data.files import check_file
from vlcli.data.names import printable
from vlcli_molecules.molecule import Molecule


class MoleculesModality:
    """Molecules. Canonical form: `vlcli_molecules.molecule.Molecule`."""

    name = "molecules"

    def expand(self, path: Path) -> Iterator[Source]:
        """Each line of a `.smi` file as `file.smi#LINE`."""
        check_file(path)
        name = printable(path)
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    structure, _, title = line.strip().partition(" ")
                    yield Source(id=f"{name}#{number}", value=structure, metadata={"title": title} if title else {})

    def load(self, source: Source) -> Molecule:
        """The molecule of a source.

        Raises:
            VlcliError: D-coded, when the structure is refused.
        """
        from rdkit import Chem

        from vlcli_molecules.conversion import to_selfies

        value = source.value or ""
        mol = Chem.MolFromSmiles(value)
        if mol is None:
            raise VlcliError("D611", source.id, "is not a SMILES that RDKit reads", "correct the structure")
        smiles = Chem.MolToSmiles(mol)
        return Molecule(smiles=smiles, selfies=to_selfies(smiles), source=value)

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Pad ids and masks at the end to the longest item, `[B, T]`."""
        from vlcli.data.collate import pad_and_stack

        return pad_and_stack(inputs)

    def preview(self, source: Source, size: int = 256) -> bytes:
        """A 2-D drawing as PNG, `size` pixels a side."""
        from rdkit.Chem.Draw import rdMolDraw2D

        drawer = rdMolDraw2D.MolDraw2DCairo(size, size)
        drawer.DrawMolecule(self.load(source).mol)
        drawer.FinishDrawing()
        drawn: bytes = drawer.GetDrawingText()
        return drawn
