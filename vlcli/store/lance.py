"""The back end `[lance]`: vectors in a LanceDB table beside the same catalog.

Items, metadata, ledger, runs and the commit counter stay in `store.db`, so filters, full text, locks and checks are the
very same code; only vectors live in Lance, in the folder `vectors.lancedb`. A commit writes Lance first and then, in
the catalog's transaction, the version that Lance reached. A reader sees that version and no later one; a writer that
finds Lance ahead of the catalog restores it.

Lance does not sync what it writes. So before a commit is recorded in the catalog, all files that Lance wrote for it are
synced here, with their folders; versions that were written but never recorded may be torn after a power cut, and are
removed when the table is opened.

What it is for: files that other programs of the Lance ecosystem read, and shards written elsewhere. What it costs:
search is exact and reads the whole table, without a memory-mapped cache.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.runtime.files import sync_folder
from vlcli.store.base import BaseStore
from vlcli.store.folder import LANCE_FOLDER
from vlcli.store.lock import WriterLock
from vlcli.store.vectors import BLOCK_ROWS, VectorTable, chunks

TABLE = "vectors"


class LanceStore(BaseStore):
    """A store whose vectors are in LanceDB."""

    backend: ClassVar[str] = "lance"

    def _open_table(self, connection: sqlite3.Connection) -> VectorTable:
        return LanceVectors(self.path, self.info.dim, write=self.mode != "r")


class LanceVectors:
    """A table of `n: int64, vector: fixed_size_list<float32>[D]` at one version.

    Args:
        folder: the store.
        dim: D.
        write: whether the table may be made and restored.
    """

    def __init__(self, folder: Path, dim: int, *, write: bool) -> None:
        # Lance's logger would otherwise warn on stderr about every table it makes.
        os.environ.setdefault("LANCE_LOG", "error")
        self.folder = folder / LANCE_FOLDER
        self.write_mode = write
        self.schema = pa.schema([("n", pa.int64()), ("vector", pa.list_(pa.float32(), dim))])
        self.dim = dim
        self.table: Any = None
        self._synced: set[tuple[str, int, int]] = set()
        self._connect()

    def _connect(self) -> None:
        import lancedb

        with self._errors():
            self.database = lancedb.connect(str(self.folder))

    def open(self, version: int) -> None:
        """See `version`; 0 is the table before its first write."""
        try:
            self._open(version)
        except VlcliError as error:
            if error.code != "S118" or not self._drop_unrecorded(version):
                raise
            self.table = None
            self._connect()
            self._open(version)

    def _open(self, version: int) -> None:
        with self._errors():
            there = TABLE in self._names()
            if not there and version:
                raise VlcliError("S117", str(self.folder), "the table of vectors is missing",
                                 "run `vlcli store repair`, then embed again")  # fmt: skip
            if not there:
                self.table = self.database.create_table(TABLE, schema=self.schema) if self.write_mode else None
                return
            if self.table is None:
                self.table = self.database.open_table(TABLE)
            if self.table.version != max(version, 1):
                self._see(version)

    def _drop_unrecorded(self, version: int) -> bool:
        """Remove versions after the one that the catalog recorded, when no writer is at work; False without any.

        A power cut may have torn them, and Lance then opens none.
        """
        lock = contextlib.nullcontext() if self.write_mode else free_lock(self.folder.parent)
        if lock is None:
            return False
        with lock:
            place = self.folder / f"{TABLE}.lance"
            if version == 0:
                shutil.rmtree(place, ignore_errors=True)
                return not place.exists()
            newer = [file for file in place.glob("_versions/*.manifest*") if manifest_version(file.name) > version]
            for file in newer:
                file.unlink()
            if newer:  # it may name one of them
                (place / "_versions" / "latest_version_hint.json").unlink(missing_ok=True)
            return bool(newer)

    def _sync(self) -> None:
        """Make everything that Lance wrote since the last time durable."""
        changed: set[Path] = set()
        for path in self.folder.rglob("*"):
            status = path.stat()
            key = (str(path), status.st_ino, status.st_mtime_ns)
            if path.is_dir() or key in self._synced:
                continue
            with open(path, "rb") as file:
                os.fsync(file.fileno())
            self._synced.add(key)
            changed.update(parent for parent in path.parents if parent.is_relative_to(self.folder.parent))
        for folder in sorted(changed, reverse=True):
            sync_folder(folder)

    def salvage(self) -> None:
        """Open the newest version that opens, else start an empty table."""
        if self.table is not None:
            return
        try:
            with self._errors():
                self.table = self.database.open_table(TABLE)
        except VlcliError:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._connect()
            self.table = self.database.create_table(TABLE, schema=self.schema)

    def _names(self) -> list[str]:
        return [entry.stem for entry in self.folder.glob("*.lance")] if self.folder.is_dir() else []

    def _see(self, version: int) -> None:
        """Go to an older version: a reader looks at it, a writer makes it the newest again."""
        self.table.checkout(max(version, 1))
        if self.write_mode:
            self.table.restore()

    def write(self, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Insert or replace rows by number."""
        flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel(), pa.float32())
        rows = pa.table([pa.array(numbers, pa.int64()), pa.FixedSizeListArray.from_arrays(flat, self.dim)],
                        schema=self.schema)  # fmt: skip
        with self._errors():
            self.table.merge_insert("n").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, numbers: Sequence[int]) -> None:
        """Remove rows."""
        with self._errors():
            for part in chunks(numbers):
                self.table.delete(f"n IN ({','.join(str(int(n)) for n in part)})")

    def version(self) -> int:
        """The version that the writes led to, durable."""
        self._sync()
        return int(self.table.version)

    def reset(self, version: int) -> None:
        """Make an older version the newest again."""
        with self._errors():
            if self.table is not None and self.table.version != version:
                self._see(version)

    def read(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """The stored bytes of rows."""
        found: dict[int, bytes] = {}
        if self.table is None:
            return found
        with self._errors():
            for part in chunks(numbers):
                query = self.table.search().where(f"n IN ({','.join(str(int(n)) for n in part)})").limit(len(part))
                for ns, blobs in _as_blobs(query.select(["n", "vector"]).to_batches(), self.dim):
                    found.update(zip(ns, blobs, strict=True))
        return found

    def blocks(self) -> Iterator[tuple[list[int], list[bytes]]]:
        """All rows, in Lance's order."""
        if self.table is None:
            return
        with self._errors():
            yield from _as_blobs(self.table.search().select(["n", "vector"]).to_batches(BLOCK_ROWS), self.dim)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """What Lance raises, as a sentence."""
        try:
            yield
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            if "No space left" in str(error):
                raise VlcliError("X301", str(self.folder), "the disk is full; the store is as it was",
                                 "free space and run the same command again") from error  # fmt: skip
            first = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise VlcliError("S118", str(self.folder), f"Lance refused ({first})", "run `vlcli store check`") from error


def manifest_version(name: str) -> int:
    """The version that a manifest's file name stands for: newer tables count down from 2^64 - 1."""
    digits = name.partition(".")[0]
    number = int(digits) if digits.isdigit() else 0
    return 2**64 - 1 - number if len(digits) == 20 else number


def free_lock(folder: Path) -> contextlib.AbstractContextManager[Any] | None:
    """The writer's lock of a store, or None when a writer holds it."""
    lock = WriterLock(folder)
    try:
        lock.acquire("clearing away versions that were never recorded")
    except (VlcliError, OSError):
        return None
    stack = contextlib.ExitStack()
    stack.callback(lock.release)
    return stack


def _as_blobs(batches: Any, dim: int) -> Iterator[tuple[list[int], list[bytes]]]:
    """Record batches as numbers and bytes."""
    for batch in batches:
        matrix = batch["vector"].flatten().to_numpy(zero_copy_only=False).astype("<f4", copy=False).reshape(-1, dim)
        yield batch["n"].to_pylist(), [row.tobytes() for row in matrix]
