"""Sentences for what the operating system refuses."""

from __future__ import annotations

import errno

from vlcli.errors import VlcliError

REMEDIES = {
    errno.ENOSPC: ("X301", "the disk is full", "free space and run the same command again; finished work is kept"),
    errno.EDQUOT: ("X301", "the disk quota is used up", "free space and run the same command again"),
    errno.EACCES: ("X302", "permission denied", "choose a place that you may write to, or change its permissions"),
    errno.EPERM: ("X302", "operation not permitted", "choose a place that you may write to"),
    errno.EROFS: ("X302", "the file system is read-only", "choose a place that you may write to"),
    errno.ENOENT: ("X303", "no such file or folder", "check the path"),
    errno.ENOTDIR: ("X303", "is not a folder", "check the path"),
    errno.EISDIR: ("X303", "is a folder", "name a file"),
    errno.EEXIST: ("X303", "is there already, and is no folder", "name another path"),
    errno.EIO: ("X304", "the device reported an I/O error", "check the disk; finished work is kept"),
    errno.EMFILE: ("X305", "too many open files", "raise `ulimit -n`"),
    errno.ENAMETOOLONG: ("X306", "the name is too long", "shorten it"),
}


def explain_os_error(error: OSError) -> VlcliError:
    """An OSError as a VlcliError that names the file and the remedy."""
    code, message, remedy = REMEDIES.get(
        error.errno or 0, ("X300", error.strerror or str(error), "run again with --debug for the traceback")
    )
    # Of a rename the second name is the one that the user knows; the first is a temporary file's.
    return VlcliError(code, str(error.filename2 or error.filename or ""), message, remedy)
