"""Mutated structures in every notation, and what becomes of them; for the tests here and for `make torture`."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rdkit import Chem, RDConfig, rdBase
from vlcli_molecules.conversion import to_selfies
from vlcli_molecules.modality import MoleculesModality

from vlcli.api import Source
from vlcli.errors import VlcliError

ALPHABETS = {
    "smiles": "CNOPSFIBclnosr()[]=#$%+-@/\\.0123456789*:>H~&{}",
    "selfies": "[]=#.CNOFSPBrClIRingBranch123@H+-/\\",
    "inchi": "InChI=1S/CHNOPSFclhbtmsqip0123456789,-()+?;*/.",
    "molblock": " 0123456789CNOHVMENDRGPSTYLASRad-+.*#\n$<>()[]",
}
INSERTS = ["-1", "99999", "2147483648", "%(99999)", "[C+999]", "[999C]", "C1" * 20, "(" * 30, "é", "\ud800", "1" * 50,
           "[#200]", "@TH99", "@OH40", "[Branch3]", "[Ring3]", "[nop]", "\0", "\n", "C" * 3000, "%00", "&", "[*:1]",
           "M  END\n", "V3000", "  0  0"]  # fmt: skip


def seeds(count: int = 300) -> dict[str, list[str]]:
    """Good structures to start from: the first NCI molecules of RDKit's data."""
    found: dict[str, list[str]] = {notation: [] for notation in ALPHABETS}
    with rdBase.BlockLogs(), (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").open(encoding="utf-8") as file:
        for line in file:
            mol = Chem.MolFromSmiles(line.split()[0])
            if mol is None:
                continue
            try:
                found["selfies"].append(to_selfies(Chem.MolToSmiles(mol)))
            except VlcliError:
                continue
            found["smiles"].append(Chem.MolToSmiles(mol))
            found["inchi"].append(Chem.MolToInchi(mol))
            write = Chem.MolToV3KMolBlock if len(found["molblock"]) % 3 == 0 else Chem.MolToMolBlock
            found["molblock"].append(write(mol))
            if len(found["smiles"]) == count:
                break
    return found


def mutate(chance: random.Random, text: str, alphabet: str) -> str:
    """A text with a few to many letters replaced, added, taken out, repeated."""
    letters = list(text)
    for _ in range(chance.choice([1, 1, 1, 1, 1, 2, 2, 3, 8, 25])):
        place, kind = chance.randrange(len(letters) + 1), chance.random()
        if kind < 0.3 and letters:
            letters[place % len(letters)] = chance.choice(alphabet)
        elif kind < 0.55:
            letters.insert(place, chance.choice(alphabet))
        elif kind < 0.7 and letters:
            del letters[place % len(letters)]
        elif kind < 0.85 and letters:
            letters[place:place] = letters[place : place + chance.randrange(1, 40)]
        elif kind < 0.95:
            del letters[place : place + chance.randrange(1, 30)]
        else:
            letters[place:place] = list(chance.choice(INSERTS))
    return "".join(letters)


def mutations(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Notation and text, `count` of them; the same seed gives the same."""
    chance, good = random.Random(seed), seeds()
    for number in range(count):
        notation = list(ALPHABETS)[number % len(ALPHABETS)]
        yield notation, mutate(chance, chance.choice(good[notation]), ALPHABETS[notation])


def fuzz(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Load mutated structures as from a file.

    Returns:
        How many were read (`read`) or refused, by code; and what must not be: any other exception, or a molecule whose
        canonical SMILES does not read back, as sentences.
    """
    modality, outcomes, faults = MoleculesModality(), Counter[str](), []
    for number, (notation, text) in enumerate(mutations(count, seed)):
        said = {"notation": notation} if number % 3 else {}
        try:
            molecule = modality.load(Source(id=f"{notation} {number}", value=text, metadata=said))
            if Chem.MolFromSmiles(molecule.smiles) is None:
                faults.append(f"{text!r} gave {molecule.smiles!r}, which RDKit does not read")
            outcomes["read"] += 1
        except VlcliError as error:
            outcomes[error.code] += 1
            if not error.code.startswith("D6") or not error.message:
                faults.append(f"{text!r} was refused with {error}")
        except Exception as error:  # noqa: BLE001 (that is what is looked for)
            faults.append(f"{text!r} raised {type(error).__name__}: {error}")
    return outcomes, faults


if __name__ == "__main__":
    print(*fuzz(int(os.environ.get("COUNT", "4000")), int(os.environ.get("SEED", "0"))), sep="\n")
