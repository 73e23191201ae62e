"""The canonical form of an item of the modality `molecules`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rdkit import Chem


@dataclass(frozen=True)
class Molecule:
    """A molecule that RDKit has sanitised.

    Attributes:
        smiles: canonical isomeric SMILES (stereo and isotopes kept).
        selfies: the same molecule in SELFIES, or None where it can not be written so and the options allow that.
        source: the structure as it was given (SMILES, SELFIES, InChI; empty for a MOL block).
        notes: what was changed on the way, e.g. `("largest of 2 fragments kept",)`; the ledger keeps them.
        properties: data fields of the file, or columns of the table, that belong to it.
    """

    smiles: str
    selfies: str | None
    source: str = ""
    notes: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def mol(self) -> Chem.Mol:
        """RDKit's molecule, made from the canonical SMILES when first asked for."""
        from rdkit import Chem

        found = Chem.MolFromSmiles(self.smiles)
        if found is None:  # the canonical SMILES was read once already when this molecule was made
            raise ValueError(f"RDKit does not read its own SMILES {self.smiles!r}")
        return found
