"""The metric pack against values worked out by hand."""

from __future__ import annotations

import math

import pytest
from rdkit import Chem
from vlcli_molecules.metrics import (
    action_scores,
    bleu,
    canonical,
    canonical_side,
    meteor,
    molecule_of,
    molecule_scores,
    parse_actions,
    rouge,
    score,
    similarities,
)

from vlcli.errors import VlcliError

SENTENCE = "a b c d e"


def test_bleu_by_hand() -> None:
    # 1-grams 4/5, 2-grams 3/4: no brevity penalty for equal lengths.
    assert bleu(["a b c d x"], [SENTENCE], 2) == pytest.approx(math.sqrt(4 / 5 * 3 / 4))
    # 3-grams 2/3, 4-grams 1/2 as well.
    assert bleu(["a b c d x"], [SENTENCE], 4) == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # All n-grams of the four words are right, and one word of five is missing.
    assert bleu(["a b c d"], [SENTENCE], 4) == pytest.approx(math.exp(1 - 5 / 4))
    assert bleu([SENTENCE], [SENTENCE], 4) == pytest.approx(1.0)
    assert bleu(["v w x y z"], [SENTENCE], 2) == 0.0
    # By character: CCCC against CCCO shares 3 of 4 characters and 2 of 3 pairs.
    assert bleu(["CCCC"], ["CCCO"], 2, characters=True) == pytest.approx(math.sqrt(3 / 4 * 2 / 3))


def test_rouge_by_hand() -> None:
    found = rouge(["the cat sat"], ["the cat ran away"])
    # Two shared words: precision 2/3, recall 2/4; one shared pair of 2 and of 3.
    assert found["rouge1"] == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2))
    assert found["rouge2"] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert found["rougeL"] == found["rouge1"]


def test_meteor_by_hand_without_any_corpus() -> None:
    # All five words match in one chunk: F 1, penalty 0.5 * (1/5)^3.
    assert meteor([SENTENCE], [SENTENCE]) == pytest.approx(1 - 0.5 * (1 / 5) ** 3)
    # The stem stage: "rings" matches "ring"; three matches, one chunk.
    assert meteor(["two benzene rings"], ["two benzene ring"]) == pytest.approx(1 - 0.5 * (1 / 3) ** 3)
    assert meteor(["x y"], ["a b"]) == 0.0


def test_molecules_by_hand() -> None:
    found = molecule_scores(["OCC", "CCO", "C(C", "CCCC"], ["CCO", "CCO", "CCO", "CCCC"])
    assert found["validity"] == 0.75
    assert found["exact"] == 0.75
    # OCC -> CCO: 2 edits; C(C -> CCO: 2 edits.
    assert found["levenshtein"] == pytest.approx((2 + 0 + 2 + 0) / 4)
    assert found["morgan"] == found["maccs"] == found["rdk"] == 0.75
    assert found["morgan-valid"] == found["maccs-valid"] == found["rdk-valid"] == 1.0


def test_morgan_tanimoto_by_hand() -> None:
    methanol, ethanol = Chem.MolFromSmiles("CO"), Chem.MolFromSmiles("CCO")
    # Methanol: atoms CH3 and OH, one environment of radius 1 (both atoms give the same bonds). Ethanol: CH3, CH2, OH
    # and two of radius 1 (CH3's, OH's and CH2's three, of which CH2's covers the molecule). Shared: CH3 and OH.
    first = set(fingerprint(methanol))
    second = set(fingerprint(ethanol))
    shared = len(first & second) / len(first | second)
    assert shared == pytest.approx(2 / 7)
    assert similarities(methanol, ethanol)["morgan"] == pytest.approx(shared)


def fingerprint(molecule: Chem.Mol) -> list[int]:
    """Environments of radius 0 to 2, counted by RDKit's older function."""
    from rdkit.Chem import rdMolDescriptors

    return [*rdMolDescriptors.GetMorganFingerprint(molecule, 2).GetNonzeroElements()]


def test_structures_that_are_none() -> None:
    assert molecule_of("") is None and molecule_of("  ") is None
    assert molecule_of("C" * 5000) is None
    assert canonical("C1CC") is None
    assert canonical("OC(=O)C") == "CC(=O)O"
    # Stereo counts.
    assert canonical("C/C=C/C") != canonical("C/C=C\\C")


def test_tilde_joins_the_ions_of_one_species() -> None:
    assert canonical_side("[OH-]~[Na+].OCC") == "CCO.[Na+]~[OH-]"
    assert canonical_side("CCO.[Na+].[OH-]") != canonical_side("CCO.[Na+]~[OH-]")
    assert canonical_side("CCO.X") is None and canonical_side("CCO..C") is None
    found = molecule_scores(["[OH-]~[Na+].OCC"], ["CCO.[Na+]~[OH-]"], sides=True)
    assert found["exact"] == found["validity"] == found["morgan"] == 1.0


def test_actions_by_hand() -> None:
    assert parse_actions("ADD water  (5 mL); STIR for 1 hour.") == ["ADD water (5 mL)", "STIR for 1 hour"]
    right = "ADD water (5 mL); STIR for 1 hour."
    found = action_scores([right, "ADD water (9 mL); STIR for 1 hour.", "STIR for 1 hour."], [right] * 3)
    assert found["sequence"] == pytest.approx(1 / 3)
    assert found["types"] == pytest.approx(2 / 3)
    # One of two actions differs; one of two is missing.
    assert found["similarity"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    # One character of 33 differs in the second; the third lacks 18 of them.
    assert found["sequence-90"] == pytest.approx(2 / 3)
    assert found["sequence-75"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("task", "right", "wrong", "metric"),
    [
        ("caption", "The molecule is a phenol.", "It is an ether now.", "bleu4"),
        ("from-text", "c1ccccc1O", "CCO", "morgan"),
        ("forward", "CCO.C~N", "CCO", "exact"),
        ("retro", "CCO.C~N", "CCO", "exact"),
        ("actions", "ADD water; STIR.", "FILTER.", "sequence"),
    ],
)
def test_every_task_has_its_measures(task: str, right: str, wrong: str, metric: str) -> None:
    assert score(task, [right], [right])[metric] == pytest.approx(1.0)
    assert score(task, [wrong], [right])[metric] < 1.0


def test_refusals() -> None:
    with pytest.raises(VlcliError, match="E610"):
        score("caption", [], [])
    with pytest.raises(VlcliError, match="E610"):
        molecule_scores(["C"], ["C", "C"])
    with pytest.raises(VlcliError, match="T601"):
        score("captions", ["a"], ["a"])
