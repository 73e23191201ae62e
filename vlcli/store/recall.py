"""How much of the exact answer the approximate index finds, measured on the store's own items."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlcli.store.base import BaseStore


def measured_recall(store: BaseStore, probes: int, top: int) -> float:
    """Share of the exact `top` neighbours that the index finds, over a sample of items, themselves left out.

    Args:
        store: open, with an index.
        probes: how many items to ask for.
        top: neighbours of each.
    """
    ids = [item.id for item in store.items()]
    chosen = random.Random(0).sample(ids, min(probes, len(ids)))
    if not chosen:
        return 1.0
    vectors = store.vectors(chosen)
    exact = store.search(vectors, top + 1)
    found = [store.search(vector, top + 1, approximate=True)[0] for vector in vectors]
    shares = []
    for id, wanted, got in zip(chosen, exact, found, strict=True):
        neighbours = {hit.id for hit in wanted if hit.id != id}
        shares.append(len(neighbours & {hit.id for hit in got}) / len(neighbours) if neighbours else 1.0)
    return sum(shares) / len(shares)
