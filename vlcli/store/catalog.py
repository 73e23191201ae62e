"""The catalog: everything in `store.db` but the vectors. Items, metadata, ledger, runs and the commit counter.

The commit counter and what it is bound to. `state` holds one row:

* `commits` counts every acknowledged commit; `vector_commit` is its value when an item or vector last changed (a run
  in which all inputs are unchanged moves the first, not the second, so it does not outdate the cache);
* `content` is the sum modulo 2^64 of the digests of all items and marks, kept up to date by each commit. A digest
  covers an item's id, path, modality, content hash, text, metadata and the checksum of its vector (not its stat, which
  is a hint). `check` recomputes it: an item that vanished, came back or changed outside a commit breaks the sum,
  although the database is consistent;
* `chain` hashes the chain before together with the counters, the content and the number of ledger lines. It is copied
  to `commits.bin` after each commit (`vlcli.store.witness`), which shows commits that were acknowledged and are gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.store.errors import sqlite_errors
from vlcli.store.lock import now
from vlcli.store.records import from_signed, item_digest, metadata_json, stale_digest, to_signed, wrap
from vlcli.store.schema import sql_text
from vlcli.store.types import Item, Known, Outcome, Refusal, Row, SpaceInfo, Unchanged
from vlcli.store.vectors import chunks
from vlcli.store.where import compile_filter, run_filter
from vlcli.store.witness import Witnessed, write_witness

_ITEM = (
    "n, id, path, modality, content_hash, size, mtime_ns, inode, text, metadata, checksum, digest, "
    "(SELECT code FROM stale WHERE stale.n = items.n)"
)
_ROW = re.compile(r"#\d+$")
_TEXT = "CAST(? AS TEXT)"  # see `sql_text`


@dataclass(frozen=True, slots=True)
class State:
    """The row of `state`."""

    commits: int
    vector_commit: int
    content: int
    chain: bytes
    table_version: int

    @property
    def witnessed(self) -> Witnessed:
        """What `commits.bin` should hold."""
        return Witnessed(self.commits, self.chain)


@dataclass
class Commit:
    """What a transaction changed so far; `Catalog.commit` turns it into the next `State`."""

    content_delta: int = 0
    items_changed: bool = False
    lines: int = 0


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item with what only the store needs."""

    n: int
    item: Item
    checksum: int
    digest: int
    metadata_json: str


