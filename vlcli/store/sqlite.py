"""The default back end: vectors in SQLite, searched through a memory-mapped cache."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from vlcli.store.base import BaseStore
from vlcli.store.cache import (
    CACHE,
    CacheInvalid,
    Mapped,
    Version,
    compare,
    open_cache,
    patch,
    patched_blocks,
    write_cache,
)  # fmt: skip
from vlcli.store.catalog import State
from vlcli.store.rows import read_verified, table_blocks
from vlcli.store.topk import Block
from vlcli.store.types import Problem
from vlcli.store.vectors import SqliteVectors, VectorTable


class SqliteStore(BaseStore):
    """A store in one SQLite file; `vectors.npy` beside it is a cache that may be deleted at any time.

    Attributes:
        use_cache: False reads vectors from the database at every search. The answers are the same.
        cache_problem: why the cache could not be written, when it could not; searches then go without.
    """

    backend: ClassVar[str] = "sqlite"
    use_cache: bool = True
    cache_problem: str = ""
    _mapped: Mapped | None = None

    def _open_table(self, connection: sqlite3.Connection) -> VectorTable:
        return SqliteVectors(connection)

    def blocks(self, state: State, fresh: bool) -> Iterable[Block]:
        if not self.use_cache:
            return super().blocks(state, fresh)
        mapped = self._map(state, fresh)
        return super().blocks(state, fresh) if mapped is None else mapped.blocks()

    def _map(self, state: State, fresh: bool) -> Mapped | None:
        """The mapping of this state, built when there is no valid one; None when it can not be written."""
        version = self.version_of(state)
        if self._mapped is not None and self._mapped.version == version and not fresh:
            return self._mapped
        try:
            self._mapped = self._rebuilt(version) if fresh else self._opened(version)
        except (OSError, CacheInvalid) as error:
            # A full disk or a folder of somebody else's: search works without, only slower.
            self._mapped, self.cache_problem = None, str(error)
        return self._mapped

    def _opened(self, version: Version) -> Mapped:
        """The cache of this state: as it lies there, patched, or written anew."""
        try:
            found = open_cache(self.path, version, any_state=True)
            if found.version == version:
                return found
            changes = compare(found.numbers, found.checksums, *self.catalog.row_checksums())
            if not changes.many:
                return patch(found, version, changes, partial(read_verified, self))
            found = open_cache(self.path, found.version, full=True)
        except CacheInvalid:
            return self._rebuilt(version)
        return self._written(version, patched_blocks(found, changes, partial(read_verified, self)))

    def build_cache(self) -> int:
        """Write the cache of this state, also where it would do with a patch; gives the number of rows.

        Raises:
            OSError: when it can not be written.
            VlcliError: S111 when a vector is damaged.
        """
        with self.reading() as state:
            version = self.version_of(state)
            try:
                self._mapped = open_cache(self.path, version)
            except CacheInvalid:
                self._mapped = self._rebuilt(version)
            return version.rows

    def _rebuilt(self, version: Version) -> Mapped:
        return self._written(version, table_blocks(self, verify=True))

    def _written(self, version: Version, blocks: Iterable[Block]) -> Mapped:
        write_cache(self.path, version, blocks, self.catalog.row_checksums()[1])
        return open_cache(self.path, version)

    def _check_cache(self) -> list[Problem]:
        if not (self.path / CACHE).exists():
            return []
        state = self.catalog.state()
        try:
            open_cache(self.path, self.version_of(state), full=True)
        except CacheInvalid as error:
            # Being outdated is its normal state after a commit.
            return [] if "another state" in str(error) else [Problem("cache", f"{CACHE}: {error}")]
        return []

    def _drop_cache(self) -> None:
        self._mapped = None
        (self.path / CACHE).unlink(missing_ok=True)
