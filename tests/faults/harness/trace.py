"""Reading what the shim recorded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Event:
    """One change, or a mark.

    Attributes:
        kind: create, write, truncate, sync, syncdir, rename, link, unlink, mkdir, rmdir or mark.
        inode: of the file, for create, write, truncate and sync.
        path, target: for what names paths, and the path of a file that is synced; a mark's text is in `path`.
        offset: of a write; the length of a truncation.
        data: of a write.
    """

    kind: str
    inode: int = 0
    path: str = ""
    target: str = ""
    offset: int = 0
    data: bytes = b""


def decode(text: bytes) -> str:
    """A path as the shim writes it."""
    return os.path.normpath(os.fsdecode(bytes.fromhex(text.decode())))


def read_trace(file: Path) -> list[Event]:
    """All complete records of a trace; the last may have been cut off by a kill."""
    data = file.read_bytes()
    events: list[Event] = []
    place = 0
    while (end := data.find(b"\n", place)) >= 0:
        kind, *fields = data[place:end].split(b" ")
        place = end + 1
        name = kind.decode()
        if name == "mark":
            events.append(Event(name, path=b" ".join(fields).decode()))
        elif name == "write":
            inode, offset, length = map(int, fields)
            if place + length > len(data):
                break
            events.append(Event(name, inode, offset=offset, data=data[place : place + length]))
            place += length
        elif name == "create":
            events.append(Event(name, int(fields[0]), decode(fields[1])))
        elif name == "truncate":
            events.append(Event(name, int(fields[0]), offset=int(fields[1])))
        elif name == "sync":
            events.append(Event(name, int(fields[0]), decode(fields[1])))
        else:
            target = decode(fields[1]) if len(fields) > 1 else ""
            events.append(Event(name, path=decode(fields[0]), target=target))
    return events
