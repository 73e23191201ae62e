"""SQLite's errors as sentences that say what happened to the store and what to do."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from vlcli.errors import VlcliError

SMALL_FILE = 64 << 10  # the shared memory of SQLite's log

# Prefix of SQLite's error name -> code, what happened, what to do. The longest prefix wins.
_SENTENCES = {
    "SQLITE_FULL": ("X301", "the disk is full; the store is as it was before this commit",
                    "free space and run the same command again"),
    "SQLITE_IOERR": ("X304", "the device reported an I/O error; the store is as it was before this commit",
                     "check the disk, and free space if it is full; then run `vlcli store check`"),
    "SQLITE_READONLY": ("X302", "the store can not be written to", "change its permissions, or copy it elsewhere"),
    "SQLITE_CANTOPEN": ("X302", "the database can not be opened",
                        "check that you may read the folder and its files, and free space if the disk is full"),
    "SQLITE_PERM": ("X302", "permission denied", "change the permissions of the folder"),
    "SQLITE_BUSY": ("S108", "another process holds the database", "wait for it to finish, then try again"),
    "SQLITE_LOCKED": ("S108", "another process holds the database", "wait for it to finish, then try again"),
    "SQLITE_NOTADB": ("S102", "store.db is not a SQLite database",
                      "restore it from a backup, or remove the folder and embed again"),
    "SQLITE_CORRUPT": ("S102", "the database is damaged", "run `vlcli store check`, then `vlcli store repair`"),
    "SQLITE_TOOBIG": ("S109", "a text or its metadata is larger than SQLite stores", "shorten it"),
    "SQLITE_NOMEM": ("X201", "out of memory", "commit fewer rows at a time (--batch-size)"),
}  # fmt: skip


def explain_sqlite_error(error: sqlite3.Error, path: Path) -> VlcliError:
    """A `sqlite3.Error` raised while working on the store at `path`, told as a VlcliError."""
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) and is_full(path):
        # SQLite says so for its log and its database, not for the shared memory beside them.
        name = "SQLITE_FULL"
    for prefix in sorted(_SENTENCES, key=len, reverse=True):
        if name.startswith(prefix):
            code, message, remedy = _SENTENCES[prefix]
            return VlcliError(code, str(path), message, remedy)
    return VlcliError("S110", str(path), f"the database refused ({error})", "run `vlcli store check`")


def is_full(path: Path) -> bool:
    """Whether there is no room for even a small file."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(path).free < SMALL_FILE
    return False


@contextlib.contextmanager
def sqlite_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite raises inside the block into sentences about the store at `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain_sqlite_error(error, path) from error
