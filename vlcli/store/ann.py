"""`ann.index`: an approximate index over the vectors (HNSW, 8-bit), derived from the database and never trusted.

Why this library and kind: on 65,536 MiniLM vectors of real sentences usearch's HNSW over 8-bit copies, its candidates
scored again with the stored vectors, gave the same recall@10 at less time than hnswlib, faiss's HNSW and IVF, and
usearch with 16 or 32 bits (`docs/store.md` has the numbers).

What keeps answers right. Candidates are only candidates: their vectors are read from the database, scored in double
precision and verified like those of the exact search, so a score is never approximate; what can be missing is a
neighbour. The file holds row numbers and checksums, so an index of an older state still serves: rows that changed since
are left out of it and searched exactly. Where much has changed, with a filter, or with an index that does not fit, the
search is exact and says so.

What keeps the library safe. Its reader was not made for hostile files. The file therefore ends in a digest keyed with a
secret of this installation (`$VLCLI_HOME/index.key`): bytes that this installation did not write never reach it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import struct
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.runtime.files import atomic_path, clear_once, make_folder, sync_folder
from vlcli.runtime.leftovers import temporary_prefix
from vlcli.runtime.paths import home
from vlcli.store.cache import Version, compare
from vlcli.store.rows import read_raw, read_verified, table_blocks
from vlcli.store.topk import Block, TopK
from vlcli.store.types import Problem

if TYPE_CHECKING:
    from vlcli.store.base import BaseStore

ANN = "ann.index"
KEY = "index.key"
KEY_BYTES = 32
CONNECTIVITY = 24  # HNSW's M
EXPANSION_ADD = 128  # ef of the construction
EXPANSION = 64  # ef of a search, at least
OVERSAMPLE = 2  # candidates for each answer that is asked for
LARGEST_TOP = 1000
DIGEST = 32
_MAGIC = b"vlannix1"
_HEAD = struct.Struct("<8sQ")  # magic, length of the JSON header
_HEADER_LIMIT = 1 << 16


class IndexUnusable(Exception):
    """No index can serve this search; the text says why, for the user. `remedy`: whether a new index would help."""

    def __init__(self, reason: str, remedy: bool = True) -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class AnnIndex:
    """An open index.

    Attributes:
        version: the state of the store that it was built from.
        numbers: row numbers `[N]`, rising; the library's keys are places in it.
        checksums: of the rows `[N]`, as the database had them.
        graph: the library's index.
        bytes: size of the file.
    """

    version: Version
    numbers: NDArray[np.int64]
    checksums: NDArray[np.int64]
    graph: Any
    bytes: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """An index fitted to a state: `alive [N]` are the rows that still hold, `extra` those that it does not have."""

    index: AnnIndex
    version: Version
    alive: NDArray[np.bool_]
    extra: Block | None


def library() -> Any:
    """The module of the library.

    Raises:
        VlcliError: P203 when it is not installed.
    """
    try:
        import usearch.index
    except ImportError as error:
        raise VlcliError(
            "P203", "approximate search", "needs usearch", "install it: pip install 'vlcli[ann]'"
        ) from error
    return usearch.index


def new_graph(dim: int) -> Any:
    """An empty index of the library for vectors of this length."""
    return library().Index(ndim=dim, metric="ip", dtype="i8", connectivity=CONNECTIVITY, expansion_add=EXPANSION_ADD,
                           expansion_search=EXPANSION)  # fmt: skip


def build_index(store: BaseStore) -> int:
    """Build the index of an open store and put it in place at once; gives how many rows it has.

    Raises:
        VlcliError: P203 without the library, S111 when a vector is damaged or missing.
        OSError: when it can not be written; an older index is then still there.
    """
    graph = new_graph(store.info.dim)
    with store.reading() as state:
        version = store.version_of(state)
        numbers, checksums = store.catalog.row_checksums()
        for rows, vectors in table_blocks(store, verify=True):
            for start in range(0, len(rows), 1 << 14):  # pieces, so that an interruption is heard
                part = slice(start, start + (1 << 14))
                places = np.searchsorted(numbers, rows[part])
                # One thread: built by several, usearch 2.26 now and then leaves rows that no search reaches, and the
                # same store gives another index each time.
                graph.add(places.astype(np.uint64), np.ascontiguousarray(vectors[part]), threads=1)
    if len(graph) != len(numbers):
        raise VlcliError("S111", str(store.path), f"{len(graph)} vectors were found for {len(numbers)} items",
                         "run `vlcli store repair`, then embed again")  # fmt: skip
    data = bytes(graph.save())
    header = json.dumps({"version": asdict(version), "bytes": len(data), "library": library_version()}).encode()
    parts = [_HEAD.pack(_MAGIC, len(header)), header, data, numbers.astype("<i8").tobytes(),
             checksums.astype("<i8").tobytes()]  # fmt: skip
    with atomic_path(store.path / ANN) as temporary, temporary.open("wb") as file:
        for part_bytes in parts:
            file.write(part_bytes)
        file.write(keyed_digest(parts, secret(make=True)))
    return len(numbers)


def library_version() -> str:
    """Name and version of the library."""
    from importlib.metadata import version

    return f"usearch {version('usearch')}"


def read_index(folder: Path, uuid: str, dim: int) -> AnnIndex:
    """Read the index of a store, of whatever state.

    Raises:
        IndexUnusable: when there is none, it is damaged, or it was not written by this installation.
        VlcliError: P203 without the library.
    """
    data = memoryview(checked_bytes(folder))
    _, length = _HEAD.unpack(data[: _HEAD.size])
    header = json.loads(bytes(data[_HEAD.size : _HEAD.size + length]))
    version, size = Version(**header["version"]), int(header["bytes"])
    start = _HEAD.size + length
    if (version.uuid, version.dim) != (uuid, dim) or len(data) != start + size + 16 * version.rows + DIGEST:
        raise IndexUnusable("it is the index of another store")
    graph = new_graph(dim)
    try:
        graph.load(bytes(data[start : start + size]))
    except (RuntimeError, ValueError, OSError) as error:
        raise IndexUnusable(f"{library_version()} can not read what {header['library']} wrote") from error
    tail = np.frombuffer(data[start + size : len(data) - DIGEST], dtype="<i8").reshape(2, version.rows).astype(np.int64)
    if len(graph) != version.rows:
        raise IndexUnusable("it does not have the rows that it should")
    return AnnIndex(version, tail[0], tail[1], graph, len(data))


def checked_bytes(folder: Path) -> bytes:
    """The file's bytes, when they are what this installation wrote.

    Raises:
        IndexUnusable: when they are not, or there is no file.
    """
    try:
        data = (folder / ANN).read_bytes()
    except FileNotFoundError as error:
        raise IndexUnusable("there is none") from error
    except OSError as error:
        raise IndexUnusable(f"it can not be read ({error.strerror})") from error
    key = secret(make=False)
    if key is None:
        raise IndexUnusable("it was not made by this installation")
    magic, length = _HEAD.unpack(data[: _HEAD.size]) if len(data) > _HEAD.size + DIGEST else (b"", 0)
    body = memoryview(data)[:-DIGEST]
    sound = magic == _MAGIC and length <= min(_HEADER_LIMIT, len(body) - _HEAD.size)
    if not sound or not hmac.compare_digest(keyed_digest([body], key), data[-DIGEST:]):
        raise IndexUnusable("it is damaged, or was not made by this installation")
    return data


def drop_index(folder: Path) -> bool:
    """Remove the index; gives whether there was one."""
    there = (folder / ANN).exists()
    (folder / ANN).unlink(missing_ok=True)
    return there


def check_index(folder: Path) -> list[Problem]:
    """What is wrong with the file: that it is damaged. An outdated one is normal.

    One of another installation looks the same as a damaged one, unless this installation has made none yet.
    """
    if not (folder / ANN).exists() or secret(make=False) is None:
        return []
    try:
        checked_bytes(folder)
    except IndexUnusable as error:
        return [Problem("index", f"{ANN}: {error}; build it again: vlcli store index {folder} --kind ann")]
    return []


def keyed_digest(parts: Iterable[bytes | memoryview], key: bytes | None) -> bytes:
    """BLAKE2b over the parts with this installation's secret."""
    digest = hashlib.blake2b(key=key or b"", digest_size=DIGEST)
    for part in parts:
        digest.update(part)
    return digest.digest()


