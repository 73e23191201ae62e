"""Files that are either the old version or the new one, never a torn mixture; and content hashes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vlcli.runtime.leftovers import clear_leftovers, temporary_prefix


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable (POSIX; elsewhere there is nothing to call)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> Path:
    """Make a folder with its parents, so that they survive a power cut; nothing is done when it is there."""
    missing = []
    place = folder
    while not place.exists():
        missing.append(place)
        place = place.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        # A parent that may be written to but not listed can not be opened to be synced.
        with contextlib.suppress(PermissionError):
            sync_folder(new.parent)
    if not folder.is_dir():
        folder.mkdir()  # raises FileExistsError with its name
    return folder


def sync_tree(folder: Path) -> None:
    """Make all files below a folder, and their names, durable; the folder's own name is its parent's to sync."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with open(path, "rb+") as handle:
                os.fsync(handle.fileno())
        else:
            sync_folder(path)
    sync_folder(folder)


@functools.lru_cache(maxsize=1024)
def clear_once(folder: Path) -> None:
    """Remove what dead processes left in a folder, the first time that this process writes there."""
    clear_leftovers(folder)


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder in `parent`, from which files can be renamed to their place; removed at the end."""
    make_folder(parent)
    clear_once(parent)
    temporary = Path(tempfile.mkdtemp(prefix=temporary_prefix("scratch"), suffix=".tmp", dir=parent))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def atomic_path(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends well, and is removed otherwise.

    `sync=False` leaves out the fsync: for caches that are made again when they are lost.
    """
    make_folder(path.parent)
    clear_once(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=temporary_prefix(path.name), suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        if sync:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~current_umask())
        os.replace(temporary, path)
        if sync:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends well and left something in it.

    A folder can not be replaced in one step: the old one is set aside first, so that at any moment either the old or
    the new one is whole, under its name or beside it (`clear_leftovers` puts it back). Without content nothing changes.
    """
    make_folder(path.parent)
    clear_leftovers(path.parent)
    temporary = Path(tempfile.mkdtemp(prefix=temporary_prefix(path.name), suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        if not any(temporary.iterdir()):
            return
        sync_tree(temporary)
        os.chmod(temporary, 0o777 & ~current_umask())
        aside = path.with_name(temporary.name.removesuffix(".tmp") + ".old")
        try:
            if path.exists():
                path.rename(aside)
                sync_folder(path.parent)
            temporary.rename(path)
            sync_folder(path.parent)
        except OSError:
            if aside.exists() and not path.exists():
                aside.rename(path)
            raise
        finally:
            if path.exists():
                shutil.rmtree(aside, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def current_umask() -> int:
    """The process's umask (it can only be read by setting it)."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a whole file atomically and durably."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()
