"""Descriptions say what is true of a molecule, in several wordings, always the same."""

from __future__ import annotations

import pytest
from rdkit import Chem
from vlcli_molecules.data.descriptions import describe, facts_of, with_article
from vlcli_molecules.data.groups import FAMILIES, GROUPS, RINGS, SUBSTITUTION
from vlcli_molecules.data.roles import roles_of


@pytest.mark.parametrize(
    ("smiles", "classes"),
    [("CC(=O)Oc1ccccc1C(=O)O", {"benzoic acid", "acetate ester"}), ("Cn1c(=O)c2c(ncn2C)n(C)c1=O", {"xanthine"}),
     ("CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O", {"penicillin", "carboxylic acid"}),
     ("Nc1ccccc1", {"aromatic amine"}), ("Cc1ccccc1[N+](=O)[O-]", {"C-nitro compound"}),
     ("O=C1NC(=O)NC(=O)C1(CC)CC", {"barbiturate"}), ("C[Si](C)(C)Cl", {"chlorosilane"}), ("CCCC", set())],
)  # fmt: skip
def test_classes(smiles: str, classes: set[str]) -> None:
    found = {pattern.name for pattern in facts_of(Chem.MolFromSmiles(smiles)).classes}
    assert classes <= found
    assert len(found - classes) <= 1, found


def test_every_pattern_is_smarts_and_hides_known_names() -> None:
    patterns = (*FAMILIES, *GROUPS, *RINGS, *SUBSTITUTION)
    names = {pattern.name for pattern in patterns}
    for pattern in patterns:
        assert Chem.MolFromSmarts(pattern.smarts) is not None, pattern.name
        assert set(pattern.hides) <= names, pattern.name
    assert len(names) == len(patterns)


def test_facts() -> None:
    facts = facts_of(Chem.MolFromSmiles("Clc1ccc(CCCCCCCCCC)cc1.[Na+].[Br-]"))
    assert "para-disubstituted benzene" in facts.substitution
    assert facts.chain == 10
    assert facts.salt == ("bromide", "sodium")
    assert "one chlorine atom" in facts.elements
    assert "one stereocentre" in facts_of(Chem.MolFromSmiles("C[C@H](F)Cl")).traits


def test_descriptions_are_deterministic_and_varied() -> None:
    first = describe(Chem.MolFromSmiles("Nc1ccc(N=Nc2ccccc2)cc1"), ["4-aminoazobenzene", "solvent yellow 1"], 5)
    again = describe(Chem.MolFromSmiles("c1ccc(cc1)N=Nc1ccc(N)cc1"), ["4-aminoazobenzene", "solvent yellow 1"], 5)
    assert first == again
    assert len(set(first)) == len(first) >= 3
    assert any("a dye" in text for text in first)
    assert any("azobenzene" in text for text in first)


def test_roles() -> None:
    assert roles_of(["disperse yellow 163"]) == ("a dye",)
    assert "a local anaesthetic" in roles_of(["lidocaine"])
    assert roles_of(["ethanol", "aspartame"]) == ()


def test_articles() -> None:
    assert [with_article(noun) for noun in ("ester", "ketone", "N-oxide", "urea")] == [
        "an ester", "a ketone", "an N-oxide", "a urea"]  # fmt: skip


def test_a_giant_is_described_in_time() -> None:
    assert describe(Chem.MolFromSmiles("CC(=O)N" * 200), (), 2)
