"""Sparse count features of a molecule: Morgan environments, topological torsions, atom pairs and descriptors."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rdkit import Chem

# What each kind of feature is salted with, so that equal numbers of two kinds fall into different buckets.
SALTS = {"morgan": 1, "chiral": 2, "torsion": 3, "pair": 4, "descriptor": 5}
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@cache
def generators() -> dict[str, Any]:
    """RDKit's generators of count fingerprints.

    Morgan: Rogers and Hahn 2010 (radius 3; with chirality radius 2); torsions: Nilakantan 1987; pairs: Carhart 1985, up
    to 6 bonds apart.
    """
    from rdkit.Chem import rdFingerprintGenerator as kinds

    return {
        "morgan": kinds.GetMorganGenerator(radius=3),
        "chiral": kinds.GetMorganGenerator(radius=2, includeChirality=True),
        "torsion": kinds.GetTopologicalTorsionGenerator(),
        "pair": kinds.GetAtomPairGenerator(maxDistance=6),
    }


def sparse_features(mol: Chem.Mol, buckets: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Bucket of each feature `[T]` (1 … buckets - 1; 0 is for padding) and its weight `[T]`, `log(1 + count)`."""
    ids: list[NDArray[np.uint64]] = []
    counts: list[NDArray[np.float32]] = []
    for name, generator in generators().items():
        found = generator.GetSparseCountFingerprint(mol).GetNonzeroElements()
        ids.append(hashed(np.fromiter(found.keys(), np.uint64, len(found)), SALTS[name]))
        counts.append(np.fromiter(found.values(), np.float32, len(found)))
    described = descriptors(mol)
    ids.append(hashed(np.arange(len(described), dtype=np.uint64), SALTS["descriptor"]))
    counts.append(np.array(described, np.float32))
    rows = (np.concatenate(ids) % np.uint64(buckets - 1)).astype(np.int32) + 1
    weights = np.log1p(np.concatenate(counts))
    kept = weights > 0
    return rows[kept], weights[kept].astype(np.float32)


def hashed(values: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """Well-mixed numbers (splitmix64's finaliser)."""
    with np.errstate(over="ignore"):
        mixed = (values + np.uint64(salt)) * MULTIPLIER + np.uint64(salt) * np.uint64(0xD1B54A32D192ED03)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return result


def descriptors(mol: Chem.Mol) -> list[float]:
    """Counts that no local environment tells: atoms of each kind, rings, charges, parts, stereocentres, bonds."""
    from rdkit.Chem import GetMolFrags, rdMolDescriptors

    elements = [0.0] * 119
    positive = negative = 0
    for atom in mol.GetAtoms():
        elements[atom.GetAtomicNum()] += 1
        positive += max(atom.GetFormalCharge(), 0)
        negative -= min(atom.GetFormalCharge(), 0)
    whole = [
        mol.GetNumHeavyAtoms(), rdMolDescriptors.CalcNumRings(mol), rdMolDescriptors.CalcNumAromaticRings(mol),
        rdMolDescriptors.CalcNumHeteroatoms(mol), rdMolDescriptors.CalcNumRotatableBonds(mol),
        rdMolDescriptors.CalcNumHBD(mol), rdMolDescriptors.CalcNumHBA(mol), positive, negative,
        len(GetMolFrags(mol)), rdMolDescriptors.CalcNumAtomStereoCenters(mol),
        sum(atom.GetTotalNumHs() for atom in mol.GetAtoms()),
    ]  # fmt: skip
    return [*elements, *map(float, whole)]
