"""A disk that can lose power: which states of a folder a power cut may leave.

The model is stricter than any common file system:

* what was written to a file is on the disk once the file was synced, not before; of the writes since then any subset
  may be there, and one of them may be torn between two sectors of 512 bytes;
* a name (of a new file, a rename, a removal, a new folder) is on the disk once its folder was synced, not before, also
  when the file itself was; of the changes since then any prefix, or any subset, may be there;
* a rename is atomic, and bytes around a write are not changed by it (as SQLite, too, assumes).

`Disk` replays a trace; `crash_states` gives, after every event, the state with everything, with nothing that was not
synced, with names but no data, with data but no names, and random ones. Shared memory of SQLite (`-shm`) is not
recorded: it is filled with noise, as it may hold anything after a power cut.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.trace import Event

SECTOR = 512
SHARED_MEMORY = "-shm"
Tree = dict[str, bytes | None]
"""Path below the root -> content; None for a folder."""


@dataclass
class File:
    """Content on the disk, and changes that were not synced."""

    synced: bytes = b""
    pending: list[Event] = field(default_factory=list)


@dataclass(eq=False)
class Folder:
    """Names on the disk, and names as the running system sees them."""

    durable: dict[str, Node] = field(default_factory=dict)
    volatile: dict[str, Node] = field(default_factory=dict)


Node = File | Folder


@dataclass(frozen=True)
class NameChange:
    """One atomic change of names; None takes a name away."""

    changes: tuple[tuple[Folder, str, Node | None], ...]

    def apply_to_disk(self) -> None:
        """Make it durable."""
        for folder, name, node in self.changes:
            set_name(folder.durable, name, node)


def set_name(names: dict[str, Node], name: str, node: Node | None) -> None:
    """Set or remove a name."""
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def apply(content: bytes, event: Event, sectors: Sequence[bool] | None = None) -> bytes:
    """A write or truncation; with `sectors` only those sectors of the write reach the disk."""
    if event.kind == "truncate":
        return content[: event.offset].ljust(event.offset, b"\0")
    result = bytearray(content)
    for number, start in enumerate(sector_starts(event)):
        if sectors is not None and not sectors[number]:
            continue
        stop = min((start // SECTOR + 1) * SECTOR, event.offset + len(event.data))
        if len(result) < start:
            result.extend(bytes(start - len(result)))
        result[start:stop] = event.data[start - event.offset : stop - event.offset]
    return bytes(result)


def sector_starts(event: Event) -> list[int]:
    """Where the parts of a write in each sector begin."""
    end = event.offset + len(event.data)
    first = event.offset // SECTOR * SECTOR
    return [max(event.offset, start) for start in range(first, end, SECTOR)]


class Disk:
    """A folder on a disk, replayed from a trace.

    Args:
        root: the watched folder, as it is before the recorded command; everything in it counts as synced.
    """

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.top = Folder()
        self.files: dict[int, File] = {}
        self.waiting: list[NameChange] = []
        if root.is_dir():
            self._scan(root, self.top)

    def _scan(self, path: Path, folder: Folder) -> None:
        for entry in os.scandir(path):
            node: Node
            if entry.is_dir(follow_symlinks=False):
                node = Folder()
                self._scan(Path(entry.path), node)
            else:
                node = self.files[entry.inode()] = File(Path(entry.path).read_bytes())
            folder.durable[entry.name] = folder.volatile[entry.name] = node

    def _find(self, path: str) -> tuple[Folder, str]:
        """The folder, as the running system sees it, and the name in it."""
        parts = Path(path).relative_to(self.root).parts
        folder = self.top
        for part in parts[:-1]:
            inner = folder.volatile[part]
            assert isinstance(inner, Folder)
            folder = inner
        return folder, parts[-1]

    def _change(self, *changes: tuple[Folder, str, Node | None]) -> None:
        for folder, name, node in changes:
            set_name(folder.volatile, name, node)
        self.waiting.append(NameChange(changes))

    def replay(self, event: Event) -> None:
        """One event."""
        if event.kind in ("write", "truncate"):
            self.files[event.inode].pending.append(event)
        elif event.kind == "sync":
            file = self.files[event.inode]
            self._notice_rename(file, event.path)
            file.synced, file.pending = content_of(file), []
        elif event.kind == "syncdir":
            self._sync_folder(event.path)
        elif event.kind == "create":
            # A number that is used again is another file.
            self.files[event.inode] = File()
            self._change((*self._find(event.path), self.files[event.inode]))
        elif event.kind == "mkdir":
            self._change((*self._find(event.path), Folder()))
        elif event.kind in ("unlink", "rmdir"):
            self._change((*self._find(event.path), None))
        elif event.kind in ("rename", "link"):
            folder, name = self._find(event.path)
            node = folder.volatile[name]
            taken = [(folder, name, None)] if event.kind == "rename" else []
            self._change(*taken, (*self._find(event.target), node))

    def _notice_rename(self, file: File, path: str) -> None:
        """A rename that the shim could not see shows when the file is synced under its new name."""
        folder, name = self._find(path.removesuffix(" (deleted)"))
        if folder.volatile.get(name) is file or path.endswith(" (deleted)"):
            return
        before = [(folder, old, None) for old, node in folder.volatile.items() if node is file]
        self._change(*before, (folder, name, file))

    def _sync_folder(self, path: str) -> None:
        if path == self.root:
            folder: Node = self.top
        else:
            parent, name = self._find(path)
            folder = parent.volatile[name]
        still = []
        for change in self.waiting:
            if any(place is folder for place, _, _ in change.changes):
                change.apply_to_disk()
            else:
                still.append(change)
        self.waiting = still

    def state(self, names: Sequence[bool], choice: Choice) -> Tree:
        """What is on the disk when the name changes marked in `names` and the writes that `choice` keeps got there."""
        kept = [change for change, keep in zip(self.waiting, names, strict=True) if keep]
        tree: Tree = {}
        self._collect(self.top, "", kept, choice, tree)
        return tree

    def _collect(self, folder: Folder, prefix: str, kept: list[NameChange], choice: Choice, tree: Tree) -> None:
        entries = dict(folder.durable)
        for change in kept:
            for place, name, node in change.changes:
                if place is folder:
                    set_name(entries, name, node)
        for name, node in entries.items():
            if isinstance(node, Folder):
                tree[prefix + name] = None
                self._collect(node, f"{prefix}{name}/", kept, choice, tree)
            else:
                tree[prefix + name] = choice.content(name, node)


def content_of(file: File) -> bytes:
    """A file's content as the running system sees it."""
    content = file.synced
    for event in file.pending:
        content = apply(content, event)
    return content


