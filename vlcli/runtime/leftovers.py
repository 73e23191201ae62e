"""What a process that was killed leaves beside the files it was writing, and how the next one clears it away.

Whatever is written atomically is first written under a temporary name that says whose it is:

    .NAME.MACHINE-PROCESS-RANDOM.tmp     an unfinished new version
    .NAME.MACHINE-PROCESS-RANDOM.old     the version before, while a folder is exchanged

Only names of this form are touched, and only when their owner is dead: it ran on this host before the last boot, or in
this process name space and no such process is alive. Of an owner on another host, or in another container of this one,
nothing is known: what it wrote is taken as left behind when nothing changed for a day.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import socket
import time
from pathlib import Path

FOREIGN_SECONDS = 24 * 3600.0
NAME_LENGTH = 40  # of the target's name in the temporary one, so that no file system's limit is reached
_PATTERN = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{24})-(?P<process>[0-9]+)-[^-.]+\.(?P<kind>tmp|old)", re.DOTALL
)


@functools.lru_cache(maxsize=1)
def machine() -> str:
    """Three times eight hex digits: this host, its present boot, and the name space of process numbers."""
    host = [socket.gethostname(), *(_read(Path(name)) for name in ("/etc/machine-id", *_network_addresses()))]
    space = ""
    with contextlib.suppress(OSError):  # only Linux has it
        space = str(Path("/proc/self/ns/pid").readlink())
    return _digits("\0".join(host)) + _digits(_read(Path("/proc/sys/kernel/random/boot_id"))) + _digits(space)


def _network_addresses() -> list[str]:
    """Files that hold the hardware addresses of this host, or container."""
    return sorted(str(path) for path in Path("/sys/class/net").glob("*/address"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


def temporary_prefix(name: str) -> str:
    """How the temporary version of the file or folder `name` begins, written by this process."""
    return f".{name[:NAME_LENGTH]}.{machine()}-{os.getpid()}-"


def is_temporary(name: str) -> bool:
    """Whether this is such a name, whoever its owner is."""
    return _PATTERN.fullmatch(name) is not None


def clear_leftovers(folder: Path) -> list[str]:
    """Remove the temporary files and folders of dead owners in `folder` (not below it); gives their names.

    A folder that had been set aside is put back when the new version never took its place.
    """
    cleared = []
    try:
        names = [entry.name for entry in folder.iterdir() if entry.name.startswith(".")]
    except OSError:  # no such folder, or one that may not be listed: there is nothing to clear
        return []
    for name in names:
        match = _PATTERN.fullmatch(name)
        if match is None or not _owner_is_dead(folder / name, match["machine"], int(match["process"])):
            continue
        target = folder / match["name"]
        # Another process may clear the same folder, and a file of another user may stay.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if match["kind"] == "old" and len(match["name"]) < NAME_LENGTH and not target.exists():
                (folder / name).rename(target)
            elif (folder / name).is_dir() and not (folder / name).is_symlink():
                shutil.rmtree(folder / name)
            else:
                (folder / name).unlink()
            cleared.append(name)
    return cleared


def _owner_is_dead(path: Path, owner_machine: str, process: int) -> bool:
    try:
        changed = path.lstat().st_mtime
    except FileNotFoundError:
        return False
    here = machine()
    if owner_machine[:8] == here[:8] and owner_machine[8:16] != here[8:16]:
        return True
    if owner_machine != here:
        return time.time() - changed > FOREIGN_SECONDS
    import psutil  # type: ignore[import-untyped]

    try:
        # A process that began after the file was last written only has the owner's number.
        return bool(psutil.Process(process).create_time() > changed + 5)
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False
