"""k nearest neighbours on frozen embeddings: what the space's geometry knows, with nothing trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vlcli.evaluate.classification import Floats, classification_metrics, majority_guess, true_label_ranks
from vlcli.evaluate.statistics import RESAMPLES, IntArray, Metric

TEMPERATURE = 0.07
"""Neighbours vote with weight exp(cosine / 0.07), as in Wu et al. 2018, "Unsupervised Feature Learning via
Non-Parametric Instance Discrimination"."""


def knn_metrics(
    train: Floats, train_targets: IntArray, test: Floats, test_targets: IntArray, labels: Sequence[str], *, k: int = 20,
    seed: int = 0, resamples: int = RESAMPLES,
) -> tuple[dict[str, Metric], dict[str, Any]]:  # fmt: skip
    """Each item of `test [M, D]` takes the vote of its `k` nearest in `train [N, D]` (all, when there are fewer)."""
    used = min(k, len(train))
    scores = votes(train, train_targets, test, used, len(labels))
    metrics, details = classification_metrics(
        true_label_ranks(scores, test_targets), scores, test_targets, labels,
        guess=majority_guess(train_targets, len(labels)), seed=seed, resamples=resamples,
    )  # fmt: skip
    return metrics, {**details, "k": used, "train": len(train)}


def votes(train: Floats, targets: IntArray, test: Floats, k: int, n_classes: int) -> Floats:
    """Share of the neighbours' weight that each class gets `[M, C]`."""
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(train)
    distances, indices = neighbours.kneighbors(test)
    # Relative to the nearest neighbour, so that no weight overflows or vanishes.
    weights = np.exp(-(distances - distances[:, :1]) / TEMPERATURE)
    shares = np.zeros((len(test), n_classes), np.float32)
    np.add.at(shares, (np.arange(len(test))[:, None], targets[indices]), weights)
    found: Floats = shares / shares.sum(axis=1, keepdims=True)
    return found
