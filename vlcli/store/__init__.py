"""The store: an embedded, durable collection of embedded items with their ledger, searchable exactly.

`open_store`, `create_store` and `open_or_create_store` give a `VectorStore`; the rest are values it takes and
gives. Names are loaded when they are used, so that reading types costs no numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlcli.store.folder import (
        create_store,
        is_store,
        list_stores,
        open_or_create_store,
        open_store,
        remove_store,
    )  # fmt: skip
    from vlcli.store.lance import LanceStore
    from vlcli.store.sqlite import SqliteStore
    from vlcli.store.types import (
        Hit,
        Item,
        Known,
        LedgerLine,
        Mode,
        Problem,
        Refusal,
        Row,
        RunInfo,
        SpaceInfo,
        StoreSummary,
        Unchanged,
        VectorStore,
    )  # fmt: skip

_PLACES = {
    "vlcli.store.folder": ("create_store", "is_store", "list_stores", "open_or_create_store", "open_store",
                           "remove_store"),
    "vlcli.store.lance": ("LanceStore",),
    "vlcli.store.sqlite": ("SqliteStore",),
    "vlcli.store.types": ("Hit", "Item", "Known", "LedgerLine", "Mode", "Problem", "Refusal", "Row", "RunInfo",
                          "SpaceInfo", "StoreSummary", "Unchanged", "VectorStore"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "Hit", "Item", "Known", "LanceStore", "LedgerLine", "Mode", "Problem", "Refusal", "Row", "RunInfo", "SpaceInfo",
    "SqliteStore", "StoreSummary", "Unchanged", "VectorStore", "create_store", "is_store", "list_stores",
    "open_or_create_store", "open_store", "remove_store",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'vlcli.store' has no attribute '{name}'")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)
