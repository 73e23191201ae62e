"""How robust a notation is: strings with random changes, and how many of them are still molecules.

Every SELFIES string describes a molecule (Krenn et al. 2020), so a changed one does too; a changed SMILES seldom does.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from vlcli.api import VlcliError
from vlcli_molecules.conversion import split_selfies, to_smiles

SMILES_SYMBOLS = re.compile(r"\[[^\]]*\]|Br|Cl|%\d\d|.", re.DOTALL)
"""The atoms, bonds, branches and ring numbers of a SMILES, one symbol each."""


def symbols_of(text: str, notation: str) -> list[str]:
    """A string's symbols: those of SELFIES, or the tokens of SMILES."""
    return split_selfies(text) if notation == "selfies" else SMILES_SYMBOLS.findall(text)


def alphabet_of(texts: Sequence[str], notation: str) -> list[str]:
    """All symbols of some strings, sorted. The dot that joins fragments belongs to neither alphabet."""
    found = {symbol for text in texts for symbol in symbols_of(text, notation)}
    return sorted(found - {"."})


def corrupt(symbols: Sequence[str], alphabet: Sequence[str], share: float, rng: random.Random) -> list[str]:
    """Change each symbol with probability `share`, at least one: it is replaced, left out or preceded by a random one.

    All symbols together are never left out.
    """
    forced = rng.randrange(len(symbols))
    changed: list[str] = []
    for index, symbol in enumerate(symbols):
        if index != forced and rng.random() >= share:
            changed.append(symbol)
            continue
        kind = rng.choice(("replace", "remove", "insert"))
        if kind == "replace":
            changed.append(rng.choice(alphabet))
        elif kind == "insert":
            changed += [rng.choice(alphabet), symbol]
    return changed or [rng.choice(alphabet)]


def random_string(length: int, alphabet: Sequence[str], rng: random.Random) -> str:
    """So many symbols, each drawn at random."""
    return "".join(rng.choices(alphabet, k=length))


def is_molecule(text: str, notation: str) -> bool:
    """Whether RDKit reads the string as a molecule of at least one atom; SELFIES is decoded first."""
    from rdkit import Chem, rdBase

    if notation == "selfies":
        try:
            text = to_smiles(text)
        except VlcliError:
            return False
    with rdBase.BlockLogs():
        found = Chem.MolFromSmiles(text)
    return found is not None and found.GetNumAtoms() > 0


def valid_share(texts: Sequence[str], notation: str, *, share: float, copies: int, seed: int) -> float:
    """Share of corrupted strings that are molecules, over `copies` of each text.

    Args:
        texts: in this notation; the symbols to insert come from them.
        share: probability of each symbol to be changed.
    """
    rng = random.Random(seed)
    alphabet = alphabet_of(texts, notation)
    valid = total = 0
    for text in texts:
        symbols = symbols_of(text, notation)
        for _ in range(copies):
            total += 1
            valid += is_molecule("".join(corrupt(symbols, alphabet, share, rng)), notation)
    return valid / total
