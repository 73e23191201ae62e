"""The feature cache of frozen encoders: each item is encoded once, then read back in every epoch and every run.

The cache is one SQLite file per encoder; its name holds the encoder's digest (class, options and weights), and a row's
key is the item's content hash and the augmentation, so a feature of another encoder, content or view can not be taken
by mistake. A row carries a checksum; a damaged row is encoded again.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from vlcli.runtime.files import sha256_bytes

CHUNK = 500  # rows per query, below SQLite's limit of bound variables


class FeatureCache:
    """Pooled features `[D]` float32 of one frozen encoder, by key."""

    def __init__(self, folder: Path, encoder_digest: str, dim: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{encoder_digest[:32]}.db"
        self.dim = dim
        # Opening is done by one process at a time: switching a new file to WAL does not wait for a busy one.
        with FileLock(self.path.with_suffix(".lock")):
            try:
                self.connection = self.open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                # Not a database any more. Whatever it held is encoded again.
                self.path.unlink()
                self.connection = self.open()

    def open(self) -> sqlite3.Connection:
        """The file, with its table."""
        connection = sqlite3.connect(self.path, timeout=60)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS features (key TEXT PRIMARY KEY, vector BLOB NOT NULL, crc INTEGER NOT NULL)"
            )
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def read(self, keys: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The features that are there and whole."""
        found: dict[str, NDArray[np.float32]] = {}
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            marks = ",".join("?" * len(part))
            rows = self.connection.execute(f"SELECT key, vector, crc FROM features WHERE key IN ({marks})", part)
            for key, blob, crc in rows:
                if len(blob) == self.dim * 4 and zlib.crc32(blob) == crc:
                    found[key] = np.frombuffer(blob, dtype="<f4")
        return found

    def write(self, rows: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
        """Add features in one transaction."""
        blobs = [(key, np.ascontiguousarray(vector, dtype="<f4").tobytes()) for key, vector in rows]
        with self.connection:
            self.connection.executemany(
                "INSERT OR REPLACE INTO features VALUES (?, ?, ?)",
                [(key, blob, zlib.crc32(blob)) for key, blob in blobs],
            )

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


def encoder_digest(name: str, options: dict[str, object], weights: str) -> str:
    """What a cached feature depends on beside the content: the encoder's name, its options and its weights' SHA-256."""
    return sha256_bytes(json.dumps([name, options, weights], sort_keys=True, default=str).encode())


def feature_key(content_hash: str, view: int) -> str:
    """Key of an item's view; view 0 is the plain item."""
    return f"{content_hash}:{view}"
