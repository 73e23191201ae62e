"""Grids of drawings, and the properties table."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from rdkit import Chem
from vlcli_molecules.preview import draw_grid, properties

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def test_grids() -> None:
    smiles = [ASPIRIN, "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "C" * 450, "CCO"]
    picture = Image.open(io.BytesIO(draw_grid(smiles, [f"number {n}" for n in range(5)], columns=3, size=120)))
    assert picture.size == (360, 240)
    svg = draw_grid(smiles, svg=True, columns=5, size=100).decode()
    assert "<svg" in svg
    assert "width='500px'" in svg
    assert svg.count("class='bond") > 10
    with pytest.raises(ValueError, match="no grid"):
        draw_grid([])
    with pytest.raises(ValueError, match="2 molecules and 1 legends"):
        draw_grid(["C", "CC"], ["one"])


def test_properties_of_known_molecules() -> None:
    aspirin = properties(Chem.MolFromSmiles(ASPIRIN))
    assert aspirin == {
        "formula": "C9H8O4", "molecular_weight": 180.159, "logp": 1.31, "tpsa": 63.6, "donors": 1, "acceptors": 3,
        "rotatable_bonds": 2, "rings": 1, "aromatic_rings": 1, "charge": 0, "heavy_atoms": 13, "stereocentres": 0,
    }  # fmt: skip
    alanine = properties(Chem.MolFromSmiles("C[C@H]([NH3+])C(=O)[O-]"))
    assert (alanine["charge"], alanine["stereocentres"], alanine["formula"]) == (0, 1, "C3H7NO2")
    assert properties(Chem.MolFromSmiles("[Ca+2]"))["charge"] == 2
