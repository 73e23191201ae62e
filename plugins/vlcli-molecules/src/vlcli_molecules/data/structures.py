"""What every data set needs of a structure: canonical SMILES, scaffold, and a reason when RDKit does not read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from rdkit import Chem

# Metadata of every source: what its value is.
NOTATION = {"notation": "smiles"}


@dataclass(frozen=True, slots=True)
class Structure:
    """A structure that RDKit reads: canonical isomeric SMILES and Bemis-Murcko scaffold (empty without rings)."""

    smiles: str
    scaffold: str


class UnreadableStructure(ValueError):
    """RDKit does not read it; the text is the reason, to be put behind the name of a row."""


def read_mol(smiles: str) -> Chem.Mol:
    """A sanitised molecule. It is read in this process, so what might overflow RDKit's stack is refused before.

    Raises:
        UnreadableStructure: with RDKit's reason, or the limit that it exceeds.
    """
    from rdkit import Chem, rdBase

    from vlcli_molecules.structure import MAX_CHARACTERS, check_smiles

    text = smiles.strip()
    if not text:
        raise UnreadableStructure("holds no structure")
    if len(text) > (limit := MAX_CHARACTERS["smiles"]):
        raise UnreadableStructure(f"has a SMILES of {len(text):,} characters, the limit is {limit:,}")
    try:
        check_smiles(text)
    except VlcliError as error:
        raise UnreadableStructure(error.message) from error
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text)
        if mol is not None and mol.GetNumAtoms():
            return mol
        raw = Chem.MolFromSmiles(text, sanitize=False)
        problems = [] if raw is None else Chem.DetectChemistryProblems(raw)
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    reason = problems[0].Message() if problems else "it is not the notation of a molecule"
    raise UnreadableStructure(f"has a SMILES that RDKit does not read: '{shown}' ({reason})")


def read_structure(smiles: str) -> Structure:
    """Canonical SMILES and scaffold.

    Raises:
        UnreadableStructure: with RDKit's reason.
    """
    from rdkit import Chem

    mol = read_mol(smiles)
    return Structure(Chem.MolToSmiles(mol), scaffold_of(mol))


def scaffold_of(mol: Chem.Mol) -> str:
    """Bemis-Murcko scaffold (J. Med. Chem. 1996, 39, 2887) as SMILES without stereo; empty without rings."""
    from rdkit import Chem
    from rdkit.Chem.Scaffolds import MurckoScaffold

    if not mol.GetRingInfo().NumRings():
        return ""
    frame = MurckoScaffold.GetScaffoldForMol(mol)  # type: ignore[no-untyped-call]
    scaffold: str = Chem.MolToSmiles(frame, isomericSmiles=False)
    return scaffold


def connectivity_key(smiles: str) -> str:
    """First block of the InChIKey: equal for stereoisomers, isotopologues and mobile-hydrogen tautomers.

    The canonical SMILES stands in where InChI has no answer.

    Raises:
        UnreadableStructure: with RDKit's reason.
    """
    from rdkit import Chem, rdBase

    mol = read_mol(smiles)
    with rdBase.BlockLogs():
        key: str = Chem.MolToInchiKey(mol)  # type: ignore[no-untyped-call]
    return key.partition("-")[0] or Chem.MolToSmiles(mol, isomericSmiles=False)
