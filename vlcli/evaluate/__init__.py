"""Measuring: retrieval, zero-shot, probes, statistics and claims.

The public names are loaded when they are used, so that naming one of them does not import all of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlcli.evaluate.knn import knn_metrics
    from vlcli.evaluate.linear_probe import probe_metrics
    from vlcli.evaluate.registered import registered_metrics
    from vlcli.evaluate.retrieval import retrieval_metrics
    from vlcli.evaluate.run import EvalResult, evaluate_space
    from vlcli.evaluate.statistics import Metric, bootstrap, over_seeds, paired_difference
    from vlcli.evaluate.zero_shot import Classified, classify_sources, label_embeddings, zero_shot_metrics

_PLACES = {
    "Classified": "zero_shot", "EvalResult": "run", "Metric": "statistics", "bootstrap": "statistics",
    "classify_sources": "zero_shot", "evaluate_space": "run", "knn_metrics": "knn", "label_embeddings": "zero_shot",
    "over_seeds": "statistics", "paired_difference": "statistics", "probe_metrics": "linear_probe",
    "registered_metrics": "registered", "retrieval_metrics": "retrieval", "zero_shot_metrics": "zero_shot",
}  # fmt: skip

__all__ = [
    "Classified", "EvalResult", "Metric", "bootstrap", "classify_sources", "evaluate_space", "knn_metrics",
    "label_embeddings", "over_seeds", "paired_difference", "probe_metrics", "registered_metrics", "retrieval_metrics",
    "zero_shot_metrics",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'vlcli.evaluate' has no attribute '{name}'")
    return getattr(importlib.import_module(f"vlcli.evaluate.{_PLACES[name]}"), name)
