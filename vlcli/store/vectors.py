"""Vectors as bytes: what is accepted, how a row is checksummed, and the table of BLOBs in `store.db`."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.store.schema import stored_bytes

BLOCK_ROWS = 8192
"""Rows a block: 12 MB at 384 dimensions, the fastest size measured for numpy's product with one and 64 queries."""

UNIT_TOLERANCE = 1e-3
CHUNK = 500  # parameters in one statement

Value = TypeVar("Value")


class VectorTable(Protocol):
    """Where a back end keeps vectors, keyed by the item's number. Only the writer calls `write`, `delete`, `reset`."""

    def open(self, version: int) -> None:
        """See the table as it was at `version`, the one that the catalog recorded last."""
        ...

    def write(self, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Insert or replace the rows `numbers` with `vectors [N, D]`."""
        ...

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove rows."""
        ...

    def version(self) -> int:
        """What to record in the catalog with the commit that these writes belong to."""
        ...

    def reset(self, version: int) -> None:
        """Undo writes whose commit in the catalog did not come about."""
        ...

    def salvage(self) -> None:
        """Open what is left when `open` failed."""
        ...

    def read(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """The stored bytes of rows; a row that is not there is left out."""
        ...

    def blocks(self) -> Iterator[tuple[list[int], list[bytes]]]:
        """All rows in blocks of at most `BLOCK_ROWS`: numbers and stored bytes, in any order."""
        ...


def vector_problem(vector: NDArray[np.float32]) -> str:
    """Why a vector of the right length can not be stored (NaN, infinite, not unit norm), or an empty string."""
    if not np.isfinite(vector).all():
        return "its vector holds NaN or infinity"
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if abs(norm - 1.0) > UNIT_TOLERANCE:
        return f"its vector has norm {norm:.4g}, not 1"
    return ""


def check_queries(vectors: NDArray[np.float32], dim: int, path: Path) -> NDArray[np.float32]:
    """Query vectors `[Q, D]` (or one `[D]`) as unit-norm float32 `[Q, D]`.

    Raises:
        VlcliError: M502 for a wrong length, S112 for NaN, infinity or a zero vector.
    """
    queries = np.atleast_2d(np.asarray(vectors, dtype=np.float64))
    if queries.ndim != 2 or (queries.size and queries.shape[1] != dim):
        raise VlcliError("M502", str(path), f"the query has shape {list(np.shape(vectors))}, the store's vectors have "
                         f"{dim} numbers", "query with the space that the store was made with")  # fmt: skip
    if not queries.size:
        return np.empty((0, dim), dtype=np.float32)
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    if not np.isfinite(queries).all() or not norms.all():
        raise VlcliError(
            "S112", str(path), "a query vector holds NaN or infinity, or is zero", "check what was embedded"
        )
    return np.ascontiguousarray(queries / norms, dtype=np.float32)


def checksum(id: str, vector: bytes) -> int:
    """64-bit BLAKE2b over an item's id and its vector's bytes (so that swapped rows show), as a signed integer."""
    return signed_hash(stored_bytes(id), b"\0", vector)


def signed_hash(*parts: bytes) -> int:
    """64-bit BLAKE2b over the parts, as the signed integer that SQLite stores."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "little", signed=True)


def as_bytes(vector: NDArray[np.float32]) -> bytes:
    """A vector as stored: little-endian float32."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()


def as_matrix(blobs: Sequence[bytes], dim: int) -> NDArray[np.float32]:
    """Stored vectors as `[N, D]` float32. Each blob must hold `4·dim` bytes."""
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), dim).astype(np.float32, copy=False)


def chunks(numbers: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Slices short enough for one statement."""
    for start in range(0, len(numbers), CHUNK):
        yield numbers[start : start + CHUNK]


def marks(count: int) -> str:
    """`?,?,?` for an IN list."""
    return ",".join("?" * count)


class SqliteVectors:
    """Vectors as BLOBs beside the catalog, in the same transaction: there is nothing to undo or to version."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def open(self, version: int) -> None:
        """Nothing to do: the database is its own version."""

    def write(self, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Insert or replace rows."""
        self.connection.executemany(
            "INSERT INTO vectors(n, vector) VALUES (?, ?) ON CONFLICT(n) DO UPDATE SET vector = excluded.vector",
            ((number, as_bytes(vector)) for number, vector in zip(numbers, vectors, strict=True)),
        )

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove rows."""
        self.connection.executemany("DELETE FROM vectors WHERE n = ?", ((number,) for number in numbers))

    def version(self) -> int:
        """Always 0."""
        return 0

    def reset(self, version: int) -> None:
        """Nothing to do: the transaction was rolled back."""

    def salvage(self) -> None:
        """Nothing to do: `open` can not fail."""

    def read(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """The stored bytes of rows."""
        found: dict[int, bytes] = {}
        for part in chunks(numbers):
            found.update(
                self.connection.execute(f"SELECT n, vector FROM vectors WHERE n IN ({marks(len(part))})", part)
            )
        return found

    def blocks(self) -> Iterator[tuple[list[int], list[bytes]]]:
        """All rows by rising number."""
        last = -1
        while True:
            rows = self.connection.execute(
                "SELECT n, vector FROM vectors WHERE n > ? ORDER BY n LIMIT ?", (last, BLOCK_ROWS)
            ).fetchall()
            if not rows:
                return
            last = rows[-1][0]
            yield [row[0] for row in rows], [row[1] for row in rows]
