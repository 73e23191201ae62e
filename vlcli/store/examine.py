"""What ingestion finds out about an input before embedding it: stat, content hash, text and columns."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vlcli.api import Source
from vlcli.data.files import check_file
from vlcli.data.inputs import InputItem
from vlcli.data.names import printable
from vlcli.errors import VlcliError
from vlcli.runtime.files import sha256_bytes, sha256_file
from vlcli.store.records import metadata_json
from vlcli.store.types import Item, Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

INLINE_METADATA_TEXTS = ("caption", "text", "title")
# A file written less than this before it was looked at may be written again without its time changing, since file
# systems count time in steps (2 s on FAT). Its time is not stored, so the next run hashes it.
FRESH_NANOSECONDS = 2_000_000_000


@dataclass
class Examined:
    """An input with the stat and hash of its content, before it is embedded; `before` is the item as stored."""

    item: InputItem
    before: Item | None = None
    size: int | None = None
    mtime_ns: int | None = None
    inode: int | None = None
    content_hash: str = ""

    def row(self, vector: NDArray[np.float32]) -> Row:
        """The row to store."""
        source = self.item.source
        return Row(
            id=source.id,
            path=None if source.path is None else printable(source.path),
            modality=self.item.modality,
            content_hash=self.content_hash,
            size=self.size,
            mtime_ns=self.mtime_ns,
            inode=self.inode,
            text=text_with(source, self.before),
            metadata=metadata_with(source, self.before),
            vector=vector,
        )


def text_of(source: Source) -> str | None:
    """What full-text search shall find: the inline value, or a caption that came with the file."""
    if source.value is not None:
        return source.value
    return next((str(source.metadata[key]) for key in INLINE_METADATA_TEXTS if source.metadata.get(key)), None)


def text_with(source: Source, before: Item | None) -> str | None:
    """The text to store; a file that comes without columns keeps the text that it has."""
    if before is not None and source.path is not None and not source.metadata:
        return before.text
    return text_of(source)


def metadata_with(source: Source, before: Item | None) -> dict[str, Any]:
    """The columns to store: those of the manifest, or those stored when the file now comes by itself."""
    return dict(before.metadata if before is not None and not source.metadata else source.metadata)


def examine(item: InputItem, known: Item | None, verify: bool) -> Examined:
    """Stat an input and, where that settles it, give its content hash; `hash_content` does the rest.

    A stat equal to the stored one stands for equal content unless `verify`; the hash is then taken from the store.
    Inline content is hashed at once.

    Raises:
        VlcliError: D111-D115 when the file can not be used.
    """
    source = item.source
    if source.path is None:
        return Examined(item, known, content_hash=sha256_bytes(str(source.value).encode("utf-8", "surrogatepass")))
    status = check_file(source.path)
    fresh = time.time_ns() - status.st_mtime_ns < FRESH_NANOSECONDS
    examined = Examined(item, known, status.st_size, None if fresh else status.st_mtime_ns, status.st_ino)
    stat = (status.st_size, status.st_mtime_ns, status.st_ino)
    stat_is_equal = known is not None and (known.size, known.mtime_ns, known.inode) == stat
    if known is not None and stat_is_equal and not verify:
        examined.content_hash = known.content_hash
    return examined


def hash_content(examined: Examined) -> Examined:
    """The same with the hash of the file's content; runs in a thread.

    Raises:
        VlcliError: D113 when it can not be read.
    """
    path = examined.item.source.path
    assert path is not None  # inline content has its hash already
    try:
        # The stat was taken first: a file that is written meanwhile differs from it and is looked at again next time.
        return replace(examined, content_hash=sha256_file(path))
    except OSError as error:
        raise VlcliError("D113", printable(path), f"can not be read ({error.strerror})") from error


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as it comes back from a store that keeps it as JSON."""
    if not metadata:
        return {}
    restored: dict[str, Any] = json.loads(metadata_json(metadata))
    return restored
