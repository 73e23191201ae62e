"""Batches of nearly equal length under a token budget, and the recognition of out-of-memory errors."""

from __future__ import annotations

from collections.abc import Sequence

from vlcli.runtime.memory import is_out_of_memory

__all__ = ["is_out_of_memory", "length_batches"]

# A forward pass costs, beside its tokens, as much as about so many of them (MiniLM on a CPU).
BATCH_COST = 64


def length_batches(lengths: Sequence[int], batch_size: int, max_tokens: int | None) -> list[list[int]]:
    """Indices grouped into batches, longest first.

    Args:
        lengths: cost of each item.
        batch_size: at most so many items a batch.
        max_tokens: at most so many padded tokens (longest item times number of items), except that a single item is
            never refused.

    Items of equal length keep their order, so that equal inputs give equal batches. The longest come first: if memory
    does not suffice, that shows at once and not at the end. A batch also ends where an eighth of it would be padding,
    unless that is less than a further batch costs.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batches: list[list[int]] = []
    useful = 0
    for index in order:
        current = batches[-1] if batches else []
        longest = lengths[current[0]] if current else 0
        padded = longest * (len(current) + 1)
        padding = padded - useful - lengths[index]
        fits = max_tokens is None or padded <= max_tokens
        dense = padding <= max(BATCH_COST, padded // 8)
        if current and len(current) < batch_size and fits and dense:
            current.append(index)
            useful += lengths[index]
        else:
            batches.append([index])
            useful = lengths[index]
    return batches
