"""A probe of the embedding: do the nearest molecules of a molecule share its chemistry?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlcli.evaluate.knn import votes
from vlcli_molecules.molecule import Molecule

NEIGHBOURS = 10


def aromatic_knn(
    training: NDArray[np.float32], training_molecules: Sequence[Molecule], test: NDArray[np.float32],
    test_molecules: Sequence[Molecule],
) -> float | None:  # fmt: skip
    """Balanced accuracy with which 10 nearest training molecules tell aromatic from aliphatic ones (chance 0.5).

    Args:
        training, test: embeddings `[N, D]` and `[M, D]`, compared by cosine.

    Returns:
        the mean of the two classes' accuracies, or None when one class has no molecule on one side.
    """
    from sklearn.metrics import balanced_accuracy_score

    if not len(training) or not len(test):
        return None
    known = np.array([is_aromatic(molecule) for molecule in training_molecules], dtype=np.int64)
    truth = np.array([is_aromatic(molecule) for molecule in test_molecules], dtype=np.int64)
    if len(set(known.tolist())) < 2 or len(set(truth.tolist())) < 2:
        return None
    guesses = votes(training, known, test, min(NEIGHBOURS, len(training)), 2).argmax(1)
    return float(balanced_accuracy_score(truth, guesses))


def is_aromatic(molecule: Molecule) -> bool:
    """Whether it has an aromatic atom."""
    return any(atom.GetIsAromatic() for atom in molecule.mol.GetAtoms())
