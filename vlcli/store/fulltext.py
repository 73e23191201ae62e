"""Full-text search over items' text and path (FTS5, BM25)."""

from __future__ import annotations

import re
from collections.abc import Collection

from vlcli.errors import VlcliError
from vlcli.store.catalog import Catalog


def search(
    catalog: Catalog, query: str, top: int, where: str | None, modality: str | None,
    ids: Collection[str] | None = None,
) -> list[tuple[int, float]]:  # fmt: skip
    """Numbers and scores (-BM25) of the items that hold all words, best first.

    Raises:
        VlcliError: U304/U305 for a `top` that is not positive, or a query without a word.
    """
    if top < 1:
        raise VlcliError("U304", "--top", f"{top} is not a positive number")
    match = match_expression(query)
    allowed = catalog.filter(where, modality, ids)
    rows = catalog.connection.execute(
        "SELECT rowid, -bm25(fulltext) FROM fulltext WHERE fulltext MATCH ? AND rowid NOT IN (SELECT n FROM stale) "
        "ORDER BY bm25(fulltext), rowid" + (" LIMIT ?" if allowed is None else ""),
        (match, top) if allowed is None else (match,),
    )
    if allowed is None:
        return [(int(n), float(score)) for n, score in rows]
    wanted = set(allowed.tolist())
    return [(int(n), float(score)) for n, score in rows if n in wanted][:top]


def match_expression(query: str) -> str:
    """Plain words as an FTS5 expression: all must occur; `word*` is a prefix. Nothing else has a meaning."""
    words = re.findall(r"\w+\*?", query.encode("utf-8", "replace").decode())
    if not words:
        raise VlcliError("U305", "", f"the query '{query}' holds no word", "give at least one word")
    return " ".join(f'"{word[:-1]}"*' if word.endswith("*") else f'"{word}"' for word in words)
