"""The bytes of a file, and the ceilings on what is made of them."""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vlcli.data.limits import max_file_bytes
from vlcli.errors import VlcliError

MOST_BYTES = 500_000_000
"""Of one file, unpacked."""
MOST_ELEMENTS = 5_000_000
"""Vertices, and triangles, of one file. With them loading takes at most some 2 GB."""
LONGEST_LINE = 1_000_000


@dataclass(frozen=True, eq=False)
class Content:
    """A file in memory.

    Attributes:
        path: where it came from; files beside it may belong to it.
        data: its bytes, unpacked.
        ending: of its name, lower case, without `.gz`.
        where: the path as messages write it.
    """

    path: Path
    data: bytes
    ending: str
    where: str


def read_content(path: Path, where: str, ceiling: int | None = None) -> Content:
    """A file's bytes; gzip is unpacked up to the ceiling.

    Raises:
        VlcliError: D113 unreadable, D702 too large, D711 damaged gzip data.
    """
    limit = min(MOST_BYTES if ceiling is None else ceiling, max_file_bytes())
    try:
        with path.open("rb") as file:
            # A read allocates all that it is asked for, so it is asked for no more than there is.
            data = file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)
    except OSError as error:
        raise VlcliError("D113", where, f"can not be read ({error.strerror})", "check its permissions") from error
    check_bytes(len(data), limit, where)
    endings = [ending.lower() for ending in path.suffixes]
    if endings[-1:] == [".gz"]:
        data, endings = unpack(data, limit, where), endings[:-1]
    return Content(path, data, endings[-1] if endings else "", where)


def unpack(data: bytes, limit: int, where: str) -> bytes:
    """What gzip data holds, at most `limit` bytes of it."""
    parts: list[bytes] = []
    size = 0
    try:
        while data:
            unpacker = zlib.decompressobj(wbits=31)
            part = unpacker.decompress(data, limit + 1 - size)
            size += len(part)
            check_bytes(size, limit, where)
            parts.append(part)
            if not unpacker.eof:
                raise VlcliError("D711", where, "its gzip data ends too early", "replace the file by a good copy")
            data = unpacker.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise VlcliError("D711", where, f"its gzip data is damaged ({error})", "replace the file") from error
    return b"".join(parts)


def check_bytes(size: int, limit: int, where: str) -> None:
    """Refuse more bytes than are read."""
    if size > limit:
        raise VlcliError("D702", where, f"holds more than {limit:,} bytes, the most that is read of one shape",
                         "thin it out")  # fmt: skip


def check_count(count: int, what: str, where: str) -> None:
    """Refuse more vertices or triangles than are read."""
    if count > MOST_ELEMENTS:
        raise VlcliError("D702", where, f"has {count:,} {what}, more than the limit of {MOST_ELEMENTS:,}",
                         "thin it out")  # fmt: skip


def check_room(needed: int, held: int, announced: str, where: str) -> None:
    """Refuse a header that announces more than the file holds."""
    if needed > held:
        raise VlcliError("D703", where, f"announces {announced}, at least {needed:,} bytes, and holds {held:,}",
                         "the file is cut short or damaged")  # fmt: skip


def text_lines(content: Content, *, comment: bytes | None = b"#", start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The lines of a text that are neither empty nor comments, each with its number, stripped.

    Raises:
        VlcliError: D701 when it is not such a text, D709 for a line beyond all reason.
    """
    data = content.data
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise VlcliError("D701", content.where, "is UTF-16 text", "save it as ASCII or UTF-8")
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
    stream = io.BytesIO(data)
    stream.seek(3 if not start and data.startswith(b"\xef\xbb\xbf") else start)
    number = data.count(b"\n", 0, start)
    while line := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise VlcliError("D709", content.where, f"line {number} is longer than {LONGEST_LINE:,} bytes",
                             "the file is damaged or of another kind")  # fmt: skip
        if comment is not None and comment in line:
            line = line[: line.index(comment)]
        line = line.strip()
        if b"\0" in line:
            raise VlcliError("D701", content.where, f"line {number} holds binary data", f"no {content.ending} text has")
        if line:
            yield number, line


def bad_line(content: Content, number: int, reason: str) -> VlcliError:
    """The refusal of a line."""
    return VlcliError("D709", content.where, f"line {number}: {reason}", "mend the line")


def shown(text: bytes) -> str:
    """A piece of a file, for a message."""
    return ascii(text[:24].decode("latin-1"))


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, shortened."""
    return (str(error).strip().splitlines() or [""])[0][:160]
