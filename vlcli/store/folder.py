"""Stores as folders: open, create, list and remove."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.errors import VlcliError
from vlcli.registry import import_target
from vlcli.runtime.files import make_folder
from vlcli.runtime.leftovers import is_temporary
from vlcli.runtime.paths import home, store_path
from vlcli.store.ann import ANN
from vlcli.store.base import NO_STORE_HELP, BaseStore
from vlcli.store.cache import CACHE
from vlcli.store.catalog import Catalog
from vlcli.store.errors import sqlite_errors
from vlcli.store.lock import LOCK, OWNER, WriterLock, now
from vlcli.store.schema import APPLICATION_ID, DATABASE, check_version, connect, migrate
from vlcli.store.types import Mode, SpaceInfo, StoreSummary
from vlcli.store.witness import WITNESS

if TYPE_CHECKING:
    from vlcli.registry import Registry

BUILTIN_BACKENDS = {"sqlite": "vlcli.store.sqlite:SqliteStore", "lance": "vlcli.store.lance:LanceStore"}
"""What `open_store` knows without a registry."""

LANCE_FOLDER = "vectors.lancedb"
OWN_FILES = frozenset({
    DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal", CACHE, ANN, LOCK, OWNER, WITNESS,
    LANCE_FOLDER,
})  # fmt: skip


def open_store(path: str | Path, registry: Registry | None = None, mode: Mode = "r", command: str = "") -> BaseStore:
    """Open a store by path, or by bare name under `$VLCLI_HOME/stores`, with the back end it was made with.

    Args:
        path: folder or name.
        registry: where back ends of plugins are found; None knows the built-in ones.
        mode: `r`, `w` or `repair`.
        command: what to tell others who want to write meanwhile; by default the command line.

    Raises:
        VlcliError: S101–S107, see `BaseStore`; P203 when the back end's requirement is not installed.
    """
    folder = as_folder(path)
    if not (folder / DATABASE).is_file():
        raise VlcliError("S101", str(folder), "there is no store here", NO_STORE_HELP)
    store: BaseStore = backend_class(read_backend(folder), registry)(folder, mode, command)
    return store


def as_folder(path: str | Path) -> Path:
    """The folder of a store given by name or path."""
    return path if isinstance(path, Path) else store_path(path)


def read_backend(folder: Path) -> str:
    """The registry name of a store's back end.

    Raises:
        VlcliError: S101–S103 when it is none, or unreadable.
    """
    connection = connect(folder, write=False)
    try:
        if check_version(connection, folder) == 0:
            raise VlcliError("S101", str(folder), "the store was never finished", "embed into it again")
        with sqlite_errors(folder):
            return Catalog(folder, connection).setting("backend")
    finally:
        connection.close()


def backend_class(name: str, registry: Registry | None = None) -> Any:
    """The class of a back end.

    Raises:
        VlcliError: P201 for an unknown name, P203 when its requirement is not installed.
    """
    if registry is not None:
        return registry.load(registry.find("store", name))
    if name not in BUILTIN_BACKENDS:
        raise VlcliError("P201", "", f"no store is named '{name}'", f"known: {', '.join(sorted(BUILTIN_BACKENDS))}")
    if name == "lance" and find_spec("lancedb") is None:
        raise VlcliError("P203", name, "needs lancedb", "install it: pip install 'vlcli[lance]'")
    return import_target(BUILTIN_BACKENDS[name])


def create_store(
    path: str | Path, space: SpaceInfo, backend: str = "sqlite", registry: Registry | None = None, command: str = ""
) -> BaseStore:
    """Make a store, pinned to a space, and open it for writing.

    Raises:
        VlcliError: S104 when there is one, S105 when the folder holds other files, P201/P203 for the back end.
    """
    folder = as_folder(path)
    store_class = backend_class(backend, registry)
    if folder.exists():
        if not folder.is_dir():
            raise VlcliError("S105", str(folder), "is a file, not a folder", "choose another place for the store")
        foreign = foreign_files(folder)
        if foreign:
            raise VlcliError("S105", str(folder), f"the folder holds other files ({', '.join(foreign[:3])})",
                             "choose a new or empty folder for the store")  # fmt: skip
    make_folder(folder)
    lock = WriterLock(folder)
    lock.acquire(command)
    try:
        connection = connect(folder, write=True)
        try:
            _fill(connection, folder, space, store_class.backend)
        finally:
            connection.close()
    finally:
        lock.release()
    made: BaseStore = store_class(folder, "w", command)
    return made


def _fill(connection: Any, folder: Path, space: SpaceInfo, backend: str) -> None:
    if check_version(connection, folder):
        with sqlite_errors(folder):
            finished = connection.execute("SELECT 1 FROM settings WHERE key = 'backend'").fetchone()
        if finished:
            raise VlcliError("S104", str(folder), "there is a store already", "open it, or choose another name")
    migrate(connection, folder)
    settings = {"space": json.dumps(asdict(space)), "uuid": uuid.uuid4().hex, "created": now(), "backend": backend}
    with sqlite_errors(folder):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", settings.items())
        connection.execute("COMMIT")


def open_or_create_store(
    path: str | Path, space: SpaceInfo, registry: Registry | None = None, backend: str = "sqlite", command: str = ""
) -> BaseStore:
    """Open a store for writing, making it when there is none; refuses another space than it is pinned to.

    Raises:
        VlcliError: M501 (exit code 5) for another space, else as `open_store` and `create_store`.
    """
    folder = as_folder(path)
    if not is_store(folder):
        return create_store(folder, space, backend, registry, command)
    store = open_store(folder, registry, "w", command)
    try:
        store.check_space(space.identity, space.name)
    except BaseException:
        store.close()
        raise
    return store


def is_store(folder: Path) -> bool:
    """Whether the folder holds a finished store, sound or not (its `store.db` may be of a newer schema)."""
    try:
        with (folder / DATABASE).open("rb") as file:
            header = file.read(100)
    except OSError:
        return False
    if len(header) == 100 and int.from_bytes(header[68:72], "big") == APPLICATION_ID:
        return True
    # A store whose first checkpoint is still to come has its header in the write-ahead log.
    try:
        return bool(read_backend(folder))
    except VlcliError:
        return False


def foreign_files(folder: Path) -> list[str]:
    """Names in the folder that no store would have made."""
    return sorted(entry.name for entry in folder.iterdir()
                  if entry.name not in OWN_FILES and not is_leftover(entry.name))  # fmt: skip


def is_leftover(name: str) -> bool:
    """Whether this is the temporary version of a derived file whose writer died."""
    return name.startswith((f".{CACHE}.", f".{ANN}.")) and is_temporary(name)


def remove_store(path: str | Path) -> int:
    """Delete a store; gives how many bytes it had.

    Raises:
        VlcliError: S101 when the folder is no store, S105 when it also holds other files, S106 while it is written.
    """
    folder = as_folder(path)
    if not is_store(folder):
        raise VlcliError(
            "S101", str(folder), "the folder is not a store; nothing was removed", "see `vlcli store list`"
        )
    foreign = foreign_files(folder)
    if foreign:
        raise VlcliError("S105", str(folder), f"the folder also holds other files ({', '.join(foreign[:3])}); nothing "
                         "was removed", "move them elsewhere first")  # fmt: skip
    lock = WriterLock(folder)
    lock.acquire("vlcli store rm")
    try:
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        # The database goes first: what is left by an interruption is then no store, and can be removed or filled again.
        for name in (DATABASE, *sorted(entry.name for entry in folder.iterdir() if entry.name not in (DATABASE, LOCK))):
            target = folder / name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
    finally:
        lock.release()
    (folder / LOCK).unlink(missing_ok=True)
    folder.rmdir()
    return size


def list_stores(paths: Iterable[str | Path] = (), registry: Registry | None = None) -> list[StoreSummary]:
    """The stores under `$VLCLI_HOME/stores`, or those at or directly below `paths`."""
    roots = [as_folder(path) for path in paths] or [home() / "stores"]
    found = []
    for root in roots:
        if is_store(root):
            found.append(root)
        elif root.is_dir():
            found += sorted(entry for entry in root.iterdir() if entry.is_dir() and is_store(entry))
    return [summarise(folder, registry) for folder in found]


def summarise(folder: Path, registry: Registry | None = None) -> StoreSummary:
    """A store's line in a list; a store that can not be opened says why instead."""
    try:
        with open_store(folder, registry) as store:
            updated = datetime.fromtimestamp(max(f.stat().st_mtime for f in folder.glob(f"{DATABASE}*")), UTC)
            return StoreSummary(str(folder), store.backend, store.info.name, store.info.dim, len(store),
                                store.bytes_on_disk(), updated.isoformat(timespec="seconds"))  # fmt: skip
    except VlcliError as error:
        return StoreSummary(str(folder), error=str(error))
