"""What zero-shot, linear probe and k nearest neighbours share: accuracy, top-5, macro accuracy, confusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlcli.evaluate.retrieval import TIE_TOLERANCE, Ranks, hit_probability
from vlcli.evaluate.statistics import (
    RESAMPLES,
    IntArray,
    Metric,
    Statistic,
    mean_of_groups,
    measure,
    proportion_bounds,
    ratio,
)

Floats = npt.NDArray[np.float32]


def true_label_ranks(scores: npt.NDArray[Any], targets: IntArray, tolerance: float = TIE_TOLERANCE) -> Ranks:
    """Where the true label of each item stands among the classes, with ties, from scores `[N, C]`."""
    own = scores[np.arange(len(targets)), targets][:, None]
    greater = (scores > own + tolerance).sum(axis=1).astype(np.int64)
    tied = (np.abs(scores - own) <= tolerance).sum(axis=1).astype(np.int64) - 1
    one = np.ones(len(targets), np.int64)
    return Ranks(greater, tied, one, one, scores.shape[1])


def classification_metrics(
    ranks: Ranks, scores: npt.NDArray[Any], targets: IntArray, labels: Sequence[str], *, guess: npt.NDArray[np.float64],
    seed: int = 0, resamples: int = RESAMPLES,
) -> tuple[dict[str, Metric], dict[str, Any]]:  # fmt: skip
    """Accuracy, top-5 accuracy (with more than 5 classes) and macro accuracy over items; the details hold per-class
    accuracy and the confusion matrix (rows: true label, columns: given label).

    Args:
        ranks: from `true_label_ranks`. scores: `[N, C]`. targets: `[N]`.
        guess: `[C]`, how often the best guess without the features gives each label; decides the chance levels.
    """
    n_classes = len(labels)
    ones = np.ones(len(targets))
    frequency = np.bincount(targets, minlength=n_classes) / max(len(targets), 1)
    hits = hit_probability(ranks, 1)
    statistics: dict[str, Statistic] = {"accuracy": ratio(hits, ones)}
    chance: dict[str, float | None] = {"accuracy": float(frequency @ guess)}
    if n_classes > 5:
        statistics["top5"] = ratio(hit_probability(ranks, 5), ones)
        chance["top5"] = float(frequency @ _first_five(guess))
    present = np.flatnonzero(frequency)
    statistics["macro_accuracy"] = mean_of_groups(hits, targets, n_classes)
    chance["macro_accuracy"] = float(guess[present].mean()) if len(present) else None
    metrics = measure(statistics, len(targets), chance=chance, proportions=["accuracy", "top5"][: len(statistics) - 1],
                      resamples=resamples, seed=seed)  # fmt: skip
    macro = metrics["macro_accuracy"]
    exact = proportion_bounds(macro.value, len(targets)) if resamples else None
    if exact is not None:
        metrics["macro_accuracy"] = Metric(macro.value, exact, macro.chance)
    given = scores.argmax(axis=1)
    confusion = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(confusion, (targets, given), 1)
    per_class = {
        labels[int(c)]: {"n": int((targets == c).sum()), "accuracy": float(hits[targets == c].mean())} for c in present
    }
    return metrics, {"labels": list(labels), "per_class": per_class, "confusion": confusion.tolist()}


def _first_five(guess: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probability that each label is among five guessed ones: the five most frequent, equal ones in random order."""
    found = np.zeros(len(guess))
    left = 5.0
    for value in np.unique(guess)[::-1]:
        tied = np.flatnonzero(guess == value)
        found[tied] = min(1.0, left / len(tied))
        left -= min(left, len(tied))
    return found


def majority_guess(train_targets: IntArray, n_classes: int) -> npt.NDArray[np.float64]:
    """The best guess without features: always the most frequent label of the training part (equal ones share)."""
    counts = np.bincount(train_targets, minlength=n_classes)
    best = counts == counts.max()
    found: npt.NDArray[np.float64] = best / best.sum()
    return found
