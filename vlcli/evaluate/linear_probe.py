"""Linear probe: logistic regression on frozen embeddings, its strength chosen on part of the training data only."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vlcli.errors import VlcliError
from vlcli.evaluate.classification import Floats, classification_metrics, majority_guess, true_label_ranks
from vlcli.evaluate.statistics import RESAMPLES, IntArray, Metric

STRENGTHS = tuple(float(c) for c in 10.0 ** np.arange(-4, 4.5, 1.0))
"""Inverse regularisation strengths C that are tried."""
MAX_ITERATIONS = 1000


def probe_metrics(
    train: Floats, train_targets: IntArray, test: Floats, test_targets: IntArray, labels: Sequence[str], *,
    validation: npt.NDArray[np.bool_] | None = None, strengths: Sequence[float] = STRENGTHS, seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[dict[str, Metric], dict[str, Any]]:  # fmt: skip
    """Fit on `train [N, D]`, measure on `test [M, D]`; the test part decides nothing.

    C is the one with the best accuracy on the validation part of the training data (`validation [N]` marks it; else a
    stratified fifth is drawn), then the probe is fitted again on all training data. Standardisation is fitted on what
    the probe is fitted on.

    Raises:
        VlcliError: E301 when the training part has fewer than two labels.
    """
    if len(np.unique(train_targets)) < 2:
        raise VlcliError("E301", "", "a linear probe needs two labels or more in its training part",
                         "check the label column and the splits")  # fmt: skip
    held_out = draw_validation(train_targets, seed) if validation is None else validation
    tried = {}
    for strength in strengths:
        probe = fit_probe(train[~held_out], train_targets[~held_out], strength, seed)
        tried[strength] = float((probe.predict(train[held_out]) == train_targets[held_out]).mean())
    # The strongest regularisation among equals.
    best = min(tried, key=lambda strength: (-tried[strength], strength))
    probe = fit_probe(train, train_targets, best, seed)
    scores = np.full((len(test), len(labels)), -np.inf)
    decisions = probe.decision_function(test)
    if decisions.ndim == 1:
        decisions = np.stack([-decisions, decisions], axis=1)
    scores[:, probe.classes_] = decisions
    # A label that the training part lacks can not be given; -inf would make every comparison with it undefined.
    scores[np.isneginf(scores)] = decisions.min(initial=0.0) - 1.0
    metrics, details = classification_metrics(
        true_label_ranks(scores, test_targets), scores, test_targets, labels,
        guess=majority_guess(train_targets, len(labels)), seed=seed, resamples=resamples,
    )  # fmt: skip
    chosen = {"C": best, "validation_accuracy": tried, "train": len(train), "validation": int(held_out.sum())}
    return metrics, {**details, "probe": chosen}


def draw_validation(targets: IntArray, seed: int, share: float = 0.2) -> npt.NDArray[np.bool_]:
    """A stratified part of the rows; every label keeps at least one row outside it.

    Raises:
        VlcliError: E302 when no label has two rows.
    """
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(targets), bool)
    for label in np.unique(targets):
        rows = generator.permutation(np.flatnonzero(targets == label))
        chosen[rows[: min(len(rows) - 1, max(1, round(share * len(rows))))]] = True
    if not chosen.any():
        raise VlcliError("E302", "", "every label has one example only, so nothing is left to choose the probe on",
                         "give two examples or more per label")  # fmt: skip
    return chosen


def fit_probe(features: Floats, targets: IntArray, strength: float, seed: int) -> Any:
    """A scikit-learn pipeline: standardisation, then multinomial logistic regression with the given C."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=MAX_ITERATIONS, random_state=seed))
    with warnings.catch_warnings():
        # A weakly regularised candidate on separable data never converges; validation decides whether it is good.
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe.fit(features, targets)
    return probe
