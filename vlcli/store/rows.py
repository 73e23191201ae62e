"""Vectors from the table, as they lie there or compared with their checksums."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.store.catalog import StoredItem
from vlcli.store.topk import Block
from vlcli.store.vectors import as_matrix, checksum

if TYPE_CHECKING:
    from vlcli.store.base import BaseStore


def read_raw(store: BaseStore, numbers: Sequence[int]) -> NDArray[np.float32]:
    """Vectors `[N, D]` of rows as they are stored.

    Raises:
        VlcliError: S111 when one is missing or has a wrong length.
    """
    raw = store.table.read(numbers)
    for n in numbers:
        if len(raw.get(n, b"")) != 4 * store.info.dim:
            stored = store.catalog.stored([n])
            raise damaged(store, stored[n].item.id if n in stored else f"number {n}")
    return as_matrix([raw[n] for n in numbers], store.info.dim)


def read_verified(store: BaseStore, numbers: Sequence[int]) -> NDArray[np.float32]:
    """Vectors `[N, D]` of rows, each compared with its checksum.

    Raises:
        VlcliError: S111 when one is damaged.
    """
    raw = verified(store, store.catalog.stored(numbers))
    return as_matrix([raw[n] for n in numbers], store.info.dim)


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
