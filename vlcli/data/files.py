"""The checks that every modality makes of a file before it opens it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from vlcli.data.limits import MAX_BYTES_VARIABLE, max_file_bytes
from vlcli.data.names import printable
from vlcli.errors import VlcliError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def check_file(path: Path, limit: int | None = None) -> os.stat_result:
    """The status of a regular, readable, non-empty file no larger than the limit (default `max_file_bytes()`).

    Nothing is read, so a named pipe does not block and a huge file costs nothing.

    Raises:
        VlcliError: D111 missing, D112 not a regular file, D113 unreadable, D114 empty, D115 too large.
    """
    where = printable(path)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        reason = "is a link to a file that is not there" if path.is_symlink() else "there is no such file"
        raise VlcliError("D111", where, reason, "check the path") from error
    except OSError as error:
        raise VlcliError("D113", where, f"can not be read ({error.strerror})", "check its permissions") from error
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS if test(status.st_mode)), "not a file")
        raise VlcliError("D112", where, f"is {kind}, not a file")
    if not os.access(path, os.R_OK):
        raise VlcliError("D113", where, "can not be read (permission denied)", "check its permissions")
    if status.st_size == 0:
        raise VlcliError("D114", where, "the file is empty")
    ceiling = max_file_bytes() if limit is None else limit
    if status.st_size > ceiling:
        raise VlcliError(
            "D115", where, f"the file has {status.st_size:,} bytes, more than the limit of {ceiling:,}",
            f"raise --max-file-size or {MAX_BYTES_VARIABLE}",
        )  # fmt: skip
    return status
