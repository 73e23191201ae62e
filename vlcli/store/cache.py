"""`vectors.npy`: the vectors as a memory-mapped matrix, derived from the database and never trusted.

The file is an ordinary `.npy` array `[N, D]` float32 (`np.load(…, mmap_mode="r")` reads it), followed by the row
numbers (int64) and a footer: a JSON object, its length and a magic word. One file, because one rename is atomic and two
are not: matrix, row numbers and footer can never come from different versions, however many processes build at once.

The footer binds the file to one state of one store: its id, the commit at which vectors last changed, and the content
sum. A file that belongs to another state, has another shape or size, or fails its checksums is rebuilt. Files up to
`FULL_CHECK_BYTES` are checked in full when they are opened, larger ones in a random sample of their blocks; and a store
compares every answer with the database, so what a damaged large file can cost is a missed hit until `check` is run,
never a wrong one.
"""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
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
_MAGIC = b"vlcache1"
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
    """An open cache: row numbers `[N]` and vectors `[N, D]`, both mapped."""

    version: Version
    numbers: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The rows in blocks; nothing is read before it is used, so they may be large."""
        for start in range(0, len(self.numbers), MAPPED_ROWS):
            yield self.numbers[start : start + MAPPED_ROWS], self.vectors[start : start + MAPPED_ROWS]


def open_cache(folder: Path, version: Version, full: bool = False) -> Mapped:
    """Map the cache of this version.

    Args:
        folder: the store.
        version: what the database says.
        full: check every block, however large the file.

    Raises:
        CacheInvalid: when it is missing, of another version, or damaged.
    """
    path = folder / CACHE
    try:
        return _open(path, version, full)
    except (OSError, ValueError, KeyError, TypeError, struct.error, UnicodeDecodeError) as error:
        reason = "there is none yet" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}"
        raise CacheInvalid(reason) from error


def _open(path: Path, version: Version, full: bool) -> Mapped:
    with path.open("rb") as file:
        footer, end = _read_footer(file)
        if footer.get("version") != asdict(version):
            raise CacheInvalid("it belongs to another state of the store")
        file.seek(0)
        if npy.read_magic(file) != (1, 0):
            raise CacheInvalid("its header is not that of a version 1.0 .npy file")
        shape, fortran, dtype = npy.read_array_header_1_0(file)
        start = file.tell()
    if shape != (version.rows, version.dim) or fortran or dtype != np.dtype("<f4"):
        raise CacheInvalid(f"it holds {dtype} {shape}, not float32 {(version.rows, version.dim)}")
    middle = start + 4 * version.rows * version.dim
    if end != middle + 8 * version.rows:
        raise CacheInvalid("its size does not fit its shape")
    if version.rows == 0:
        return Mapped(version, np.empty(0, dtype=np.int64), np.empty((0, version.dim), dtype=np.float32))
    vectors = np.memmap(path, dtype="<f4", mode="r", offset=start, shape=shape)
    numbers = np.array(np.memmap(path, dtype="<i8", mode="r", offset=middle, shape=(version.rows,)), dtype=np.int64)
    if zlib.crc32(numbers.astype("<i8").tobytes()) != footer["numbers_crc"]:
        raise CacheInvalid("its row numbers are damaged")
    mapped = Mapped(version, numbers, np.asarray(vectors, dtype=np.float32))
    sums = footer["block_crc"]
    count = -(-version.rows // BLOCK_ROWS)
    if len(sums) != count:
        raise CacheInvalid("its list of checksums is incomplete")
    everything = full or 4 * version.rows * version.dim <= FULL_CHECK_BYTES
    chosen = range(count) if everything else random.sample(range(count), min(count, SAMPLED_BLOCKS))
    for index in chosen:
        if zlib.crc32(mapped.vectors[index * BLOCK_ROWS : (index + 1) * BLOCK_ROWS].data) != sums[index]:
            raise CacheInvalid(f"block {index} of {count} is damaged")
    return mapped


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
    folder: Path, version: Version, blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.float32]]]
) -> None:
    """Write the cache of this version atomically.

    Args:
        folder: the store.
        version: what the database says; its `rows` must be the number of rows in `blocks`.
        blocks: the rows by rising number, `BLOCK_ROWS` in each block but the last.

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
        if len(every) != version.rows:
            raise ValueError(f"{len(every)} vectors for {version.rows} items")
        tail = every.astype("<i8").tobytes()
        file.write(tail)
        footer = {"version": asdict(version), "numbers_crc": zlib.crc32(tail), "block_crc": sums}
        text = json.dumps(footer).encode()
        file.write(text + _TAIL.pack(len(text), _MAGIC))
