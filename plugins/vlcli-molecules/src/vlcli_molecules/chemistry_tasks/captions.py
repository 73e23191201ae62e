"""Captions of molecules, written from facts that RDKit computes: nothing in them is looked up or guessed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
ELEMENTS = {"C": "carbon", "N": "nitrogen", "O": "oxygen", "S": "sulfur", "P": "phosphorus", "F": "fluorine",
            "Cl": "chlorine", "Br": "bromine", "I": "iodine"}  # fmt: skip
RINGS = ("acyclic", "monocyclic", "bicyclic", "tricyclic", "tetracyclic")

# Name, plural, SMARTS; the more specific ones are counted without what a more general one would find again.
GROUPS = (
    ("benzene ring", "benzene rings", "c1ccccc1"),
    ("pyridine ring", "pyridine rings", "n1ccccc1"),
    ("pyrimidine ring", "pyrimidine rings", "n1cnccc1"),
    ("furan ring", "furan rings", "o1cccc1"),
    ("thiophene ring", "thiophene rings", "s1cccc1"),
    ("imidazole ring", "imidazole rings", "n1cncc1"),
    ("carboxylic acid", "carboxylic acids", "[CX3](=O)[OX2H1]"),
    ("carboxylate", "carboxylates", "[CX3](=O)[O-]"),
    ("ester", "esters", "[CX3](=O)[OX2H0;!$(OC=O~O)][#6;!$(C=[O,S,N])]"),
    ("amide", "amides", "[CX3;!$(C(N)N)](=O)[NX3]"),
    ("urea", "ureas", "[NX3][CX3](=[O,S])[NX3]"),
    ("aldehyde", "aldehydes", "[CX3H1](=O)[#6]"),
    ("ketone", "ketones", "[#6][CX3](=O)[#6]"),
    ("nitrile", "nitriles", "C#N"),
    ("nitro group", "nitro groups", "[N+](=O)[O-]"),
    ("hydroxy group", "hydroxy groups", "[OX2H][CX4]"),
    ("phenol", "phenols", "[OX2H]c"),
    ("ether", "ethers", "[OX2;!$(O[C,S,P]=[O,S,N])]([#6])[#6;!$(C=[O,S,N])]"),
    ("thiol", "thiols", "[SX2H]"),
    ("thioether", "thioethers", "[SX2;!$(SC=[O,S,N])]([#6])[#6]"),
    ("sulfonyl group", "sulfonyl groups", "S(=O)(=O)"),
    ("primary amine", "primary amines", "[NX3H2;!$(N[C,S]=[O,S,N]);!$(N~[!#6])][#6]"),
    ("secondary amine", "secondary amines", "[NX3H1;!$(N[C,S]=[O,S,N]);!$(N~[!#6])]([#6])[#6]"),
    ("tertiary amine", "tertiary amines", "[NX3H0;!$(N[C,S]=[O,S,N]);!$(N~[!#6])]([#6])([#6])[#6]"),
    ("fluoro group", "fluoro groups", "[#6]F"),
    ("chloro group", "chloro groups", "[#6]Cl"),
    ("bromo group", "bromo groups", "[#6]Br"),
    ("iodo group", "iodo groups", "[#6]I"),
)


@functools.cache
def patterns() -> tuple[tuple[str, str, Mol], ...]:
    """The groups with their compiled patterns."""
    from rdkit import Chem

    return tuple((one, many, Chem.MolFromSmarts(smarts)) for one, many, smarts in GROUPS)


def number(count: int) -> str:
    """A count as a word, up to twelve."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def listed(parts: list[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def article(words: str) -> str:
    """The words with `a` or `an`."""
    vowel = words[0] in "aeio"  # a urea
    return f"{'an' if vowel else 'a'} {words}"


def ring_kind(molecule: Mol) -> str:
    """How many rings, and whether they are aromatic: `bicyclic aromatic`."""
    info = molecule.GetRingInfo()
    count = info.NumRings()
    name = RINGS[count] if count < len(RINGS) else "polycyclic"
    if count == 0:
        return name
    atoms = [molecule.GetAtomWithIdx(index) for ring in info.AtomRings() for index in ring]
    if not any(atom.GetIsAromatic() for atom in atoms):
        return f"{name} alicyclic" if all(atom.GetSymbol() == "C" for atom in atoms) else f"{name} heterocyclic"
    return f"{name} aromatic" if all(atom.GetSymbol() == "C" for atom in atoms) else f"{name} heteroaromatic"


def formula_words(molecule: Mol) -> str:
    """The heavy atoms by element: `six carbon, two oxygen and one nitrogen atoms`."""
    counts: dict[str, int] = {}
    for atom in molecule.GetAtoms():
        if atom.GetSymbol() != "H":
            counts[atom.GetSymbol()] = counts.get(atom.GetSymbol(), 0) + 1
    order = sorted(counts, key=lambda symbol: (list(ELEMENTS).index(symbol) if symbol in ELEMENTS else 99, symbol))
    parts = [f"{number(counts[symbol])} {ELEMENTS.get(symbol, symbol)}" for symbol in order]
    return f"{listed(parts)} atom{'s' if sum(counts.values()) > 1 else ''}"


def group_words(molecule: Mol) -> list[str]:
    """The functional groups and rings with their numbers: `a benzene ring`, `two chloro groups`."""
    found = []
    for one, many, pattern in patterns():
        count = len(molecule.GetSubstructMatches(pattern, uniquify=True))
        if count:
            found.append(article(one) if count == 1 else f"{number(count)} {many}")
    return found


def charge_words(molecule: Mol) -> str:
    """The net charge."""
    from rdkit.Chem import GetFormalCharge

    charge = GetFormalCharge(molecule)
    return "It is neutral." if charge == 0 else f"It has a charge of {'+' if charge > 0 else '-'}{abs(charge)}."


def caption_of(molecule: Mol) -> str:
    """A caption from facts: rings, elements, functional groups, stereocentres, fragments and charge."""
    from rdkit.Chem import GetMolFrags

    groups = group_words(molecule)
    sentences = [
        f"The molecule is {article(ring_kind(molecule))} compound of {formula_words(molecule)}.",
        f"It contains {listed(groups)}." if groups else "It contains no listed functional group.",
    ]
    centres = sum(1 for atom in molecule.GetAtoms() if str(atom.GetChiralTag()) != "CHI_UNSPECIFIED")
    if centres:
        sentences.append(f"It has {number(centres)} stereocentre{'s' if centres > 1 else ''}.")
    fragments = len(GetMolFrags(molecule))
    if fragments > 1:
        sentences.append(f"It consists of {number(fragments)} fragments.")
    return " ".join([*sentences, charge_words(molecule)])
