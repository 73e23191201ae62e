"""How an item is written in the catalog: metadata as JSON, digests over records, numbers that SQLite can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vlcli.store.schema import stored_bytes
from vlcli.store.vectors import signed_hash


def metadata_json(metadata: Mapping[str, Any]) -> str:
    """Metadata as JSON that SQLite reads: NaN and infinities become null, dates ISO text, numpy scalars numbers."""
    text = json.dumps(_finite(dict(metadata)), ensure_ascii=False, allow_nan=False, default=_plain)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(_finite(dict(metadata)), allow_nan=False, default=_plain)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        return _finite(value.item())
    return value


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def item_digest(
    id: str, path: str | None, modality: str, content_hash: str, text: str | None, metadata: str, check: int
) -> int:
    """64-bit digest over what an item is, each field with its length."""
    parts: list[bytes] = []
    for field in (id, path, modality, content_hash, text, metadata):
        data = b"" if field is None else stored_bytes(field)
        parts += [b"-" if field is None else b"%d:" % len(data), data]
    return signed_hash(*parts, b"%d" % check)


def stale_digest(n: int, code: str) -> int:
    """64-bit digest over a mark."""
    return signed_hash(b"stale", b"%d" % n, code.encode())


def wrap(number: int) -> int:
    """Modulo 2^64, as a signed integer."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def to_signed(inode: int | None) -> int | None:
    """An unsigned 64-bit inode as SQLite stores it."""
    return None if inode is None else wrap(inode)


def from_signed(inode: int | None) -> int | None:
    """The inode as the operating system gave it."""
    return None if inode is None else inode % (1 << 64)
