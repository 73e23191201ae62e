"""Text files read line by line with bounded memory, plain or gzip, and what is refused about them as a whole."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vlcli.data.files import check_file
from vlcli.data.limits import MAX_BYTES_VARIABLE, max_file_bytes
from vlcli.data.names import printable
from vlcli.errors import VlcliError

MAX_LINE_BYTES = 500_000
START = 4096
BOM = b"\xef\xbb\xbf"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A checked file, decompressed when its name ends in `.gz`.

    Raises:
        VlcliError: D111-D115 for the file itself, D606 when it is not text, D607 when the gzip data are damaged.
    """
    check_file(path)
    where = printable(path)
    with open(path, "rb") as plain:
        try:
            with gzip.open(plain) if path.suffix.lower() == ".gz" else plain as file:
                if b"\0" in file.read(START):
                    raise VlcliError("D606", where, "holds NUL bytes, so it is not a text file (or it is UTF-16)",
                                     "save it as UTF-8 text")  # fmt: skip
                file.seek(0)
                yield file  # type: ignore[misc]
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise VlcliError("D607", where, f"the gzip data are damaged ({error})", "replace the file") from error


def read_lines(file: BinaryIO, where: str) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines without their ends; a longer line than `MAX_LINE_BYTES` is cut one byte after.

    Bytes that are not UTF-8 stay as surrogates, so that only their item is refused.

    Raises:
        VlcliError: D115 when decompressed data go on beyond the limit on files.
    """
    number, total, ceiling = 0, 0, max_file_bytes()
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        total += len(line)
        if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(1 << 20)) and not rest.endswith(b"\n"):
                total += len(rest)
                check_total(total, ceiling, where)
        check_total(total, ceiling, where)
        if number == 1:
            line = line.removeprefix(BOM)
        yield number, line.decode("utf-8", "surrogateescape").rstrip("\r\n")


def check_total(total: int, ceiling: int, where: str) -> None:
    """Refuse what decompresses without end."""
    if total > ceiling:
        raise VlcliError("D115", where, f"holds more than the limit of {ceiling:,} bytes when decompressed",
                         f"raise --max-file-size or {MAX_BYTES_VARIABLE}")  # fmt: skip