class Catalog:
    """Reads and writes of the tables; one connection, one writing thread at a time.

    Args:
        folder: the store.
        connection: from `vlcli.store.schema.connect`.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self.connection = connection
        self._guard = threading.RLock()

    # -- settings and state

    def setting(self, key: str) -> str:
        """A value of `settings`, empty when it is not there."""
        row = self.connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else ""

    def set(self, key: str, value: str) -> None:
        """Change a value of `settings`; inside `commit`."""
        self.connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))

    def space(self) -> SpaceInfo:
        """The space that the store is pinned to.

        Raises:
            VlcliError: S102 when the record is missing or damaged.
        """
        try:
            data = json.loads(self.setting("space"))
            return SpaceInfo(str(data["name"]), str(data["identity"]), int(data["dim"]), str(data["load"]))
        except (ValueError, KeyError, TypeError) as error:
            raise VlcliError("S102", str(self.folder), "the record of its space is missing or damaged",
                             "restore store.db from a backup, or embed again into a new store") from error  # fmt: skip

    def state(self) -> State:
        """The commit counter and what it is bound to."""
        row = self.connection.execute(
            "SELECT commits, vector_commit, content, chain, table_version FROM state"
        ).fetchone()
        return State(*row)

    # -- transactions

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Reads inside see one state of the database, whatever a writer does meanwhile."""
        with self._guard, sqlite_errors(self.folder):
            if self.connection.in_transaction:
                yield
                return
            self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self.connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def commit(self, table_version: Callable[[], int]) -> Iterator[Commit]:
        """One durable commit: all of the block's writes or none; when it returns, they survive a power cut.

        Args:
            table_version: asked at the end for the version of the table of vectors that belongs to this commit.
        """
        with self._guard, sqlite_errors(self.folder):
            self.connection.execute("BEGIN IMMEDIATE")
            change = Commit()
            try:
                yield change
                after = self._advance(change, table_version())
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            write_witness(self.folder, after.witnessed)

    def _advance(self, change: Commit, table_version: int) -> State:
        before = self.state()
        commits = before.commits + 1
        content = wrap(before.content + change.content_delta)
        changed = commits if change.items_changed else before.vector_commit
        numbers = f"{commits},{changed},{content},{change.lines},{table_version}".encode()
        chain = hashlib.blake2b(before.chain + numbers, digest_size=16).digest()
        after = State(commits, changed, content, chain, table_version)
        self.connection.execute(
            "UPDATE state SET commits = ?, vector_commit = ?, content = ?, chain = ?, table_version = ?",
            (after.commits, after.vector_commit, after.content, after.chain, after.table_version),
        )
        return after

    # -- items

    def count(self) -> int:
        """How many items there are."""
        return int(self.connection.execute("SELECT count(*) FROM items").fetchone()[0])

    def upsert(self, change: Commit, rows: Sequence[Row], checksums: Sequence[int]) -> list[int]:
        """Insert or replace items; gives their numbers, in the order of `rows`, whose ids must differ."""
        before = self._numbers_and_digests([row.id for row in rows])
        records: list[tuple[Any, ...]] = []
        keys: set[str] = set()
        for row, check in zip(rows, checksums, strict=True):
            metadata = metadata_json(row.metadata)
            digest = item_digest(row.id, row.path, row.modality, row.content_hash, row.text, metadata, check)
            keys.update(str(key) for key in row.metadata)
            change.content_delta += digest - before.get(row.id, (0, 0))[1]
            stat = (row.size, row.mtime_ns, to_signed(row.inode))
            records.append((sql_text(row.id), sql_text(row.path), row.modality, row.content_hash, *stat,
                            sql_text(row.text), metadata, check, digest))  # fmt: skip
        self.connection.executemany(
            "INSERT INTO items(id, path, modality, content_hash, size, mtime_ns, inode, text, metadata, checksum, "
            f"digest) VALUES ({_TEXT},{_TEXT},?,?,?,?,?,{_TEXT},?,?,?) ON CONFLICT(id) DO UPDATE SET "
            "path = excluded.path, modality = excluded.modality, content_hash = excluded.content_hash, "
            "size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode, text = excluded.text, "
            "metadata = excluded.metadata, checksum = excluded.checksum, digest = excluded.digest",
            records,
        )
        self.connection.executemany("INSERT OR IGNORE INTO keys VALUES (?)", ((key,) for key in sorted(keys)))
        change.items_changed = change.items_changed or bool(rows)
        after = self._numbers_and_digests([row.id for row in rows])
        return [after[row.id][0] for row in rows]

    def _numbers_and_digests(self, ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        found = {}
        for id, n, digest in self._by_ids("id, n, digest", ids):
            found[id] = (n, digest)
        return found

    def _by_ids(self, columns: str, ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        texts: list[Any] = [sql_text(id) for id in ids]
        for part in chunks(texts):
            yield from self.connection.execute(
                f"SELECT {columns} FROM items WHERE id IN ({','.join([_TEXT] * len(part))})", part
            ).fetchall()

    def numbers_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Numbers by id; an unknown id is left out."""
        return {id: n for id, (n, _) in self._numbers_and_digests(ids).items()}

    def forget(self, change: Commit, numbers: Sequence[int]) -> None:
        """Delete items by number (their vectors are the back end's to delete)."""
        for part in chunks(numbers):
            places = ",".join("?" * len(part))
            for (digest,) in self.connection.execute(
                f"SELECT digest FROM items WHERE n IN ({places})", part
            ).fetchall():
                change.content_delta -= digest
            self.connection.execute(f"DELETE FROM items WHERE n IN ({places})", part)
        self.unmark(change, numbers)
        change.items_changed = change.items_changed or bool(numbers)

    def touch(self, stats: Iterable[Unchanged]) -> None:
        """Replace the stat of items, where a new one is given."""
        self.connection.executemany(
            f"UPDATE items SET size = ?, mtime_ns = ?, inode = ? WHERE id = {_TEXT}",
            [(seen.size, seen.mtime_ns, to_signed(seen.inode), sql_text(seen.id)) for seen in stats
             if seen.mtime_ns is not None],
        )  # fmt: skip

    # -- stale items

    def stale(self) -> dict[str, str]:
        """Id -> code of the items that search leaves out."""
        return dict(self.connection.execute("SELECT id, code FROM stale JOIN items USING (n) ORDER BY n"))

    def stale_numbers(self) -> NDArray[np.int64]:
        """Rising numbers of the items that search leaves out."""
        return np.array([n for (n,) in self.connection.execute("SELECT n FROM stale ORDER BY n")], dtype=np.int64)

    def mark(self, change: Commit, refused: Iterable[Refusal]) -> None:
        """Mark the items that refusals are about as stale: their vectors are of content that is no more."""
        for refusal in refused:
            numbers = self._meant(refusal)
            records = [(n, refusal.code, stale_digest(n, refusal.code)) for n in numbers]
            self.unmark(change, numbers)
            self.connection.executemany("INSERT INTO stale VALUES (?, ?, ?)", records)
            change.content_delta += sum(digest for _, _, digest in records)

    def unmark(self, change: Commit, numbers: Sequence[int]) -> None:
        """These items are as they should be, or gone."""
        if self.connection.execute("SELECT 1 FROM stale LIMIT 1").fetchone() is None:
            return
        for part in chunks(numbers):
            places = ",".join("?" * len(part))
            digests = self.connection.execute(f"SELECT digest FROM stale WHERE n IN ({places})", part).fetchall()
            change.content_delta -= sum(digest for (digest,) in digests)
            self.connection.execute(f"DELETE FROM stale WHERE n IN ({places})", part)

    def unmark_ids(self, change: Commit, ids: Sequence[str]) -> None:
        """As `unmark`; without marks it costs nothing."""
        if self.connection.execute("SELECT 1 FROM stale LIMIT 1").fetchone() is not None:
            self.unmark(change, list(self.numbers_of(ids).values()))

    def _meant(self, refusal: Refusal) -> list[int]:
        """Numbers of the items of a refused input: the item itself, or all that was read from the file or row."""
        name = refusal.path if refusal.id is None else refusal.id
        found = list(self.numbers_of([name]).values())
        if refusal.id is None:
            found += [n for n, _ in self._within(f"{name}#")]
            if _ROW.search(name):
                found += [n for n, _ in self._within(f"{name}.")]
        return found

    def ids_within(self, file: str) -> list[str]:
        """Ids of the items that were read from a manifest or another file of many, `file#…`."""
        return [id for _, id in self._within(f"{file}#")]

    def _within(self, prefix: str) -> list[tuple[int, str]]:
        """Items whose id begins so and that are no files by themselves."""
        after = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        return self.connection.execute(
            f"SELECT n, id FROM items WHERE id >= {_TEXT} AND id < {_TEXT} AND (path IS NULL OR path != id) ORDER BY n",
            (sql_text(prefix), sql_text(after)),
        ).fetchall()

    def known(self, id: str) -> Known | None:
        """What is known of one id."""
        row = self.connection.execute(
            f"SELECT content_hash, size, mtime_ns, inode FROM items WHERE id = {_TEXT}", (sql_text(id),)
        ).fetchone()
        return None if row is None else Known(row[0], row[1], row[2], from_signed(row[3]))

    def known_map(self, ids: Iterable[str] | None = None) -> dict[str, Known]:
        """What is known of many ids, or of all."""
        columns = "id, content_hash, size, mtime_ns, inode"
        rows = (self.connection.execute(f"SELECT {columns} FROM items") if ids is None
                else self._by_ids(columns, list(ids)))  # fmt: skip
        return {row[0]: Known(row[1], row[2], row[3], from_signed(row[4])) for row in rows}

    def ids_of_hashes(self, modality: str, hashes: Sequence[str]) -> dict[str, str]:
        """Content hash -> id of one item of this modality with that content."""
        found: dict[str, str] = {}
        for part in chunks(hashes):
            found.update(
                self.connection.execute(
                    "SELECT content_hash, id FROM items WHERE modality = ? AND content_hash IN "
                    f"({','.join('?' * len(part))}) ORDER BY n DESC",
                    (modality, *part),
                )
            )
        return found

    def stored(self, numbers: Sequence[int]) -> dict[int, StoredItem]:
        """Items by number; one that is not there is left out.

        Raises:
            VlcliError: S111 for an item whose record does not have its digest.
        """
        found = {}
        for part in chunks(numbers):
            for row in self.connection.execute(
                f"SELECT {_ITEM} FROM items WHERE n IN ({','.join('?' * len(part))})", part
            ):
                found[row[0]] = _stored(row)
                if not is_sound(found[row[0]]):
                    raise VlcliError("S111", str(self.folder), f"the record of '{found[row[0]].item.id}' is damaged",
                                     "run `vlcli store repair`, then embed again")  # fmt: skip
        return found

    def all_stored(self) -> Iterator[StoredItem]:
        """Every item by rising number."""
        last = -1
        while rows := self.connection.execute(
            f"SELECT {_ITEM} FROM items WHERE n > ? ORDER BY n LIMIT 5000", (last,)
        ).fetchall():
            last = rows[-1][0]
            yield from map(_stored, rows)

    def checksums(self) -> dict[int, tuple[str, int]]:
        """Number -> id and the checksum of its vector."""
        return {n: (id, check) for n, id, check in self.connection.execute("SELECT n, id, checksum FROM items")}

    def row_checksums(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of all items, rising, and the checksums of their vectors."""
        rows = self.connection.execute("SELECT n, checksum FROM items ORDER BY n")
        table = np.fromiter(rows, dtype=[("n", np.int64), ("checksum", np.int64)])
        return np.ascontiguousarray(table["n"]), np.ascontiguousarray(table["checksum"])

    def filter(
        self, where: str | None, modality: str | None, ids: Collection[str] | None = None
    ) -> NDArray[np.int64] | None:
        """Rising numbers of the items that pass, or None when nothing is asked."""
        keys = self.metadata_keys() if where is not None else []
        compiled = compile_filter(where, modality, keys)
        found = None
        if compiled is not None:
            found = np.array(run_filter(self.connection, compiled, keys), dtype=np.int64)
        if ids is None:
            return found
        named = np.array(sorted(self.numbers_of(list(ids)).values()), dtype=np.int64)
        return named if found is None else np.intersect1d(found, named, assume_unique=True)

    def metadata_keys(self) -> list[str]:
        """The metadata keys that occur."""
        return [row[0] for row in self.connection.execute("SELECT key FROM keys ORDER BY key")]

    def modalities(self) -> dict[str, int]:
        """Modality -> number of items."""
        return dict(self.connection.execute("SELECT modality, count(*) FROM items GROUP BY modality ORDER BY 1"))

    # -- ledger

    def write_lines(self, change: Commit, run: int, lines: Iterable[tuple[str, Outcome, str, str]]) -> None:
        """Ledger lines (input, outcome, code, reason) of a run: one an input, the last word counts.

        An input that was embedded in this run and is met again unchanged stays *embedded*.
        """
        time = now()
        records = [
            (run, sql_text(input), outcome, code, sql_text(reason), time) for input, outcome, code, reason in lines
        ]
        self.connection.executemany(
            f"INSERT INTO ledger VALUES (?, {_TEXT}, ?, ?, {_TEXT}, ?) ON CONFLICT(run, input) DO UPDATE SET "
            "outcome = excluded.outcome, code = excluded.code, reason = excluded.reason, time = excluded.time "
            "WHERE excluded.outcome != 'unchanged'",
            records,
        )
        change.lines += len(records)


def _stored(row: tuple[Any, ...]) -> StoredItem:
    n, id, path, modality, content_hash, size, mtime_ns, inode, text, metadata, check, digest, stale = row
    try:
        columns = json.loads(metadata)
    except ValueError:  # damaged; `check` finds it by its digest
        columns = {}
    item = Item(id, path, modality, content_hash, size, mtime_ns, from_signed(inode), text, columns, stale)
    return StoredItem(n, item, check, digest, metadata)


def is_sound(stored: StoredItem) -> bool:
    """Whether an item's record has its digest."""
    item = stored.item
    return stored.digest == item_digest(item.id, item.path, item.modality, item.content_hash, item.text,
                                        stored.metadata_json, stored.checksum)  # fmt: skip
