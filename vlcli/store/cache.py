"""`vectors.npy`: the vectors as a memory-mapped matrix, derived from the database and never trusted.

The file is an ordinary `.npy` array `[N, D]` float32 (`np.load(…, mmap_mode="r")` reads it), followed by the row
numbers, the rows' checksums as the database has them (both int64) and a footer: a JSON object, its length and a magic
word. One file, because one rename is atomic and two are not: matrix, row numbers and footer can never come from
different versions, however many processes build at once.

The footer binds the file to one state of one store: its id, the commit at which vectors last changed, and the content
sum. A file of another store, of another shape or size, or that fails its checksums is rebuilt. Files up to
`FULL_CHECK_BYTES` are checked in full when they are opened, larger ones in a random sample of their blocks; and a store
compares every answer with the database, so what a damaged large file can cost is a missed hit until `check` is run,
never a wrong one.

A file of another state of the same store is still worth much: the rows whose number and checksum are those of the
database hold the vectors of the database. `patch` takes those and reads the rest, so a change costs what changed; where
much has changed, `patched_blocks` gives what a new file is written from.
"""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vlcli.runtime.files import atomic_path
from vlcli.store.vectors import BLOCK_ROWS

CACHE = "vectors.npy"
FULL_CHECK_BYTES = 512 << 20
SAMPLED_BLOCKS = 8
MAPPED_ROWS = 1 << 18
CHECKERS = 2  # threads that checksum blocks; zlib works outside the interpreter's lock
PATCH_SHARE = 0.05
PATCH_ROWS = 2048
_MAGIC = b"vlcache2"
_TAIL = struct.Struct("<Q8s")  # length of the JSON footer, magic
_FOOTER_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True)
class Version:
    """The state of a store that a cache belongs to."""

    uuid: str
    commit: int
    content: int
    rows: int
    dim: int


class CacheInvalid(Exception):
    """The file is no cache of this version; the text says why."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """An open cache.

    Attributes:
        version: the state of the store that it gives.
        numbers: row numbers `[N]`, rising; -1 where the row is not part of this state.
        vectors: `[N, D]`, mapped.
        checksums: of the rows `[N]`, as the database has them.
        extra: numbers and vectors that are not in the file.
    """

    version: Version
    numbers: NDArray[np.int64]
    vectors: NDArray[np.float32]
    checksums: NDArray[np.int64]
    extra: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The rows in blocks; nothing is read before it is used, so they may be large."""
        for start in range(0, len(self.numbers), MAPPED_ROWS):
            yield self.numbers[start : start + MAPPED_ROWS], self.vectors[start : start + MAPPED_ROWS]
        if self.extra is not None:
            yield self.extra


@dataclass(frozen=True, slots=True)
class Changes:
    """What lies between a cache and a state of its store.

    Attributes:
        numbers: row numbers of the state `[M]`, rising.
        place: where they are in the cache `[M]`; meaningless where `same` is False.
        same: whether the cache has the row with the same checksum `[M]`.
        gone: how many of the cache's rows are not part of the state.
    """

    numbers: NDArray[np.int64]
    place: NDArray[np.int64]
    same: NDArray[np.bool_]
    gone: int

    @property
    def fresh(self) -> NDArray[np.int64]:
        """Numbers of the rows that the cache does not have."""
        return self.numbers[~self.same]

    @property
    def many(self) -> bool:
        """Whether a new file is better than a patch."""
        return len(self.fresh) + self.gone > max(PATCH_ROWS, PATCH_SHARE * len(self.numbers))


def compare(
    cached_numbers: NDArray[np.int64],
    cached_checksums: NDArray[np.int64],
    numbers: NDArray[np.int64],
    checksums: NDArray[np.int64],
) -> Changes:
    """Compare rows of a derived file with those of the database, both by rising number."""
    place = np.searchsorted(cached_numbers, numbers)
    inside = place < len(cached_numbers)
    place[~inside] = 0
    same = inside.copy()
    if len(cached_numbers):
        same &= (cached_numbers[place] == numbers) & (cached_checksums[place] == checksums)
    return Changes(numbers, place, same, len(cached_numbers) - int(np.count_nonzero(same)))


Read = Callable[[Sequence[int]], NDArray[np.float32]]
"""Verified vectors `[len(numbers), D]` of these rows from the database."""


def patch(mapped: Mapped, version: Version, changes: Changes, read: Read) -> Mapped:
    """The cache of an older state as one of `version`: what is gone is marked, what is fresh is read into memory."""
    alive = np.zeros(len(mapped.numbers), dtype=bool)
    alive[changes.place[changes.same]] = True
    fresh = changes.fresh
    extra = (fresh, read(fresh.tolist())) if len(fresh) else None
    return replace(mapped, version=version, numbers=np.where(alive, mapped.numbers, -1), extra=extra)


