"""File names as text. A name that is not UTF-8 reaches Python with surrogates, which neither JSON nor SQLite takes."""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def printable(path: str | Path) -> str:
    r"""The path as text that any encoder takes: bytes that are not UTF-8 are written `\xNN`."""
    text = os.fspath(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text


def real_path(text: str) -> Path:
    """The path behind what `printable` gave: the text itself, or its escapes resolved when only that file exists."""
    plain = Path(text)
    if "\\x" not in text or os.path.lexists(plain):
        return plain
    raw = _ESCAPE.sub(lambda match: chr(0xDC00 + int(match[1], 16)) if int(match[1], 16) > 127 else match[0], text)
    unescaped = Path(raw)
    return unescaped if os.path.lexists(unescaped) else plain
