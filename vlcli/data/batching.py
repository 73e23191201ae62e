"""Batches of nearly equal cost: sorted by length inside a window, limited by padded tokens and by items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def length_batches(lengths: Sequence[int], *, max_items: int, max_tokens: int | None = None) -> list[list[int]]:
    """Indices of items, shortest first, cut into batches.

    Args:
        lengths: cost of each item, at least 1.
        max_items: most items in a batch.
        max_tokens: most padded tokens in a batch (items × the longest of them). A single item above it is a batch of
            its own: it can not be split.

    Returns:
        batches that together hold each index once; equal lengths keep their order.

    Raises:
        ValueError: when a limit is below 1.
    """
    if max_items < 1 or (max_tokens is not None and max_tokens < 1):
        raise ValueError("a batch must be allowed to hold at least one item and one token")
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batches: list[list[int]] = []
    current: list[int] = []
    for index in order:
        # Sorted, so this item is the longest of its batch.
        too_many = len(current) >= max_items
        too_long = max_tokens is not None and bool(current) and (len(current) + 1) * lengths[index] > max_tokens
        if too_many or too_long:
            batches.append(current)
            current = []
        current.append(index)
    if current:
        batches.append(current)
    return batches


def windows(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Consecutive lists of at most `size` items; the last may be shorter.

    Raises:
        ValueError: when `size` is below 1.
    """
    if size < 1:
        raise ValueError("a window must hold at least one item")
    iterator = iter(items)
    while window := list(islice(iterator, size)):
        yield window


def token_batches(
    items: Iterable[Item],
    length: Callable[[Item], int],
    *,
    max_items: int,
    max_tokens: int | None = None,
    window: int = 1024,
) -> Iterator[list[Item]]:
    """Batches from a stream: each window of it is sorted by length and cut by `length_batches`."""
    for chunk in windows(items, window):
        for batch in length_batches([length(item) for item in chunk], max_items=max_items, max_tokens=max_tokens):
            yield [chunk[index] for index in batch]


def padding_ratio(lengths: Sequence[int], batches: Iterable[Sequence[int]]) -> float:
    """Padded tokens for each useful token; 1.0 is no padding."""
    useful = sum(lengths)
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches if batch)
    return padded / useful if useful else 1.0