def patched_blocks(
    mapped: Mapped, changes: Changes, read: Read
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """The rows of the new state in blocks for `write_cache`: from the file where it has them, else from the database.

    `mapped` must have been checked in full, else damage in it would get a valid checksum.
    """
    for start in range(0, len(changes.numbers), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        same, numbers = changes.same[part], changes.numbers[part]
        block = np.empty((len(numbers), mapped.version.dim), dtype=np.float32)
        block[same] = mapped.vectors[changes.place[part][same]]
        if not same.all():
            block[~same] = read(numbers[~same].tolist())
        yield numbers, block


def open_cache(folder: Path, version: Version, full: bool = False, any_state: bool = False) -> Mapped:
    """Map the cache of this version.

    Args:
        folder: the store.
        version: what the database says.
        full: check every block, however large the file.
        any_state: also take a file of another state of the same store; the answer's `version` says which.

    Raises:
        CacheInvalid: when it is missing, of another version, or damaged.
    """
    path = folder / CACHE
    try:
        return _open(path, version, full, any_state)
    except (OSError, ValueError, KeyError, TypeError, struct.error, UnicodeDecodeError) as error:
        reason = "there is none yet" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        raise CacheInvalid(reason) from error


def _open(path: Path, version: Version, full: bool, any_state: bool) -> Mapped:
    with path.open("rb") as file:
        footer, end = _read_footer(file)
        found = Version(**footer["version"])
        if found != version and not (any_state and (found.uuid, found.dim) == (version.uuid, version.dim)):
            raise CacheInvalid("it belongs to another state of the store")
        file.seek(0)
        if npy.read_magic(file) != (1, 0):
            raise CacheInvalid("its header is not that of a version 1.0 .npy file")
        shape, fortran, dtype = npy.read_array_header_1_0(file)
        start = file.tell()
    rows, dim = found.rows, found.dim
    if shape != (rows, dim) or fortran or dtype != np.dtype("<f4"):
        raise CacheInvalid(f"it holds {dtype} {shape}, not float32 {(rows, dim)}")
    middle = start + 4 * rows * dim
    if end != middle + 16 * rows:
        raise CacheInvalid("its size does not fit its shape")
    if rows == 0:
        none = np.empty(0, dtype=np.int64)
        return Mapped(found, none, np.empty((0, dim), dtype=np.float32), none)
    tail = np.array(np.memmap(path, dtype="<i8", mode="r", offset=middle, shape=(2, rows)), dtype=np.int64)
    if zlib.crc32(tail.astype("<i8").tobytes()) != footer["numbers_crc"]:
        raise CacheInvalid("its row numbers are damaged")
    vectors = np.asarray(np.memmap(path, dtype="<f4", mode="r", offset=start, shape=shape), dtype=np.float32)
    _check_blocks(vectors, footer["block_crc"], full)
    return Mapped(found, tail[0], vectors, tail[1])


def _check_blocks(vectors: NDArray[np.float32], sums: list[int], full: bool) -> None:
    count = -(-len(vectors) // BLOCK_ROWS)
    if len(sums) != count:
        raise CacheInvalid("its list of checksums is incomplete")
    everything = full or vectors.nbytes <= FULL_CHECK_BYTES
    chosen = range(count) if everything else random.sample(range(count), min(count, SAMPLED_BLOCKS))

    def is_damaged(index: int) -> bool:
        return zlib.crc32(vectors[index * BLOCK_ROWS : (index + 1) * BLOCK_ROWS].data) != sums[index]

    with ThreadPoolExecutor(CHECKERS) as pool:
        for index, damaged in zip(chosen, pool.map(is_damaged, chosen), strict=True):
            if damaged:
                raise CacheInvalid(f"block {index} of {count} is damaged")


def _read_footer(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """The footer and the offset where it starts."""
    size = file.seek(0, 2)
    if size < _TAIL.size:
        raise CacheInvalid("it is too short")
    file.seek(size - _TAIL.size)
    length, magic = _TAIL.unpack(file.read(_TAIL.size))
    if magic != _MAGIC or length > min(size - _TAIL.size, _FOOTER_LIMIT):
        raise CacheInvalid("its end is missing")
    file.seek(size - _TAIL.size - length)
    footer = json.loads(file.read(length))
    if not isinstance(footer, dict):
        raise CacheInvalid("its footer is no object")
    return footer, size - _TAIL.size - length


def write_cache(
    folder: Path,
    version: Version,
    blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]],
    checksums: NDArray[np.int64],
) -> None:
    """Write the cache of this version atomically.

    Args:
        folder: the store.
        version: what the database says; its `rows` must be the number of rows in `blocks`.
        blocks: the rows by rising number, `BLOCK_ROWS` in each block but the last.
        checksums: of the rows `[N]`, by rising number.

    Raises:
        OSError: when it can not be written; an older cache is then still there.
        ValueError: when the blocks have other sizes.
    """
    numbers: list[NDArray[np.int64]] = []
    sums: list[int] = []
    with atomic_path(folder / CACHE) as temporary, temporary.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (version.rows, version.dim)}
        npy.write_array_header_1_0(file, header)
        for rows, block in blocks:
            if len(numbers) and len(numbers[-1]) != BLOCK_ROWS:
                raise ValueError(f"only the last block may hold fewer than {BLOCK_ROWS} rows")
            data = np.ascontiguousarray(block, dtype="<f4").data
            sums.append(zlib.crc32(data))
            file.write(data)
            numbers.append(rows)
        every = np.concatenate(numbers) if numbers else np.empty(0, dtype=np.int64)
        if not len(every) == len(checksums) == version.rows:
            raise ValueError(f"{len(every)} vectors and {len(checksums)} checksums for {version.rows} items")
        tail = every.astype("<i8").tobytes() + checksums.astype("<i8").tobytes()
        file.write(tail)
        footer = {"version": asdict(version), "numbers_crc": zlib.crc32(tail), "block_crc": sums}
        text = json.dumps(footer).encode()
        file.write(text + _TAIL.pack(len(text), _MAGIC))
