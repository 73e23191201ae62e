"""The five tasks' data: splits that share nothing, facts in captions, reactions, procedures, files."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest
from rdkit import Chem
from vlcli_molecules.chemistry_tasks.captions import caption_of
from vlcli_molecules.chemistry_tasks.files import TextChemFiles
from vlcli_molecules.chemistry_tasks.paragraphs import paragraph
from vlcli_molecules.chemistry_tasks.procedural import TextChemDataset, main_fragment
from vlcli_molecules.chemistry_tasks.reactions import TEMPLATES, common_species, reactions_of
from vlcli_molecules.chemistry_tasks.templates import TASK_NAMES, TASKS, split_prompt
from vlcli_molecules.metrics import canonical_side, molecule_of

from vlcli.data.dataset import Example
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.testing import check_dataset


@pytest.fixture(scope="module")
def data() -> TextChemDataset:
    return TextChemDataset(max_atoms=9, paragraphs=300, sentences=2)


def structures(row: Example) -> list[str]:
    """The sides of reactions, or the molecule, in a row."""
    texts = {"forward": [row.sources["text"].value, row.captions[0]], "caption": [row.sources["text"].value],
             "from-text": [row.captions[0]]}  # fmt: skip
    texts["retro"] = texts["forward"]
    return [text or "" for text in texts.get(str(row.label), [])]


def test_the_prompts_are_the_released_ones() -> None:
    assert {task.name: task.prompt for task in TASKS} == {
        "forward": "Predict the product of the following reaction: ",
        "retro": "Predict the reaction that produces the following product: ",
        "actions": "Which actions are described in the following paragraph: ",
        "from-text": "Write in SMILES the described molecule: ",
        "caption": "Caption the following SMILES: ",
    }
    for task in TASKS:
        assert split_prompt(task.prompt + "x y") == (task, "x y")
    assert split_prompt("Describe CCO") is None


def test_the_data_set_keeps_the_contract(data: TextChemDataset) -> None:
    check_dataset(data, modalities=("text",))
    counts = Counter((row.label, row.split) for row in data.examples)
    assert all(counts[task, split] > 5 for task in TASK_NAMES for split in ("train", "val", "test"))
    again = TextChemDataset(max_atoms=9, paragraphs=300, sentences=2)
    assert again.examples == data.examples


def test_no_molecule_is_in_two_splits_of_any_tasks(data: TextChemDataset) -> None:
    common = common_species()
    where: dict[str, set[str]] = {}
    for row in data.examples:
        for side in structures(row):
            form = canonical_side(side)
            assert form is not None, f"{row.id}: {side} is no structure"
            for species in form.split("."):
                where.setdefault(species, set()).add(str(row.split))
    crossing = {species for species, splits in where.items() if len(splits) > 1}
    # The counter-ions of captioned salts; the longest fragment of a SMILES decides its split.
    ions = {
        canonical_side(part)
        for row in data.examples
        for side in structures(row)
        if "." in side and row.label in ("caption", "from-text")
        for part in side.split(".")
        if part != main_fragment(side)
    }
    assert crossing <= common | ions
    captioned: dict[str | None, set[str | None]] = {row.split: set() for row in data.examples}
    for row in data.examples:
        if row.label == "caption":
            captioned[row.split].add(row.sources["text"].value)
    assert not captioned["train"] & captioned["test"] and not captioned["train"] & captioned["val"]
    assert not common & set().union(*captioned.values())


def test_both_directions_of_a_reaction_are_in_one_split(data: TextChemDataset) -> None:
    forward = {(row.sources["text"].value, row.captions[0]): row.split for row in data.examples
               if row.label == "forward"}  # fmt: skip
    retro = {(row.captions[0], row.sources["text"].value): row.split for row in data.examples if row.label == "retro"}
    assert forward == retro and forward
    actions = {}
    for row in data.examples:
        if row.label == "actions":
            assert actions.setdefault(row.captions[0], row.split) == row.split


def test_captions_say_what_is_there() -> None:
    molecule = Chem.MolFromSmiles("O=C(O)c1ccc(Cl)cc1Cl")
    assert caption_of(molecule) == (
        "The molecule is a monocyclic aromatic compound of seven carbon, two oxygen and two chlorine atoms. "
        "It contains a benzene ring, a carboxylic acid and two chloro groups. It is neutral."
    )
    assert "It has a charge of -1." in caption_of(Chem.MolFromSmiles("CC(=O)[O-]"))
    assert "two fragments" in caption_of(Chem.MolFromSmiles("[Na+].[Cl-]"))
    assert "one stereocentre." in caption_of(Chem.MolFromSmiles("C[C@@H](N)C(=O)O"))
    assert "a urea" in caption_of(Chem.MolFromSmiles("CNC(=O)NC"))
    assert "no listed functional group" in caption_of(Chem.MolFromSmiles("CCC"))


@pytest.mark.parametrize(
    ("substrate", "template", "reactants", "product"),
    [
        ("CC(=O)O", "amide coupling", "CC(=O)O.NCc1ccccc1", "CC(=O)NCc1ccccc1"),
        ("CC(=O)O", "esterification", "CC(=O)O.CCO.O=S(=O)(O)O", "CCOC(C)=O"),
        ("CC(=O)OC", "ester hydrolysis", "COC(C)=O.[Na+]~[OH-]", "CC(=O)O"),
        ("Cc1ccccc1[N+](=O)[O-]", "nitro reduction", "Cc1ccccc1[N+](=O)[O-].Cl[Sn]Cl", "Cc1ccccc1N"),
        ("CC(C)=O", "carbonyl reduction", "CC(C)=O.[BH4-]~[Na+]", "CC(C)O"),
        ("NC1CC1", "sulfonamide formation", "CS(=O)(=O)Cl.NC1CC1", "CS(=O)(=O)NC1CC1"),
        ("NC1CC1", "N-acylation", "CC(=O)Cl.NC1CC1", "CC(=O)NC1CC1"),
        ("Oc1ccccc1", "Williamson ether synthesis", "CI.O=C([O-])[O-]~[K+]~[K+].Oc1ccccc1", "COc1ccccc1"),
        ("Brc1ccccc1", "Suzuki coupling", "Brc1ccccc1.CB(O)O", "Cc1ccccc1"),
    ],
)
def test_templates(substrate: str, template: str, reactants: str, product: str) -> None:
    found = {(one.reactants, one.product) for one in reactions_of(Chem.MolFromSmiles(substrate))
             if one.template == template}  # fmt: skip
    assert (canonical_side(reactants), product) in found
    assert len(TEMPLATES) >= 6


def test_a_reaction_with_two_possible_products_is_left_out() -> None:
    two_acids = Chem.MolFromSmiles("OC(=O)CCc1ccc(C(=O)O)cc1")
    assert not [one for one in reactions_of(two_acids) if one.template == "esterification"]


def test_paragraphs_name_their_actions() -> None:
    rng = random.Random(3)
    for _ in range(200):
        text, actions = paragraph(rng, 3)
        assert text[0].isupper() or text[0].isdigit()
        assert actions.endswith(".") and all(part.strip().split()[0].isupper() for part in actions[:-1].split(";"))
        # Every amount that an action names stands in the text.
        for part in actions[:-1].split(";"):
            if "(" in part:
                assert part[part.index("(") + 1 : part.rindex(")")].split(",")[0] in text


def test_shuffled_targets_are_other_targets_of_the_same_task(data: TextChemDataset) -> None:
    shuffled = TextChemDataset(max_atoms=9, paragraphs=300, sentences=2, shuffled=True)
    moved = 0
    for plain, other in zip(data.examples, shuffled.examples, strict=True):
        assert (plain.sources, plain.label, plain.split) == (other.sources, other.label, other.split)
        if plain.split == "train":
            moved += plain.captions != other.captions
        else:
            assert plain == other
    assert moved > 0.9 * sum(row.split == "train" for row in data.examples)
    left, right = ([(row.label, row.captions) for row in rows.examples] for rows in (data, shuffled))
    assert Counter(left) == Counter(right)


def test_files_in_the_released_form(tmp_path: Path) -> None:
    def write(name: str, rows: list[object]) -> None:
        (tmp_path / name).write_text("\n".join(json.dumps(row) for row in rows) + "\nnot json\n", encoding="utf-8")

    write("train.jsonl", [
        {"source": "Caption the following SMILES: CCO", "target": "An alcohol."},
        {"source": "Write in SMILES the described molecule: An olefin.", "target": "C/C=C\\\\C"},
        {"source": "Predict the product of the following reaction: CC(=O)Cl.NC", "target": "CNC(C)=O"},
        {"source": "Which actions are described in the following paragraph: Wash it.", "target": "WASH."},
        {"source": "Caption the following SMILES: C1CC", "target": "Broken."},
        {"source": "Translate: CCO", "target": "x"},
        {"source": "Caption the following SMILES: ", "target": "x"},
        ["no", "object"],
    ])  # fmt: skip
    write("valid.jsonl", [{"source": "Write in SMILES the described molecule: An alcohol.", "target": "OCC"}])
    data = TextChemFiles(str(tmp_path))
    found = {(row.label, row.split, row.sources["text"].value, row.captions[0]) for row in data.examples}
    # CCO is captioned in training and written in validation: it is taken out of training.
    assert found == {
        ("from-text", "train", "An olefin.", "C/C=C\\C"),
        ("forward", "train", "CC(=O)Cl.NC", "CNC(C)=O"),
        ("actions", "train", "Wash it.", "WASH."),
        ("from-text", "val", "An alcohol.", "OCC"),
    }
    assert data.overlapping == 1
    assert [refused.path.rpartition("#")[2] for refused in data.refused] == ["5", "6", "7", "8", "9", "2"]
    check_dataset(data, modalities=("text",))


def test_chebi_and_reactions_become_two_tasks_each(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("CID\tSMILES\tdescription\n1\tCCO\tAn alcohol.\n2\tC1C\tBroken.\n")
    data = TextChemFiles(str(tmp_path / "test.txt"))
    assert [(row.label, row.split) for row in data.examples] == [("caption", "test"), ("from-text", "test")]
    assert len(data.refused) == 1
    reactions = tmp_path / "uspto.txt"
    reactions.write_text("CC(=O)Cl.CN>[Na+]~[OH-]>CNC(C)=O\nCCO>>CC=O\n")
    rows = TextChemFiles(str(reactions)).examples
    assert {(row.label, row.sources["text"].value, row.captions[0]) for row in rows} == {
        ("forward", "CC(=O)Cl.CN.[Na+]~[OH-]", "CNC(C)=O"), ("retro", "CNC(C)=O", "CC(=O)Cl.CN.[Na+]~[OH-]"),
        ("forward", "CCO", "CC=O"), ("retro", "CC=O", "CCO"),
    }  # fmt: skip


def test_files_that_are_none_of_these(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello\n")
    with pytest.raises(VlcliError, match="D641"):
        TextChemFiles(str(tmp_path / "notes.txt"))
    with pytest.raises(VlcliError, match="D641"):
        TextChemFiles(str(tmp_path))
    with pytest.raises(VlcliError):
        TextChemFiles(str(tmp_path / "absent.jsonl"))


def test_the_released_sample() -> None:
    folder = os.environ.get("VLCLI_SHARED")
    if folder is None:
        pytest.skip("VLCLI_SHARED names no folder of real data")
    registry = load_plugins(third_party=True).registry
    path = str(Path(folder) / "data" / "textchem_sample")
    data = registry.build("dataset", "molecules/text-chem-files", {"path": path})
    assert Counter(row.label for row in data.examples).keys() == set(TASK_NAMES)
    # Two of the rows' structures are escaped twice; all are read.
    assert not data.refused
    assert all(molecule_of(side) is not None for row in data.examples for side in structures(row))
