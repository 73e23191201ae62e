"""Health checks for `vlcli plugins doctor`."""

from __future__ import annotations


def check_structures() -> str:
    """RDKit and selfies read and write aspirin."""
    from vlcli_molecules.conversion import to_selfies, to_smiles

    aspirin = "CC(=O)Oc1ccccc1C(=O)O"
    from rdkit.Chem import MolFromSmiles, MolToSmiles

    back = MolToSmiles(MolFromSmiles(to_smiles(to_selfies(aspirin))))
    if back != MolToSmiles(MolFromSmiles(aspirin)):
        raise RuntimeError(f"aspirin came back as {back}")
    return "RDKit and selfies read structures"
