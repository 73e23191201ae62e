"""From a data set's source to the molecule whose string is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlcli_molecules.modality import MoleculesModality
from vlcli_molecules.molecule import Molecule
from vlcli_molecules.options import StructureOptions
from vlcli_molecules.structure import parse

if TYPE_CHECKING:
    from vlcli.api import Source

# A model of SMILES has no use for SELFIES, so it need not lose the molecules that SELFIES can not write.
SMILES_ALONE = StructureOptions(selfies="keep-smiles")


def molecule_of(source: Source, notation: str) -> Molecule:
    """The molecule of a source; one that is SMILES already is read here, all else by the modality.

    Args:
        notation: what the model reads, `selfies` or `smiles`.

    Raises:
        VlcliError: D6 codes, with the reason why it is refused.
    """
    if source.value is None or source.value.lstrip().startswith(("InChI=", "[")):
        return MoleculesModality().load(source)
    options = SMILES_ALONE if notation == "smiles" else StructureOptions()
    return parse(source.value, where=source.id, notation="smiles", options=options)
