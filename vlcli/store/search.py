"""Exact search over a store, each answer verified against the vectors' checksums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.store.catalog import StoredItem
from vlcli.store.topk import Block, exact_scores, top_rows
from vlcli.store.types import Hit, Item
from vlcli.store.vectors import as_matrix, check_queries, checksum

if TYPE_CHECKING:
    from vlcli.store.base import BaseStore


def search_exact(
    store: BaseStore, vectors: NDArray[np.float32], top: int, where: str | None, modality: str | None
) -> list[list[Hit]]:
    """See `BaseStore.search`."""
    if top < 1:
        raise VlcliError("U304", "--top", f"{top} is not a positive number")
    queries = check_queries(vectors, store.info.dim, store.path)
    with store.reading() as state:
        allowed = store.catalog.filter(where, modality)
        excluded = store.catalog.stale_numbers()
        if not len(queries) or (allowed is not None and not len(allowed)):
            return [[] for _ in queries]
        for attempt in range(2):
            found = top_rows(store.blocks(state, attempt > 0), queries, top, allowed, excluded)
            stored = store.catalog.stored(sorted({int(n) for rows, _ in found for n in rows}))
            if confirmed(store, queries, found, stored):
                break
        else:
            raise VlcliError("S111", str(store.path), "its vectors differ each time they are read",
                             "run `vlcli store check`")  # fmt: skip
    # A stored vector's norm may exceed 1 by a rounding error; a cosine may not.
    return [
        [
            as_hit(rank, max(-1.0, min(1.0, score)), stored[n].item)
            for rank, (n, score) in enumerate(zip(*pair, strict=True), 1)
        ]
        for pair in ((rows.tolist(), scores.tolist()) for rows, scores in found)
    ]


def confirmed(
    store: BaseStore,
    queries: NDArray[np.float32],
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]],
    stored: dict[int, StoredItem],
) -> bool:
    """Whether the answers' scores are those of the vectors in the table, whose checksums are verified here.

    Raises:
        VlcliError: S111 when a vector does not have its checksum.
    """
    raw = verified(store, stored)
    exact = queries.astype(np.float64)
    for query, (rows, scores) in enumerate(found):
        numbers = rows.tolist()
        if any(n not in raw for n in numbers):
            return False
        vectors = as_matrix([raw[n] for n in numbers], store.info.dim)
        if not np.array_equal(exact_scores(vectors, exact[query]), scores):
            return False
    return True


def verified(store: BaseStore, stored: dict[int, StoredItem]) -> dict[int, bytes]:
    """The bytes of these items' vectors.

    Raises:
        VlcliError: S111 when one is missing or does not have its checksum.
    """
    raw = store.table.read(list(stored))
    for n, kept in stored.items():
        if n not in raw or checksum(kept.item.id, raw[n]) != kept.checksum:
            raise damaged(store, kept.item.id)
    return raw


def table_blocks(store: BaseStore, verify: bool) -> Iterator[Block]:
    """The table's rows as blocks; with `verify` each is compared with its checksum.

    Raises:
        VlcliError: S111 for a vector of a wrong length, or whose checksum is wrong.
    """
    checks = store.catalog.checksums() if verify else {}
    for numbers, blobs in store.table.blocks():
        for n, blob in zip(numbers, blobs, strict=True):
            wrong_sum = verify and (n not in checks or checksum(checks[n][0], blob) != checks[n][1])
            if wrong_sum or len(blob) != 4 * store.info.dim:
                stored = store.catalog.stored([n])
                raise damaged(store, stored[n].item.id if n in stored else f"number {n}")
        yield np.array(numbers, dtype=np.int64), as_matrix(blobs, store.info.dim)


def damaged(store: BaseStore, id: str) -> VlcliError:
    """The error for a vector that is not what was stored."""
    return VlcliError("S111", str(store.path), f"the stored vector of '{id}' is damaged",
                      "run `vlcli store repair`, then embed again")  # fmt: skip


def as_hit(rank: int, score: float, item: Item) -> Hit:
    """An item as an answer."""
    return Hit(rank, score, item.id, item.path, item.modality, item.metadata, item.text)
