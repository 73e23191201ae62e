"""The tables of `store.db`, the migrations that lead to them, and how a connection is opened.

A new store is made by running every migration from nothing, so each of them runs in every test; an older store gets
those it lacks, inside one transaction. `PRAGMA user_version` holds the schema's version, `PRAGMA application_id` marks
the file as a store.

Tables:
    settings: the space the store is pinned to, its back end, a random id (`uuid`), when it was made.
    state: one row: the commit counter and what it is bound to (see `vlcli.store.catalog`).
    items: one row an item; `checksum` covers its vector, `digest` everything else that matters.
    vectors: float32 BLOBs (back end `sqlite` only), keyed by `items.n`.
    keys: names of metadata columns that occur, for `--where`.
    runs, ledger: what became of each input of each run.
    stale: items whose input could not be embedded when it was last met; search leaves them out.
    fulltext: FTS5 over text and path, kept in step by triggers, its content read from `items`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from vlcli.errors import VlcliError
from vlcli.store.errors import sqlite_errors
from vlcli.store.lock import WriterLock

DATABASE = "store.db"
APPLICATION_ID = 0x766C636C  # "vlcl"
PAGE_SIZE = 16384  # a 384-dimensional vector takes 1.5 KB: ten a page, where SQLite's default page would hold two
BUSY_SECONDS = 15.0
TOKENIZE = "tokenize='unicode61 remove_diacritics 2'"  # of the full-text index: words in any script, accents aside


def _first_tables(connection: sqlite3.Connection) -> None:
    """Version 1: items, vectors, ledger, runs and the commit counter."""
    for statement in (
        "CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE state(one INTEGER PRIMARY KEY CHECK (one = 1), commits INTEGER NOT NULL, "
        "vector_commit INTEGER NOT NULL, content INTEGER NOT NULL, chain BLOB NOT NULL, "
        "table_version INTEGER NOT NULL)",
        "INSERT INTO state VALUES (1, 0, 0, 0, zeroblob(16), 0)",
        "CREATE TABLE items(n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, path TEXT, "
        "modality TEXT NOT NULL, content_hash TEXT NOT NULL, size INTEGER, mtime_ns INTEGER, inode INTEGER, text TEXT, "
        "metadata TEXT NOT NULL, checksum INTEGER NOT NULL, digest INTEGER NOT NULL)",
        "CREATE INDEX items_modality ON items(modality)",
        "CREATE INDEX items_content ON items(content_hash)",
        "CREATE TABLE vectors(n INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
        "CREATE TABLE keys(key TEXT PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE runs(n INTEGER PRIMARY KEY AUTOINCREMENT, command TEXT NOT NULL, started TEXT NOT NULL, "
        "ended TEXT, status TEXT NOT NULL)",
        "CREATE TABLE ledger(run INTEGER NOT NULL, input TEXT NOT NULL, outcome TEXT NOT NULL, code TEXT NOT NULL, "
        "reason TEXT NOT NULL, time TEXT NOT NULL, PRIMARY KEY (run, input)) WITHOUT ROWID",
    ):
        connection.execute(statement)


def _full_text(connection: sqlite3.Connection) -> None:
    """Version 2: full-text search over text and path, filled from the items that are there."""
    for statement in (
        f"CREATE VIRTUAL TABLE fulltext USING fts5(text, path, content='items', content_rowid='n', {TOKENIZE})",
        "CREATE TRIGGER fulltext_insert AFTER INSERT ON items BEGIN "
        "INSERT INTO fulltext(rowid, text, path) VALUES (new.n, new.text, new.path); END",
        "CREATE TRIGGER fulltext_delete AFTER DELETE ON items BEGIN "
        "INSERT INTO fulltext(fulltext, rowid, text, path) VALUES ('delete', old.n, old.text, old.path); END",
        "CREATE TRIGGER fulltext_update AFTER UPDATE OF text, path ON items BEGIN "
        "INSERT INTO fulltext(fulltext, rowid, text, path) VALUES ('delete', old.n, old.text, old.path); "
        "INSERT INTO fulltext(rowid, text, path) VALUES (new.n, new.text, new.path); END",
        "INSERT INTO fulltext(fulltext) VALUES ('rebuild')",
    ):
        connection.execute(statement)


def _stale(connection: sqlite3.Connection) -> None:
    """Version 3: marks on items whose vector is of content that is gone."""
    connection.execute("CREATE TABLE stale(n INTEGER PRIMARY KEY, code TEXT NOT NULL, digest INTEGER NOT NULL)")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first_tables, _full_text, _stale)
"""`MIGRATIONS[v]` leads from version v to v + 1. Only ever append."""

SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: Path, target: int = SCHEMA_VERSION) -> int:
    """Bring the database to version `target` in one transaction; gives the version it had.

    Raises:
        VlcliError: as `check_version`, or when SQLite refuses; the database is then as it was.
    """
    before = check_version(connection, path)
    if before >= target:
        return before
    with sqlite_errors(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for step in MIGRATIONS[before:target]:
                step(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {target}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return before


def migrate_for_reading(folder: Path) -> None:
    """Bring an older store up to date as a writer would, since a reader can not change the schema.

    Raises:
        VlcliError: S101 when the store was never finished, S106 when it is older and a writer is at work; as `migrate`.
    """
    with closing(connect(folder, write=False)) as connection:
        version = check_version(connection, folder)
    if version == 0:
        raise VlcliError("S101", str(folder), "the store was never finished", "embed into it again")
    if version == SCHEMA_VERSION:
        return
    lock = WriterLock(folder)
    lock.acquire("migration of the schema")
    try:
        with closing(connect(folder, write=True)) as connection:
            migrate(connection, folder)
    finally:
        lock.release()


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The schema version of an open database (0: empty).

    Raises:
        VlcliError: S102 when it is a foreign database, S103 when a newer vlcli made it.
    """
    with sqlite_errors(path):
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if application != APPLICATION_ID and (tables or version):
        raise VlcliError("S102", str(path), "store.db is a database of another program", "choose another folder")
    if version > SCHEMA_VERSION:
        raise VlcliError("S103", str(path), f"the store has schema {version}, this vlcli knows {SCHEMA_VERSION}",
                         "update vlcli: pip install -U vlcli")  # fmt: skip
    return version


