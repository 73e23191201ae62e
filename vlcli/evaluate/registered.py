"""Metrics that plugins register: a function of similarities and right answers, one value a query.

A metric is `function(similarity [Q, N] float32, positives [Q, N] bool) -> [Q] float64`; higher similarity is nearer,
and every query has a right answer. It is called with blocks of queries against all candidates, so it must treat each
query by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vlcli.errors import VlcliError
from vlcli.evaluate.retrieval import BLOCK_ELEMENTS
from vlcli.evaluate.statistics import RESAMPLES, Array, Metric, mean_of_rows, measure

if TYPE_CHECKING:
    from vlcli.registry import Registry

Floats = npt.NDArray[np.float32]
QueryMetric = Callable[[Floats, npt.NDArray[np.bool_]], npt.ArrayLike]


def values_per_query(
    metric: QueryMetric, name: str, queries: Floats, candidates: Floats, query_groups: npt.ArrayLike,
    candidate_groups: npt.ArrayLike, *, block_elements: int = BLOCK_ELEMENTS,
) -> Array:  # fmt: skip
    """The metric's value for each query `[Q]`; a candidate is right when its group equals the query's.

    Raises:
        VlcliError: P211 when the metric gives anything but one finite number a query.
    """
    of_query, of_candidate = np.asarray(query_groups), np.asarray(candidate_groups)
    rows = max(1, block_elements // max(1, len(candidates)))
    found = []
    for start in range(0, len(queries), rows):
        block = slice(start, start + rows)
        similarity = queries[block] @ candidates.T
        values = np.asarray(metric(similarity, of_query[block][:, None] == of_candidate[None, :]), np.float64)
        if values.shape != (len(similarity),) or not np.isfinite(values).all():
            raise VlcliError("P211", name, f"this metric must give one finite number a query, {len(similarity)} here, "
                             f"not an array of shape {values.shape}", "tell the plugin's author")  # fmt: skip
        found.append(values)
    return np.concatenate(found) if found else np.zeros(0)


def registered_metrics(
    names: Sequence[str], registry: Registry, queries: Floats, candidates: Floats, query_groups: npt.ArrayLike,
    candidate_groups: npt.ArrayLike, units: npt.ArrayLike, *, seed: int = 0, resamples: int = RESAMPLES,
) -> dict[str, Metric]:  # fmt: skip
    """Means of registered metrics over queries, with intervals over units; chance is not known for them."""
    owners = np.unique(np.asarray(units), return_inverse=True)[1]
    count = int(owners.max()) + 1 if len(owners) else 0
    statistics = {}
    for name in names:
        metric = registry.load(registry.find("metric", name))
        values = values_per_query(metric, name, queries, candidates, query_groups, candidate_groups)
        statistics[name] = mean_of_rows(values, owners, count)
    return measure(statistics, count, resamples=resamples, seed=seed) if statistics else {}
