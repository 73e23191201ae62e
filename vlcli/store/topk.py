"""Exact nearest neighbours in one pass over blocks of vectors, with bounded memory and reproducible answers.

A matrix product in float32 gives scores whose last bits depend on the shape of the block and the BLAS kernel. They are
used only to discard: what could still be among the best, given a rigorous bound on that product's error, is scored
again in float64 row by row, where the result depends on the row alone. Equal scores are ordered by row number. So the
answer is the same with and without the cache, filtered or not, for one query or many, whatever the blocks.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Block = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Row numbers `[B]` (unique over all blocks; -1 for a row that is none) and their vectors `[B, D]`."""

# Many candidates at once mean that the threshold is still low: then the block's own k-th best is worth its price.
_CROWDED = 1024
# One large product instead of many small ones: BLAS threads meet once at its end, and on a busy machine each meeting
# may cost a time slice. The product's result stays below this many bytes.
_SCORE_BYTES = 32 << 20
_PRODUCT_ROWS = 1 << 18
# Scores are looked through in steps, so that the threshold found in one discards most of the next.
_STEP = 8192
# Copying the rows that pass a filter costs about as much as scoring four times as many where they lie.
_COPY_BELOW = 0.25
_COPY_ROWS = 1 << 15
_LOWEST = -2.0  # below every cosine, above -inf


class TopK:
    """The best `top` rows for each of Q queries `[Q, D]`, fed block by block.

    Args:
        queries: `[Q, D]` float32, unit norm.
        top: how many to keep for each query.
    """

    def __init__(self, queries: NDArray[np.float32], top: int) -> None:
        self.queries = np.ascontiguousarray(queries, dtype=np.float32)
        self.exact_queries = self.queries.astype(np.float64)
        self.top = top
        count, dim = self.queries.shape
        # |float32 product - exact| <= D·u·Σ|a||b|, u = 2^-24, Σ <= the norms' product, here 1; a tenth for the norms.
        self.slack = 1.1 * (dim + 2) * 2.0**-24
        self.scores = [np.empty(0) for _ in range(count)]
        self.rows = [np.empty(0, dtype=np.int64) for _ in range(count)]
        self.threshold = np.full(count, -np.inf)

    def feed(self, rows: NDArray[np.int64], block: NDArray[np.float32], keep: NDArray[np.bool_] | None = None) -> None:
        """Take a block into account: row numbers `[B]`, vectors `[B, D]`, and which rows count (None: all)."""
        passing = len(rows) if keep is None else int(np.count_nonzero(keep))
        if keep is not None and passing < _COPY_BELOW * len(rows):
            for start in range(0, len(rows) if passing else 0, _COPY_ROWS):
                part = slice(start, start + _COPY_ROWS)
                if keep[part].any():
                    self._score(rows[part][keep[part]], block[part][keep[part]], None)
            return
        if passing == len(rows):
            keep = None
        piece = min(_PRODUCT_ROWS, max(_STEP, _SCORE_BYTES // (4 * len(self.queries))))
        for start in range(0, len(rows), piece):
            part = slice(start, start + piece)
            self._score(rows[part], block[part], None if keep is None else keep[part])

    def _score(self, rows: NDArray[np.int64], block: NDArray[np.float32], keep: NDArray[np.bool_] | None) -> None:
        scores = self.queries @ block.T if len(self.queries) > 1 else (block @ self.queries[0])[np.newaxis]
        if keep is not None:
            scores += np.where(keep, np.float32(0), np.float32(-np.inf))
        for start in range(0, len(rows), _STEP):
            part = slice(start, start + _STEP)
            self._select(rows[part], block[part], scores[:, part])

    def _select(self, rows: NDArray[np.int64], block: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
        """Merge what may be among the best; a score of -inf marks a row that does not count."""
        bars = self.threshold - self.slack
        for query in np.nonzero(scores.max(axis=1) >= bars)[0]:
            line = scores[query]
            candidates = np.nonzero(line >= np.maximum(bars[query], _LOWEST))[0]
            if len(candidates) > max(_CROWDED, 4 * self.top):
                kth = np.partition(line[candidates], -self.top)[-self.top]
                candidates = candidates[line[candidates] >= kth - 2 * self.slack]
            if len(candidates):
                self._merge(int(query), rows[candidates], block[candidates])

    def offer(self, query: int, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Take candidates for one query into account: row numbers `[C]`, not yet seen, and their vectors `[C, D]`."""
        if len(rows):
            self._merge(query, rows, vectors)

    def _merge(self, query: int, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        scores = np.concatenate([self.scores[query], exact_scores(vectors, self.exact_queries[query])])
        numbers = np.concatenate([self.rows[query], rows])
        order = np.lexsort((numbers, -scores))[: self.top]
        self.scores[query], self.rows[query] = scores[order], numbers[order]
        if len(order) == self.top:
            self.threshold[query] = self.scores[query][-1]


def exact_scores(vectors: NDArray[np.float32], query: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dot products `[B]` in float64; each depends on its own row alone (no BLAS, whose tiling would show)."""
    parts = [(vectors[start : start + 4096] * query).sum(axis=1) for start in range(0, len(vectors), 4096)]
    return np.concatenate(parts) if parts else np.empty(0)


def top_rows(
    blocks: Iterable[Block],
    queries: NDArray[np.float32],
    top: int,
    allowed: NDArray[np.int64] | None = None,
    excluded: NDArray[np.int64] | None = None,
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Row numbers and scores of the best `top` rows for each query, best first.

    Args:
        blocks: all rows, in any order and any block size.
        queries: `[Q, D]` float32, unit norm.
        top: at most this many for each query.
        allowed: rising row numbers that may be answered; None for all.
        excluded: row numbers that may not be answered.
    """
    best = TopK(queries, top)
    for rows, block in blocks:
        if not len(rows):
            continue
        keep = None
        if allowed is not None:
            near = allowed[np.searchsorted(allowed, rows.min()) : np.searchsorted(allowed, rows.max(), side="right")]
            keep = np.isin(rows, near)
        if excluded is not None and len(excluded):
            keep = ~np.isin(rows, excluded) if keep is None else keep & ~np.isin(rows, excluded)
        if rows.min() < 0:
            keep = rows >= 0 if keep is None else keep & (rows >= 0)
        best.feed(rows, block, keep)
    return list(zip(best.rows, best.scores, strict=True))
