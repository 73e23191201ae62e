"""A second record of the last acknowledged commit, outside the database.

`PRAGMA integrity_check` is content with any consistent database, also with an older one: when the write-ahead log is
deleted, when `store.db` is copied without it, or when a disk drops an acknowledged write, SQLite opens the state
before and says nothing. So after each commit, and before it is acknowledged, its number and the hash chain over all
commits are written here and synced. The database may be one commit ahead of the witness (a crash between the two); a
database that is behind it, or has another chain at the same number, has lost commits.

The file holds two slots of 64 bytes that are written in turn, each with a checksum: a torn write spoils only the slot
that was not yet acknowledged. It never grows, so a full disk can not stop it.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from vlcli.runtime.files import sync_folder

WITNESS = "commits.bin"
_SLOT = struct.Struct("<8sQ16s")  # magic, commit number, chain
_SIZE = 64
_MAGIC = b"vlcommit"


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A commit's number and the 16-byte chain over it and all before."""

    commits: int
    chain: bytes


def write_witness(folder: Path, seen: Witnessed) -> None:
    """Record a commit durably."""
    body = _SLOT.pack(_MAGIC, seen.commits, seen.chain)
    slot = (body + struct.pack("<I", zlib.crc32(body))).ljust(_SIZE, b"\0")
    is_new = not (folder / WITNESS).exists()
    descriptor = os.open(folder / WITNESS, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
    try:
        os.lseek(descriptor, (seen.commits % 2) * _SIZE, os.SEEK_SET)
        os.write(descriptor, slot)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(folder)


def read_witness(folder: Path) -> Witnessed | None:
    """The last recorded commit, or None when there is no valid slot."""
    try:
        data = (folder / WITNESS).read_bytes()
    except FileNotFoundError:
        return None
    found = []
    for start in (0, _SIZE):
        body = data[start : start + _SLOT.size]
        check = data[start + _SLOT.size : start + _SLOT.size + 4]
        if len(body) == _SLOT.size and len(check) == 4 and struct.unpack("<I", check)[0] == zlib.crc32(body):
            magic, commits, chain = _SLOT.unpack(body)
            if magic == _MAGIC:
                found.append(Witnessed(commits, chain))
    return max(found, key=lambda seen: seen.commits, default=None)


def lost_commits(database: Witnessed, witness: Witnessed | None) -> str:
    """A sentence when the database is not the one the witness saw, else an empty string."""
    if witness is None:
        return "" if database.commits == 0 else "the record of commits (commits.bin) is missing or damaged"
    if witness.commits > database.commits:
        missing = witness.commits - database.commits
        return f"{missing} acknowledged commit{'s are' if missing > 1 else ' is'} missing from store.db"
    if witness.commits == database.commits and witness.chain != database.chain:
        return f"store.db is not the database of which commit {witness.commits} was acknowledged"
    if database.commits > witness.commits + 1:
        return f"store.db is at commit {database.commits}, the record of commits at {witness.commits}"
    return ""
