"""Predicted structures against the right ones: validity, exactness, edit distance, fingerprint similarity.

One side of a reaction is written `A.B~C`: `.` parts the species and `~` joins the fragments of one species (the ions
of a salt), as in the released data of Text+Chem T5. In a plain SMILES `.` parts fragments, as everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vlcli_molecules.metrics.pairs import check_pairs, mean

if TYPE_CHECKING:
    from rdkit.Chem import Mol

FRAGMENT_JOINT = "~"
"""Joins the fragments of one species on a side of a reaction."""

MORGAN_RADIUS, MORGAN_BITS = 2, 2048
LONGEST = 4000
"""Characters of a structure that is looked at; longer ones count as invalid. Models write hundreds."""


def molecule_of(text: str) -> Mol | None:
    """The structure that a SMILES (or a side of a reaction) describes, or None when RDKit refuses it.

    An empty text is no molecule, although RDKit would take it for one without atoms.
    """
    from rdkit import Chem, rdBase

    if not text.strip() or len(text) > LONGEST:
        return None
    # What a model writes is often no molecule; RDKit would log each of them.
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(text.strip().replace(FRAGMENT_JOINT, "."))


def canonical(smiles: str) -> str | None:
    """RDKit's canonical SMILES, stereo kept, or None."""
    from rdkit import Chem

    molecule = molecule_of(smiles)
    return None if molecule is None else str(Chem.MolToSmiles(molecule))


def canonical_side(side: str) -> str | None:
    """A side of a reaction with canonical species in sorted order, fragments of a species joined by `~`.

    None when any of its parts is no molecule.
    """
    species = []
    for text in side.strip().split("."):
        fragments = [canonical(part) for part in text.split(FRAGMENT_JOINT)]
        if any(part is None for part in fragments):
            return None
        species.append(FRAGMENT_JOINT.join(sorted(part for part in fragments if part is not None)))
    return ".".join(sorted(species))


def similarities(first: Mol, second: Mol) -> dict[str, float]:
    """Tanimoto similarity in [0, 1] of the MACCS keys, RDKit's path fingerprint and the Morgan fingerprint."""
    from rdkit import Chem, DataStructs
    from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=MORGAN_RADIUS, fpSize=MORGAN_BITS)
    makers: dict[str, Any] = {
        "maccs": rdMolDescriptors.GetMACCSKeysFingerprint,
        "rdk": Chem.RDKFingerprint,
        "morgan": morgan.GetFingerprint,
    }
    return {name: float(DataStructs.TanimotoSimilarity(make(first), make(second))) for name, make in makers.items()}


def molecule_scores(predictions: Sequence[str], references: Sequence[str], *, sides: bool = False) -> dict[str, float]:
    """Means over all pairs, each higher-is-better in [0, 1] but `levenshtein` (edits, lower is better).

    `maccs`, `rdk` and `morgan` count an invalid prediction as 0; under `…-valid` they are means over the valid ones
    alone, as MolT5's script gives them (which rewards a model for being invalid where it would be wrong).

    Args:
        sides: whether the texts are sides of reactions, whose species may come in any order.

    Raises:
        VlcliError: E610 when there are no pairs, or the two lists differ in length.
    """
    from rapidfuzz.distance import Levenshtein

    check_pairs(predictions, references)
    form = canonical_side if sides else canonical
    found: dict[str, list[float]] = {
        "validity": [],
        "exact": [],
        "levenshtein": [],
        "maccs": [],
        "rdk": [],
        "morgan": [],
    }
    valid: dict[str, list[float]] = {"maccs": [], "rdk": [], "morgan": []}
    for prediction, reference in zip(predictions, references, strict=True):
        written, right = form(prediction), form(reference)
        first, second = molecule_of(prediction), molecule_of(reference)
        found["validity"].append(float(first is not None))
        same = (
            written == right if written is not None and right is not None else prediction.strip() == reference.strip()
        )
        found["exact"].append(float(same))
        found["levenshtein"].append(float(Levenshtein.distance(prediction.strip(), reference.strip())))
        if first is None or second is None:
            for name in valid:
                found[name].append(0.0)
            continue
        for name, value in similarities(first, second).items():
            found[name].append(value)
            valid[name].append(value)
    scores = {name: mean(values) for name, values in found.items()}
    return scores | {f"{name}-valid": mean(values) for name, values in valid.items() if values}
