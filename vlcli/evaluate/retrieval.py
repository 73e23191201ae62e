"""Retrieval between two sets of embeddings: recall at K, median rank, mean reciprocal rank, in both directions.

Candidates that score the same as the right one share its place: each measure is the expectation over a random order
of equal scores. A space that gives every input the same vector therefore scores exactly chance, and the chance levels
reported here are computed by the same formula, with all candidates equal. `ties="pessimistic"` puts the right one last
among its equals instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from vlcli.errors import VlcliError
from vlcli.evaluate.statistics import (
    RESAMPLES,
    Array,
    IntArray,
    Metric,
    bootstrap,
    mean_of_rows,
    measure,
    median_of_rows,
)

Floats = npt.NDArray[np.float32]
Ties = Literal["expected", "pessimistic"]

TIE_TOLERANCE = 1e-6
"""Cosines nearer than this are equal: float32 products of unit vectors differ by 1e-7 between batch shapes."""
BLOCK_ELEMENTS = 4_000_000
"""Most similarities held at once (16 MB, and as much again for each comparison), whatever the size of the two sets."""


@dataclass(frozen=True)
class Ranks:
    """Where the best right candidate of each query stands, `[Q]` each.

    Attributes:
        greater: wrong candidates that score higher.
        tied_wrong: wrong candidates that score the same.
        tied_right: right candidates that score the same as the best right one, itself included.
        right: right candidates in all.
        candidates: all candidates.
    """

    greater: IntArray
    tied_wrong: IntArray
    tied_right: IntArray
    right: IntArray
    candidates: int

    def without_order(self) -> Ranks:
        """The same queries with all candidates equal: what guessing meets."""
        wrong = self.candidates - self.right
        return Ranks(np.zeros_like(wrong), wrong, self.right, self.right, self.candidates)


def rank(
    queries: Floats, candidates: Floats, query_groups: npt.ArrayLike, candidate_groups: npt.ArrayLike, *,
    tolerance: float = TIE_TOLERANCE, block_elements: int = BLOCK_ELEMENTS,
) -> Ranks:  # fmt: skip
    """Rank the candidates of each query; a candidate is right when its group equals the query's.

    Similarities are computed in blocks, never all at once.

    Args:
        queries: unit rows `[Q, D]`. candidates: unit rows `[C, D]`.
        query_groups: `[Q]` integers. candidate_groups: `[C]` integers.

    Raises:
        VlcliError: E111 when a query has no right candidate, E112 for embeddings that are not finite.
    """
    of_query, of_candidate = np.asarray(query_groups, np.int64), np.asarray(candidate_groups, np.int64)
    for name, vectors in (("query", queries), ("candidate", candidates)):
        if not np.isfinite(vectors).all():
            raise VlcliError("E112", "", f"a {name} embedding holds NaN or infinity", "check the space's weights")
    known, group_sizes = np.unique(of_candidate, return_counts=True)
    if not np.isin(of_query, known).all():
        raise VlcliError("E111", "", "a query has no right candidate, so it can not be scored")
    right = group_sizes[np.searchsorted(known, of_query)]
    greater, tied_wrong, tied_right = (np.zeros(len(queries), np.int64) for _ in range(3))
    by_group = np.argsort(of_candidate, kind="stable")
    starts = np.concatenate([[0], np.cumsum(group_sizes)])
    width = max(1, min(len(candidates), block_elements // 64))
    height = max(1, block_elements // width)
    for top in range(0, len(queries), height):
        rows = slice(top, min(top + height, len(queries)))
        best = _best_right(queries[rows], candidates, of_query[rows], known, by_group, starts)
        for left in range(0, len(candidates), width):
            columns = slice(left, min(left + width, len(candidates)))
            gap = queries[rows] @ candidates[columns].T - best[:, None]
            is_right = of_query[rows][:, None] == of_candidate[columns][None, :]
            level = np.abs(gap) <= tolerance
            greater[rows] += ((gap > tolerance) & ~is_right).sum(axis=1)
            tied_wrong[rows] += (level & ~is_right).sum(axis=1)
            tied_right[rows] += (level & is_right).sum(axis=1)
    return Ranks(greater, tied_wrong, np.maximum(tied_right, 1), right, len(candidates))


def _best_right(
    queries: Floats, candidates: Floats, groups: IntArray, known: IntArray, by_group: IntArray, starts: IntArray
) -> Floats:
    """The highest similarity of each query to a right candidate `[q]`."""
    place = np.searchsorted(known, groups)
    best = np.full(len(queries), -np.inf, np.float32)
    sizes = starts[place + 1] - starts[place]
    for offset in range(int(sizes.max(initial=0))):
        has = np.flatnonzero(sizes > offset)
        chosen = by_group[starts[place[has]] + offset]
        best[has] = np.maximum(best[has], np.einsum("qd,qd->q", queries[has], candidates[chosen]))
    return best


def hit_probability(ranks: Ranks, k: int, ties: Ties = "expected") -> Array:
    """Probability that a right candidate is among the first `k`, over random orders of equal scores `[Q]`."""
    if ties == "pessimistic":
        return (ranks.greater + ranks.tied_wrong < k).astype(np.float64)
    # Among w wrong and r right equal candidates, the first m hold no right one with probability C(w, m) / C(w + r, m)
    # = the product over j < r of (w + r - m - j) / (w + r - j).
    wrong, right = ranks.tied_wrong.astype(np.float64), ranks.tied_right.astype(np.float64)
    places = np.minimum(np.maximum(k - ranks.greater, 0), wrong + right)
    miss = np.ones(len(wrong))
    for j in range(int(right.max(initial=0))):
        factor = np.maximum(wrong + right - places - j, 0) / np.maximum(wrong + right - j, 1)
        miss = np.where(j < right, miss * factor, miss)
    return np.where(places > 0, 1 - miss, 0.0)


def expected_rank(ranks: Ranks, ties: Ties = "expected") -> Array:
    """Rank of the best right candidate, 1 is first `[Q]`; among w wrong and r right equals it is (w + r + 1) / (r + 1)
    on average."""
    if ties == "pessimistic":
        return (ranks.greater + ranks.tied_wrong + 1).astype(np.float64)
    equal = ranks.tied_wrong + ranks.tied_right + 1
    found: Array = ranks.greater + equal / (ranks.tied_right + 1)
    return found


def reciprocal_rank(ranks: Ranks, ties: Ties = "expected") -> Array:
    """1 / rank of the best right candidate, its expectation over random orders of equal scores `[Q]`."""
    if ties == "pessimistic":
        return 1.0 / (ranks.greater + ranks.tied_wrong + 1)
    kinds, inverse = np.unique(
        np.stack([ranks.greater, ranks.tied_wrong, ranks.tied_right]), axis=1, return_inverse=True
    )
    values = np.array([_mean_reciprocal(int(g), int(w), int(r)) for g, w, r in kinds.T])
    found: Array = values[inverse.reshape(-1)]
    return found


def _mean_reciprocal(greater: int, wrong: int, right: int) -> float:
    """E[1 / (greater + i)], i being the place of the first right one among `wrong + right` in random order."""
    places = np.arange(1, wrong + 2, dtype=np.float64)
    # P(first right at place i) = r / (n - i + 1) · product over j < i - 1 of (w - j) / (n - j)
    steps = (wrong - places[:-1] + 1) / (wrong + right - places[:-1] + 1)
    none_before = np.concatenate([[1.0], np.cumprod(steps)])
    first_here = none_before * right / (wrong + right - places + 1)
    return float((first_here / (greater + places)).sum())


def chance_median_rank(ranks: Ranks) -> float:
    """Median rank of the best right candidate when all orders are equally likely, over all queries: the smallest rank
    that half of the outcomes reach; the middle between two ranks where exactly half do."""
    guess = ranks.without_order()
    low, high = 1, ranks.candidates
    while low < high:
        middle = (low + high) // 2
        if hit_probability(guess, middle).mean() >= 0.5 - 1e-12:
            high = middle
        else:
            low = middle + 1
    exactly_half = abs(float(hit_probability(guess, low).mean()) - 0.5) < 1e-12
    return low + 0.5 if exactly_half else float(low)


def direction_metrics(
    ranks: Ranks, units: npt.ArrayLike, *, ks: Sequence[int] = (1, 5, 10), ties: Ties = "expected", seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Metric]:  # fmt: skip
    """`R@k`, `median_rank` and `mrr` of one direction, with intervals over units and exact chance.

    The candidates stay as they are: intervals tell how other queries of the same kind would fare among them.
    """
    owners = np.unique(np.asarray(units), return_inverse=True)[1]
    count = int(owners.max()) + 1 if len(owners) else 0
    guess = ranks.without_order()
    statistics = {f"R@{k}": mean_of_rows(hit_probability(ranks, k, ties), owners, count) for k in ks}
    chance: dict[str, float | None] = {f"R@{k}": float(hit_probability(guess, k).mean()) for k in ks}
    recalls = list(statistics)
    statistics["mrr"] = mean_of_rows(reciprocal_rank(ranks, ties), owners, count)
    chance["mrr"] = float(reciprocal_rank(guess).mean())
    metrics = measure(statistics, count, chance=chance, proportions=recalls, resamples=resamples, seed=seed)
    median = median_of_rows(expected_rank(ranks, ties), owners, count)
    # The jackknife does not estimate a median's variance, so its interval is the percentile one.
    interval = bootstrap(median, count, resamples=resamples, seed=seed, method="percentile") if resamples else None
    value = float(median(np.ones((1, count)))[0])
    metrics["median_rank"] = Metric(value, interval, chance_median_rank(ranks), higher_is_better=False)
    return metrics


def retrieval_metrics(
    texts: Floats, items: Floats, owners: npt.ArrayLike, *, text_name: str = "text", item_name: str = "items",
    ks: Sequence[int] = (1, 5, 10), ties: Ties = "expected", seed: int = 0, resamples: int = RESAMPLES,
) -> dict[str, Metric]:  # fmt: skip
    """Both directions between items and the texts that describe them, several texts per item allowed.

    Args:
        texts: unit rows `[M, D]`. items: unit rows `[N, D]`.
        owners: `[M]`, the item that each text describes. Items without a text are candidates only.

    Returns:
        `text_to_ITEMS/R@1 …` (each text is a query among all items) and `ITEMS_to_text/R@1 …` (each item with a text
        is a query among all texts; any of its own is right), `median_rank` and `mrr` of both. Intervals are over items.

    Raises:
        VlcliError: E101 when there is no text or no item.
    """
    owner = np.asarray(owners, np.int64)
    if not len(texts) or not len(items):
        raise VlcliError("E101", "", "there is nothing to measure: no item with a text was left",
                         "look at the refusals above")  # fmt: skip
    numbers = np.arange(len(items))
    described = np.unique(owner)
    forward = rank(texts, items, owner, numbers)
    backward = rank(items[described], texts, described, owner)
    found = {}
    for label, ranks, units in ((f"{text_name}_to_{item_name}", forward, owner),
                                (f"{item_name}_to_{text_name}", backward, described)):  # fmt: skip
        of_direction = direction_metrics(ranks, units, ks=ks, ties=ties, seed=seed, resamples=resamples)
        found.update({f"{label}/{name}": metric for name, metric in of_direction.items()})
    return found
