"""`molecules/text-chem`: the five tasks from the 4,991 NCI molecules inside RDKit's wheel, nothing downloaded.

Splits come first and tasks after: every molecule belongs to one split, a reaction belongs to the split of its
substrate, and both of its directions stay together. A reaction whose product is, or was made from, a molecule of
another split is left out. So no molecule of a test caption occurs in any training task, the common reagents excepted,
which are never captioned.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli_molecules.chemistry_tasks.captions import caption_of
from vlcli_molecules.chemistry_tasks.paragraphs import paragraph
from vlcli_molecules.chemistry_tasks.reactions import Reaction, common_species, reactions_of
from vlcli_molecules.chemistry_tasks.templates import TASK_NAMES, task_of
from vlcli_molecules.data.packages import package_file

if TYPE_CHECKING:
    from rdkit.Chem import Mol

PARTS = (("test", 10), ("val", 5), ("train", 85))
"""Split -> percent of all molecules."""

SEED = "text-chem 1"
"""Of splits and paragraphs; the data set is the same in every run, whatever the run's seed."""


@dataclass(frozen=True)
class Molecule:
    """A molecule of the collection with its split."""

    smiles: str
    structure: Mol
    split: str


def split_of(key: str) -> str:
    """The split that a molecule or a text belongs to, by its own hash: adding others never moves it."""
    from vlcli.train.batches import derive_seed

    place = derive_seed(SEED, key) % 100
    for name, percent in PARTS:
        if place < percent:
            return name
        place -= percent
    raise AssertionError("the parts add up to 100")


def main_fragment(smiles: str) -> str:
    """The longest fragment: a molecule and its salts belong together."""
    return max(smiles.split("."), key=lambda part: (len(part), part))


def nci_file() -> Path:
    """The file of molecules that RDKit's wheel brings.

    Raises:
        VlcliError: D650 when it is missing.
    """
    return package_file("rdkit", "Data/NCI/first_5K.smi", "rdkit")


@functools.cache
def molecules() -> tuple[Molecule, ...]:
    """All NCI molecules that RDKit accepts, each once, in the order of the file."""
    from rdkit import Chem, rdBase

    found: dict[str, Molecule] = {}
    with rdBase.BlockLogs():
        for line in nci_file().read_text(encoding="utf-8").splitlines():
            structure = Chem.MolFromSmiles(line.split()[0]) if line.strip() else None
            if structure is None:
                continue
            smiles = Chem.MolToSmiles(structure)
            # Parsed again: the atoms of what is captioned stand in the order of what is written.
            found.setdefault(smiles, Molecule(smiles, Chem.MolFromSmiles(smiles), split_of(main_fragment(smiles))))
    return tuple(found.values())


@functools.cache
def reactions(max_atoms: int) -> tuple[tuple[Reaction, str], ...]:
    """All reactions of substrates of at most `max_atoms` heavy atoms with their splits; none crosses splits."""
    common = common_species()
    owner = {molecule.smiles: molecule.split for molecule in molecules()}
    found: dict[tuple[str, str], tuple[Reaction, str]] = {}
    for molecule in molecules():
        if molecule.structure.GetNumHeavyAtoms() > max_atoms or molecule.smiles in common or "." in molecule.smiles:
            continue
        for reaction in reactions_of(molecule.structure):
            if reaction.product in common:
                continue
            # The first to use a molecule decides its split.
            if owner.setdefault(reaction.product, molecule.split) == molecule.split:
                found.setdefault((reaction.reactants, reaction.product), (reaction, molecule.split))
    return tuple(found.values())


@functools.cache
def paragraphs(count: int, longest: int) -> tuple[tuple[str, str, str], ...]:
    """`count` different paragraphs with their actions and splits; equal actions are in one split."""
    rng = random.Random(f"{SEED} paragraphs {longest}")
    found: dict[str, tuple[str, str, str]] = {}
    while len(found) < count:
        text, actions = paragraph(rng, longest)
        found.setdefault(text, (text, actions, split_of(actions)))
    return tuple(found.values())


@functools.lru_cache(maxsize=8)
def examples(max_atoms: int, paragraph_count: int, sentences: int) -> tuple[Example, ...]:
    """All examples of all tasks, in a fixed order."""
    common = common_species()
    found: list[Example] = []
    for number, molecule in enumerate(molecules()):
        if molecule.structure.GetNumHeavyAtoms() > max_atoms or molecule.smiles in common:
            continue
        caption = caption_of(molecule.structure)
        found.append(make(f"nci-{number}", "caption", molecule.smiles, caption, molecule.split))
        found.append(make(f"nci-{number}", "from-text", caption, molecule.smiles, molecule.split))
    for number, (reaction, split) in enumerate(reactions(max_atoms)):
        found.append(make(f"reaction-{number}", "forward", reaction.reactants, reaction.product, split))
        found.append(make(f"reaction-{number}", "retro", reaction.product, reaction.reactants, split))
    for number, (text, actions, split) in enumerate(paragraphs(paragraph_count, sentences)):
        found.append(make(f"paragraph-{number}", "actions", text, actions, split))
    return tuple(found)


def make(key: str, task: str, source: str, target: str, split: str) -> Example:
    """An example: the input without its prompt is the source, the output the caption, the task the label."""
    return Example(
        id=f"{key}/{task_of(task).name}",
        sources={"text": Source(id=f"{key}/{task}", value=source)},
        captions=(target,),
        label=task,
        split=split,
    )


class TextChemDataset:
    """The five tasks over NCI molecules.

    Args:
        tasks: which of them.
        max_atoms: heavy atoms of captioned molecules and of substrates.
        paragraphs: number of procedures.
        sentences: of the longest procedure.
        shuffled: give every training example the target of another one of its task: for a negative control.
    """

    def __init__(
        self,
        tasks: tuple[str, ...] = TASK_NAMES,
        max_atoms: int = 24,
        paragraphs: int = 5000,
        sentences: int = 3,
        shuffled: bool = False,
    ) -> None:
        wanted = {task_of(name).name for name in tasks}
        rows = [example for example in examples(max_atoms, paragraphs, sentences) if example.label in wanted]
        self.examples = list(with_shuffled_targets(rows)) if shuffled else rows

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


def with_shuffled_targets(rows: list[Example]) -> Iterator[Example]:
    """The examples, those of the training split with targets moved about inside their task."""
    from dataclasses import replace

    rng = random.Random(f"{SEED} shuffled")
    targets: dict[str, list[tuple[str, ...]]] = {}
    for row in rows:
        if row.split == "train":
            targets.setdefault(str(row.label), []).append(row.captions)
    for name in sorted(targets):
        rng.shuffle(targets[name])
    for row in rows:
        yield replace(row, captions=targets[str(row.label)].pop()) if row.split == "train" else row