def secret(make: bool) -> bytes | None:
    """This installation's secret for derived files that are read by native code; None when there is none yet.

    Args:
        make: make one durably where there is none, or none that could be one.
    """
    path = home() / KEY
    key = read_secret(path)
    if not make:
        return key
    clear_once(make_folder(path.parent))
    if key is not None:
        return key
    scratch = path.with_name(f"{temporary_prefix(KEY)}{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(scratch, path)  # the first of several processes wins
        except OSError:  # one was first, what is there is no key, or the file system knows no links
            if read_secret(path) is None:
                scratch.replace(path)
        sync_folder(path.parent)
    finally:
        scratch.unlink(missing_ok=True)
    return read_secret(path)


def read_secret(path: Path) -> bytes | None:
    """The secret in a file; None when there is no file, or it does not have a secret's length."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        return None
    return key if len(key) == KEY_BYTES else None


def fit(index: AnnIndex, version: Version, store: BaseStore) -> Fitted:
    """Fit an index to a state of its store.

    Raises:
        IndexUnusable: when too much has changed since it was built.
    """
    if index.version == version:
        return Fitted(index, version, np.ones(len(index.numbers), dtype=bool), None)
    changes = compare(index.numbers, index.checksums, *store.catalog.row_checksums())
    if changes.many:
        count = len(changes.fresh) + changes.gone
        raise IndexUnusable(f"{count:,} rows have changed since it was built")
    alive = np.zeros(len(index.numbers), dtype=bool)
    alive[changes.place[changes.same]] = True
    fresh = changes.fresh
    return Fitted(index, version, alive, (fresh, read_verified(store, fresh.tolist())) if len(fresh) else None)


def search_index(
    fitted: Fitted, store: BaseStore, queries: NDArray[np.float32], top: int, excluded: NDArray[np.int64]
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]] | None:
    """Row numbers and exact scores of the best candidates for each query; None when there are too few candidates.

    Args:
        fitted: to the state that is being read.
        store: gives the candidates' vectors.
        queries: `[Q, D]` float32, unit norm.
        top: at most this many for each query.
        excluded: row numbers that may not be answered.
    """
    index = fitted.index
    allowed = fitted.alive if not len(excluded) else fitted.alive & ~np.isin(index.numbers, excluded)
    reachable = int(np.count_nonzero(allowed))
    wanted = min(OVERSAMPLE * top + min(len(allowed) - reachable, top), len(allowed))
    best = TopK(queries, top)
    if fitted.extra is not None:
        rows, vectors = fitted.extra
        keep = ~np.isin(rows, excluded)
        best.feed(rows, vectors, keep)
        reachable += int(np.count_nonzero(keep))
    if wanted:
        index.graph.expansion_search = max(EXPANSION, wanted)
        candidates = []
        for places in nearest(index.graph, queries, wanted):
            candidates.append(index.numbers[places[allowed[places]]])
        # Each row is read once; the caller verifies those that are answers.
        every = np.unique(np.concatenate(candidates))
        raw = read_raw(store, every.tolist())
        for query, rows in enumerate(candidates):
            best.offer(query, rows, raw[np.searchsorted(every, rows)])
    if any(len(rows) < min(top, reachable) for rows in best.rows):
        return None
    return list(zip(best.rows, best.scores, strict=True))


def nearest(graph: Any, queries: NDArray[np.float32], count: int) -> list[NDArray[np.int64]]:
    """Keys of the candidates for each query; one query alone is cheaper without the library's threads."""
    if len(queries) == 1:
        return [graph.search(queries[0], count).keys.astype(np.int64)]
    found = graph.search(queries, count, threads=os.cpu_count() or 1)
    return [keys[:size].astype(np.int64) for keys, size in zip(found.keys, found.counts, strict=True)]


class AnnReader:
    """The index of an open store, read when it is first needed and again when the file is another one."""

    def __init__(self) -> None:
        self.index: AnnIndex | None = None
        self.fitted: Fitted | None = None
        self.file: tuple[int, int, int] | None = None

    def at(self, version: Version, store: BaseStore) -> Fitted:
        """The index, fitted to this state.

        Raises:
            IndexUnusable: when there is none that serves it.
            VlcliError: P203 without the library.
        """
        library()
        try:
            status = (store.path / ANN).stat()
        except OSError as error:
            raise IndexUnusable("there is none") from error
        file = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self.index is None or self.file != file:
            self.index = self.fitted = None
            self.index, self.file = read_index(store.path, version.uuid, version.dim), file
        if self.fitted is None or self.fitted.version != version:
            self.fitted = None
            self.fitted = fit(self.index, version, store)
        return self.fitted
