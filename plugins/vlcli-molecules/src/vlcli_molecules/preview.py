"""2-D drawings of molecules, alone and in grids, and a table of their properties.

Drawn dark on white, so that they read on light and dark pages alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor, rdMolDescriptors
from rdkit.Chem.Draw import rdMolDraw2D

MAX_DRAWN_ATOMS = 400
LETTER_PIXELS = 8

Drawer = rdMolDraw2D.MolDraw2DCairo | rdMolDraw2D.MolDraw2DSVG


def draw_png(smiles: str, size: int = 256, legend: str = "") -> bytes:
    """One molecule as PNG, `size` pixels a side; one of more than `MAX_DRAWN_ATOMS` atoms in words."""
    drawer = rdMolDraw2D.MolDraw2DCairo(size, size)
    set_style(drawer)
    drawer.DrawMolecule(prepared(smiles), legend=shorten(legend, size))
    drawer.FinishDrawing()
    drawn: bytes = drawer.GetDrawingText()
    return drawn


def draw_grid(
    smiles: Sequence[str], legends: Sequence[str] = (), *, columns: int = 4, size: int = 240, svg: bool = False
) -> bytes:
    """Molecules in rows, each with its legend under it, as PNG or SVG (UTF-8).

    Raises:
        ValueError: without molecules, or when there are not as many legends as molecules.
    """
    if not smiles or (legends and len(legends) != len(smiles)):
        raise ValueError(f"{len(smiles)} molecules and {len(legends)} legends make no grid")
    columns = max(1, min(columns, len(smiles)))
    rows = -(-len(smiles) // columns)
    kind = rdMolDraw2D.MolDraw2DSVG if svg else rdMolDraw2D.MolDraw2DCairo
    drawer = kind(columns * size, rows * size, size, size)
    set_style(drawer)
    options: Any = drawer.drawOptions()
    options.legendFraction = 0.14
    drawer.DrawMolecules([prepared(one) for one in smiles], legends=[shorten(text, size) for text in legends])
    drawer.FinishDrawing()
    drawn = drawer.GetDrawingText()
    return drawn.encode() if isinstance(drawn, str) else bytes(drawn)


def set_style(drawer: Drawer) -> None:
    """Colours and lines of all drawings."""
    options: Any = drawer.drawOptions()
    options.setBackgroundColour((1, 1, 1, 1))
    options.padding = 0.08
    options.bondLineWidth = 2
    options.minFontSize = 10
    options.legendFontSize = 16
    options.fixedBondLength = 40
    options.addStereoAnnotation = False


def prepared(smiles: str) -> Chem.Mol:
    """A molecule with 2-D coordinates; in the place of one that is too large, its number of atoms in words."""
    mol = Chem.MolFromSmiles(smiles)
    if mol is None or mol.GetNumAtoms() > MAX_DRAWN_ATOMS:
        words = "not readable" if mol is None else f"{mol.GetNumAtoms():,} atoms"
        mol = Chem.MolFromSmiles("*")
        mol.GetAtomWithIdx(0).SetProp("atomLabel", words)
    with rdBase.BlockLogs():
        rdDepictor.Compute2DCoords(mol)
        return rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=True)


def shorten(text: str, size: int) -> str:
    """A legend of one line that fits a drawing of `size` pixels."""
    line, limit = " ".join(text.split()), max(8, size // LETTER_PIXELS)
    return line if len(line) <= limit else line[: limit - 3] + "..."  # the drawing font has no ellipsis


def properties(mol: Chem.Mol) -> dict[str, str | int | float]:
    """The usual numbers of a molecule.

    Returns:
        `formula`, `molecular_weight` (g/mol, average isotopes), `logp` and the like of Wildman and Crippen 1999,
        `tpsa` (Å², Ertl et al. 2000), hydrogen-bond `donors` and `acceptors`, `rotatable_bonds`, `rings`,
        `aromatic_rings`, `charge`, `heavy_atoms`, `stereocentres`.
    """
    return {
        "formula": rdMolDescriptors.CalcMolFormula(mol),
        "molecular_weight": round(rdMolDescriptors._CalcMolWt(mol), 3),
        "logp": round(rdMolDescriptors.CalcCrippenDescriptors(mol)[0], 3),
        "tpsa": round(rdMolDescriptors.CalcTPSA(mol), 2),
        "donors": rdMolDescriptors.CalcNumHBD(mol),
        "acceptors": rdMolDescriptors.CalcNumHBA(mol),
        "rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds(mol),
        "rings": rdMolDescriptors.CalcNumRings(mol),
        "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings(mol),
        "charge": Chem.GetFormalCharge(mol),
        "heavy_atoms": mol.GetNumHeavyAtoms(),
        "stereocentres": sum(one.type == Chem.StereoType.Atom_Tetrahedral for one in Chem.FindPotentialStereo(mol)),
    }
