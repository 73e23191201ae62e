"""The data set `molecules/reactions`: reaction SMILES as those taken from US patents (Lowe 2012), brought along.

One reaction is `reactants>agents>products`; molecules of a part are separated by `.`, and `~` joins the ions of one
species (as in the data of Text+Chem T5). Atom maps and the extension behind a space (`|f:1.2|`) are dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vlcli.api import Source, VlcliError
from vlcli.data import manifests
from vlcli.data.dataset import Example
from vlcli.data.inputs import RefusedInput
from vlcli.data.names import printable
from vlcli.errors import did_you_mean
from vlcli_molecules.data.scaffold import random_split, split_groups
from vlcli_molecules.data.structures import UnreadableStructure, read_mol, scaffold_of
from vlcli_molecules.data.table import TABLE_SUFFIXES, unzipped

COLUMNS = ("reactions", "reaction", "rxn", "reaction_smiles", "rxn_smiles", "reactionsmiles", "canonical_rxn")
JOINER = "~"


@dataclass(frozen=True, slots=True)
class Reaction:
    """The parts of a reaction; each species is a canonical SMILES, its ions joined by `~`."""

    reactants: tuple[str, ...]
    agents: tuple[str, ...]
    products: tuple[str, ...]

    @property
    def smiles(self) -> str:
        """`reactants>agents>products`."""
        return ">".join(".".join(part) for part in (self.reactants, self.agents, self.products))


class ReactionsDataset:
    """`molecules/reactions`. The source is the products' SMILES; metadata hold reactants, agents, products, reaction.

    A reaction that occurs twice is left out and counted in `repeated`; what can not be read is listed in `refused`.

    Args:
        path: a table with a column of reactions (found by name, or `column`), or a text file with one a line.
        column: of the reactions.
        split: `scaffold` (of the products), `random` (by products) or `none`; equal products lie in one split.
        seed: of the random split.

    Raises:
        VlcliError: D651 when the column is missing, D653 when no reaction is usable.
    """

    def __init__(
        self, path: str, column: str | None = None, split: Literal["scaffold", "random", "none"] = "random",
        seed: int = 0,
    ) -> None:  # fmt: skip
        self.refused: list[RefusedInput] = []
        self.repeated = 0
        found: dict[str, tuple[str, Reaction, dict[str, Any]]] = {}
        for row_id, text, columns in reaction_rows(Path(path).expanduser(), column, self.refused):
            try:
                reaction = read_reaction(text)
            except UnreadableStructure as error:
                self.refused.append(RefusedInput(row_id, "D652", str(error)))
                continue
            if reaction.smiles in found:
                self.repeated += 1
                continue
            found[reaction.smiles] = (row_id, reaction, columns)
        if not found:
            first = f" (first: {self.refused[0].reason})" if self.refused else ""
            raise VlcliError("D653", path, f"holds no usable reaction{first}", "check the column's name")
        products = [".".join(reaction.products) for _, reaction, _ in found.values()]
        splits: list[str | None] = [None] * len(found)
        if split == "random":
            splits = list(random_split(products, seed))
        elif split == "scaffold":
            splits = list(split_groups([scaffold_of(read_mol(plain(product))) for product in products]))
        self.examples = [example_of(*entry, name) for entry, name in zip(found.values(), splits, strict=True)]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]


def example_of(row_id: str, reaction: Reaction, columns: dict[str, Any], split: str | None) -> Example:
    """One reaction."""
    metadata = {**columns, "reaction": reaction.smiles, "reactants": ".".join(reaction.reactants),
                "agents": ".".join(reaction.agents), "products": ".".join(reaction.products)}  # fmt: skip
    source = Source(id=row_id, value=plain(".".join(reaction.products)))
    return Example(row_id, {"molecules": source}, (), None, split, metadata)


def plain(smiles: str) -> str:
    """SMILES without the joiner of ions, which RDKit does not know."""
    return smiles.replace(JOINER, ".")


def reaction_rows(
    path: Path, column: str | None, refused: list[RefusedInput]
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Row id, reaction and other columns of every row; malformed rows are noted."""
    where = printable(path)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    with unzipped(path, kind) as file:
        if kind not in TABLE_SUFFIXES or kind == ".txt":
            with open(file, encoding="utf-8", errors="replace") as lines:
                for number, line in enumerate(lines, start=1):
                    if line.strip():
                        yield f"{where}#{number}", line.strip(), {}
            return
        chosen = column
        for row in manifests.read_rows(file):
            row_id = f"{where}#{row.number}"
            if row.reason:
                refused.append(RefusedInput(row_id, "D106", f"row {row.number} {row.reason}"))
                continue
            cells = dict(row.cells)
            if chosen is None or chosen not in cells:
                chosen = choose_column(list(cells), column, where)
            text = cells.pop(chosen)
            others = {name: manifests.flat(value) for name, value in cells.items() if value is not None}
            yield row_id, "" if text is None else str(text), others


def choose_column(names: list[str], wanted: str | None, where: str) -> str:
    """The column of reactions.

    Raises:
        VlcliError: D651 when there is none.
    """
    lower = {name.strip().lower(): name for name in reversed(names)}
    found = next((lower[name] for name in COLUMNS if name in lower), None) if wanted is None else None
    if found is None:
        hint = did_you_mean(wanted or "reaction", names) or "name it with option column"
        missing = f"column '{wanted}'" if wanted else "column of reactions"
        raise VlcliError("D651", where, f"has no {missing} (its columns: {', '.join(names[:12])})", hint)
    return found


def read_reaction(text: str) -> Reaction:
    """A reaction with canonical, unmapped species.

    Raises:
        UnreadableStructure: when it has not three parts, no reactant or product, or a species RDKit does not read.
    """
    reaction = text.strip().split(None, 1)[0] if text.strip() else ""
    parts = reaction.split(">")
    if len(parts) != 3:
        raise UnreadableStructure(f"is no reaction of the form reactants>agents>products: '{reaction[:60]}'")
    reactants, agents, products = (
        tuple(read_species(species) for species in part.split(".") if species) for part in parts
    )
    if not reactants or not products:
        raise UnreadableStructure(f"has no {'product' if reactants else 'reactant'}: '{reaction[:60]}'")
    return Reaction(reactants, agents, products)


def read_species(text: str) -> str:
    """One species: canonical SMILES of its fragments without atom maps, sorted and joined by `~`."""
    from rdkit import Chem

    fragments = []
    for fragment in text.split(JOINER):
        mol = read_mol(fragment)
        for atom in mol.GetAtoms():
            atom.SetAtomMapNum(0)
        # Without its map number an atom may not need the brackets that kept its hydrogens: read anew.
        fragments.append(Chem.MolToSmiles(read_mol(Chem.MolToSmiles(mol))))
    return JOINER.join(sorted(fragments))