@dataclass
class Choice:
    """Which writes that were not synced reach the disk: all, none, or a random choice with torn ones."""

    keep: float = 1.0
    tear: float = 0.0
    random: random.Random = field(default_factory=lambda: random.Random(0))
    chosen: dict[int, bytes] = field(default_factory=dict)

    def content(self, name: str, file: File) -> bytes:
        """A file's content on the disk; the same for each of its names."""
        if name.endswith(SHARED_MEMORY):
            return self.random.randbytes(32768)
        if id(file) not in self.chosen:
            content = file.synced
            for event in file.pending:
                sectors = None
                if event.kind == "write" and self.random.random() < self.tear:
                    sectors = [self.random.random() < 0.5 for _ in sector_starts(event)]
                if self.random.random() < self.keep:
                    content = apply(content, event, sectors)
            self.chosen[id(file)] = content
        return self.chosen[id(file)]


@dataclass(frozen=True)
class CrashState:
    """A state that a power cut may leave.

    Attributes:
        boundary: how many events came before the cut.
        kind: how it was chosen.
        marks: what had been acknowledged.
        tree: the disk.
    """

    boundary: int
    kind: str
    marks: tuple[str, ...]
    tree: Tree

    def write(self, folder: Path) -> None:
        """Put the state into an empty folder."""
        for name, content in self.tree.items():
            path = folder / name
            if content is None:
                path.mkdir(parents=True, exist_ok=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    def last(self, word: str) -> list[str] | None:
        """The fields of the last mark that begins with a word."""
        found = [mark.split()[1:] for mark in self.marks if mark.split()[0] == word]
        return found[-1] if found else None


def crash_states(disk: Disk, events: Sequence[Event], seed: int, randoms: int = 2) -> Iterator[CrashState]:
    """States after every event, each distinct one once (noise in shared memory aside).

    Args:
        disk: as it was before the events.
        randoms: random states a boundary, on top of the four plain ones.
    """
    random_numbers = random.Random(seed)
    marks: list[str] = []
    seen: set[tuple[bytes, int]] = set()
    for boundary in range(len(events) + 1):
        if boundary:
            event = events[boundary - 1]
            if event.kind == "mark":
                marks.append(event.path)
            else:
                disk.replay(event)
        waiting = len(disk.waiting)
        everything, nothing = [True] * waiting, [False] * waiting
        choices: list[tuple[str, list[bool], Choice]] = [
            ("everything", everything, Choice()), ("nothing that was not synced", nothing, Choice(keep=0.0)),
            ("names without data", everything, Choice(keep=0.0)), ("data without names", nothing, Choice()),
        ]  # fmt: skip
        for number in range(randoms):
            kind = ("a prefix of names, some data", "some names, some data")[number % 2]
            cut = random_numbers.randint(0, waiting)
            prefix = [index < cut for index in range(waiting)]
            subset = [random_numbers.random() < 0.5 for _ in range(waiting)]
            chosen = prefix if number % 2 == 0 else subset
            choice = Choice(random_numbers.choice((0.5, 0.8)), 0.4, random.Random(random_numbers.random()))
            choices.append(
                ("a prefix of names, some data" if number % 2 == 0 else "some names, some data", chosen, choice)
            )
        for kind, names, choice in choices:
            tree = disk.state(names, choice)
            key = (digest(tree), len(marks))
            if key not in seen:
                seen.add(key)
                yield CrashState(boundary, kind, tuple(marks), tree)


def digest(tree: Tree) -> bytes:
    """What distinguishes two states."""
    found = hashlib.blake2b(digest_size=16)
    for name in sorted(tree):
        content = tree[name]
        noise = content is not None and name.endswith(SHARED_MEMORY)
        found.update(f"{name}\0{'-' if content is None else 0 if noise else len(content)}\0".encode("utf-8", "replace"))
        if content is not None and not noise:
            found.update(content)
    return found.digest()


def read_tree(root: Path) -> Tree:
    """A folder as it is."""
    return {str(path.relative_to(root)): None if path.is_dir() else path.read_bytes() for path in root.rglob("*")}