def connect(folder: Path, *, write: bool) -> sqlite3.Connection:
    """Open `folder/store.db` in autocommit mode; a writer may create it.

    A reader of a folder it may not write to can not use the write-ahead log's shared memory; where that log is empty
    the database is then opened as immutable.

    Raises:
        VlcliError: when SQLite can not open it.
    """
    file = folder / DATABASE
    uri = file.absolute().as_uri()
    with sqlite_errors(folder):
        if write:
            connection = _open(f"{uri}?mode=rwc")
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
        else:
            log = folder / f"{DATABASE}-wal"
            frozen = not os.access(folder, os.W_OK) and not (log.exists() and log.stat().st_size)
            connection = _open(f"{uri}?{'immutable=1' if frozen else 'mode=ro'}")
            connection.execute("PRAGMA trusted_schema = OFF")  # a writer's triggers fill the full-text index
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def _open(uri: str) -> sqlite3.Connection:
    """A connection whose text may hold bytes that are no UTF-8, as file names do; see `sql_text`."""
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False, cached_statements=256
    )
    connection.text_factory = _decode
    return connection


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def sql_text(text: str | None) -> str | bytes | None:
    """Text for a parameter `CAST(? AS TEXT)`: bytes where it holds the surrogates of an undecodable file name."""
    if text is None or text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass" if _has_lone_surrogate(text) else "surrogateescape")
    return text


def stored_bytes(text: str) -> bytes:
    """The bytes that SQLite keeps for a text; the same for the text that was written and the one read back."""
    value = sql_text(text)
    return value if isinstance(value, bytes) else text.encode("utf-8")


def _has_lone_surrogate(text: str) -> bool:
    """Whether some surrogate is not one that `os.fsdecode` makes for a byte."""
    return any(0xD800 <= ord(character) <= 0xDFFF and not 0xDC80 <= ord(character) <= 0xDCFF for character in text)
