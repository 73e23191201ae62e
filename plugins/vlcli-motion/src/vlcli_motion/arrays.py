"""NumPy's files, read with care: what a header announces is checked against the bytes, and nothing is unpickled."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from vlcli.errors import VlcliError

MOST_ARRAY_BYTES = 100_000_000
MOST_MEMBERS = 1000
COPY = "replace it by a good copy"
_HEADER_ERRORS = (ValueError, TypeError, SyntaxError, KeyError, EOFError, OverflowError, RecursionError,
                  AttributeError, IndexError, MemoryError, tokenize.TokenError)  # fmt: skip

_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)


def read_array(stream: IO[bytes], size: int, where: str) -> np.ndarray:
    """The numbers of an NPY file or member of `size` bytes.

    Raises:
        VlcliError: D801 damaged, D802 too large, D803 announces more than it holds, D810 not plain numbers, D811 Python
            objects.
    """
    if size > MOST_ARRAY_BYTES:
        raise VlcliError("D802", where, f"has {size:,} bytes, more than the limit of {MOST_ARRAY_BYTES:,}", "cut it")
    data = stream.read(size + 1)
    if not data.startswith(b"\x93NUMPY"):
        raise VlcliError("D801", where, "is not a NumPy array: it does not begin as one", COPY)
    buffer = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(buffer)
        if version[0] not in (1, 2, 3):
            raise ValueError(f"version {version[0]}.{version[1]} is unknown")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read(buffer)
    except _HEADER_ERRORS as error:
        reason = ascii(" ".join(str(error).split())[:100])
        raise VlcliError("D801", where, f"its NumPy header is damaged ({reason[1:-1]})", COPY) from error
    if kind.hasobject:
        raise VlcliError("D811", where, "holds Python objects, which are never unpickled", "save plain arrays")
    if kind.kind not in "fiu" or kind.shape or kind.itemsize > 8:
        raise VlcliError("D810", where, f"holds values of type {kind}, not plain numbers")
    if len(shape) > 8 or any(not isinstance(side, int) or side < 0 for side in shape):
        raise VlcliError("D801", where, "its NumPy header states an impossible shape", COPY)
    count, held = math.prod(shape), len(data) - buffer.tell()
    if count * kind.itemsize > held:
        raise VlcliError("D803", where, f"announces an array of shape {told(shape)}, {count * kind.itemsize:,} bytes, "
                         f"and holds {held:,}", COPY)  # fmt: skip
    return np.frombuffer(data, kind, count, buffer.tell()).reshape(shape, order="F" if fortran else "C")


def told(shape: tuple[int, ...]) -> str:
    """A shape, in brackets."""
    return "[" + ", ".join(f"{side:,}" for side in shape[:6]) + ("" if len(shape) <= 6 else ", …") + "]"


class Archive:
    """The arrays of an NPZ file, unpacked one by one when asked for."""

    def __init__(self, archive: zipfile.ZipFile, where: str) -> None:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        if len(entries) > MOST_MEMBERS:
            raise VlcliError("D802", where, f"holds {len(entries):,} files, more than {MOST_MEMBERS:,}")
        self.archive, self.where = archive, where
        self.entries = {entry.filename.removesuffix(".npy").lower(): entry for entry in entries}

    def names(self) -> str:
        """What it holds, for messages."""
        return ascii(", ".join(sorted(self.entries)[:12]))[1:-1] or "nothing"

    def get(self, *names: str) -> np.ndarray | None:
        """The first array of these names that it holds.

        Raises:
            VlcliError: as `read_array`.
        """
        name = next((name for name in names if name in self.entries), None)
        if name is None:
            return None
        entry = self.entries[name]
        try:
            with self.archive.open(entry) as member:
                return read_array(member, entry.file_size, f"{self.where} ({ascii(name)[1:-1]})")
        except _ZIP_ERRORS as error:
            raise damaged(self.where, error) from error


@contextmanager
def open_archive(path: Path, where: str) -> Iterator[Archive]:
    """An NPZ file.

    Raises:
        VlcliError: D812 for a damaged or protected zip file, D802 for too many members.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _ZIP_ERRORS as error:
        raise damaged(where, error) from error
    with archive:
        yield Archive(archive, where)


def damaged(where: str, error: Exception) -> VlcliError:
    """The refusal of a zip file that can not be unpacked."""
    reason = ascii(" ".join(str(error).split())[:100])[1:-1]
    return VlcliError("D812", where, f"is a damaged or protected zip file ({reason})", COPY)
