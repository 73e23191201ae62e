"""Search over a store, exact or approximate, each answer verified against the vectors' checksums."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.store.ann import LARGEST_TOP, IndexUnusable, search_index
from vlcli.store.catalog import State, StoredItem
from vlcli.store.rows import verified
from vlcli.store.topk import exact_scores, top_rows
from vlcli.store.types import Hit, Item, Searched
from vlcli.store.vectors import as_matrix, check_queries

if TYPE_CHECKING:
    from vlcli.store.base import BaseStore


SEARCH_SETTING = "search"
"""The setting that says how to search when nothing is asked for: `ann`, or empty."""


def default_search(store: BaseStore) -> str:
    """How `search` searches when it is not told: `exact` or `ann`."""
    return store.catalog.setting(SEARCH_SETTING) or "exact"


def set_default_search(store: BaseStore, kind: str) -> None:
    """Choose that, in one durable commit of a store that is open for writing."""
    with store.catalog.commit(store.table.version):
        store.catalog.set(SEARCH_SETTING, "" if kind == "exact" else kind)


def search_vectors(
    store: BaseStore, vectors: NDArray[np.float32], top: int, where: str | None, modality: str | None,
    ids: Collection[str] | None = None, approximate: bool | None = False,
) -> list[list[Hit]]:  # fmt: skip
    """See `BaseStore.search`."""
    if top < 1:
        raise VlcliError("U304", "--top", f"{top} is not a positive number")
    queries = check_queries(vectors, store.info.dim, store.path)
    with store.reading() as state:
        store.searched = Searched("exact")
        allowed = store.catalog.filter(where, modality, ids)
        excluded = store.catalog.stale_numbers()
        if not len(queries) or (allowed is not None and not len(allowed)):
            return [[] for _ in queries]
        if approximate if approximate is not None else default_search(store) == "ann":
            near = search_near(store, state, queries, top, allowed, excluded, asked=approximate is not None)
            if near is not None:
                return near
        for attempt in range(2):
            found = top_rows(store.blocks(state, attempt > 0), queries, top, allowed, excluded)
            stored = store.catalog.stored(sorted({int(n) for rows, _ in found for n in rows}))
            if confirmed(store, queries, found, stored):
                break
        else:
            raise VlcliError("S111", str(store.path), "its vectors differ each time they are read",
                             "run `vlcli store check`")  # fmt: skip
    return as_hits(found, stored)


def search_near(
    store: BaseStore,
    state: State,
    queries: NDArray[np.float32],
    top: int,
    allowed: NDArray[np.int64] | None,
    excluded: NDArray[np.int64],
    asked: bool,
) -> list[list[Hit]] | None:
    """The answers of the approximate index, or None with `store.searched` telling why the search must be exact.

    Args:
        asked: whether the caller asked for it; a library that is not installed is then an error, not a note.
    """
    try:
        if allowed is not None:
            raise IndexUnusable("a filter is always searched exactly", remedy=False)
        if top > LARGEST_TOP:
            raise IndexUnusable(f"more than {LARGEST_TOP} results are searched exactly", remedy=False)
        found = search_index(store.ann.at(store.version_of(state), store), store, queries, top, excluded)
    except IndexUnusable as error:
        reason = f"the approximate index was not used: {error}"
        remedy = f"; to build it: vlcli store index {store.path} --kind ann" if error.remedy else ""
        store.searched = Searched("exact", reason + remedy if asked or error.remedy else "")
        return None
    except VlcliError as error:
        if asked or error.code != "P203":
            raise
        store.searched = Searched("exact", f"the approximate index was not used: {error.message}; {error.help}")
        return None
    if found is None:
        store.searched = Searched("exact", "the approximate index was not used: it gave too few candidates")
        return None
    stored = store.catalog.stored(sorted({int(n) for rows, _ in found for n in rows}))
    verified(store, stored)
    store.searched = Searched("approximate")
    return as_hits(found, stored)


def as_hits(
    found: list[tuple[NDArray[np.int64], NDArray[np.float64]]], stored: dict[int, StoredItem]
) -> list[list[Hit]]:
    """Row numbers and scores as answers. A stored vector's norm may exceed 1 by rounding; a cosine may not."""
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


def as_hit(rank: int, score: float, item: Item) -> Hit:
    """An item as an answer."""
    return Hit(rank, score, item.id, item.path, item.modality, item.metadata, item.text)
