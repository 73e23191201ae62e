"""Splitting by scaffold, so that testing asks for chemistry that training did not show.

The rule is the one of MoleculeNet (Wu et al. 2018, arXiv:1703.00564) as DeepChem and chemprop have it: groups of equal
Bemis-Murcko scaffold, the largest first, fill train, then val, then test. All molecules without rings are one group.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence

from vlcli.api import VlcliError
from vlcli_molecules.data.structures import UnreadableStructure, read_structure

FRACTIONS = (0.8, 0.1, 0.1)


def scaffold_split(smiles: Sequence[str], fractions: tuple[float, float, float] = FRACTIONS) -> list[str]:
    """`train`, `val` or `test` for each SMILES, deterministic; equal molecules always lie in one split.

    Args:
        smiles: of readable molecules.
        fractions: of train, val and test; they add up to 1.

    Raises:
        VlcliError: D652 when RDKit does not read one of them, U620 when the fractions are impossible.
    """
    groups = []
    for number, text in enumerate(smiles, start=1):
        try:
            groups.append(read_structure(text).scaffold)
        except UnreadableStructure as error:
            raise VlcliError("D652", f"molecule {number}", str(error), "leave it out of the split") from error
    return split_groups(groups, fractions)


def split_groups(groups: Sequence[Hashable], fractions: tuple[float, float, float] = FRACTIONS) -> list[str]:
    """A split for every member; the members of a group stay together.

    Groups go by size, equal ones by their first member. One goes to train while it fits there, else to val while it
    fits there, else to test.

    Raises:
        VlcliError: U620 when the fractions are impossible.
    """
    check_fractions(fractions)
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    train_room = fractions[0] * len(groups)
    both_room = (fractions[0] + fractions[1]) * len(groups)
    splits = [""] * len(groups)
    train = val = 0
    for indices in sorted(members.values(), key=lambda found: (-len(found), found[0])):
        if train + len(indices) <= train_room:
            name, train = "train", train + len(indices)
        elif train + val + len(indices) <= both_room:
            name, val = "val", val + len(indices)
        else:
            name = "test"
        for index in indices:
            splits[index] = name
    return splits


def random_split(groups: Sequence[str], seed: int = 0, fractions: tuple[float, float, float] = FRACTIONS) -> list[str]:
    """A split by a hash of each group's name and the seed; the members of a group stay together.

    Raises:
        VlcliError: U620 when the fractions are impossible.
    """
    check_fractions(fractions)
    drawn: dict[str, int] = {}
    for group in groups:
        drawn[group] = drawn.get(group, 0) + 1
    order = sorted(drawn, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).hexdigest())
    chosen: dict[str, str] = {}
    seen = 0
    for name in order:
        part = seen / len(groups)
        chosen[name] = "train" if part < fractions[0] else "val" if part < fractions[0] + fractions[1] else "test"
        seen += drawn[name]
    return [chosen[group] for group in groups]


def check_fractions(fractions: tuple[float, float, float]) -> None:
    """Raise U620 unless the fractions are three shares that add up to 1."""
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise VlcliError("U620", "fractions", f"{fractions} are not shares of train, val and test that add up to 1")
