"""Ceilings on one input, checked before it is read: bytes of a file, pixels of a picture or frame."""

from __future__ import annotations

import os

from vlcli.runtime.amounts import parse_amount

__all__ = [
    "DEFAULT_MAX_BYTES",
    "DEFAULT_MAX_PIXELS",
    "MAX_BYTES_VARIABLE",
    "MAX_PIXELS_VARIABLE",
    "max_file_bytes",
    "max_pixels",
    "parse_amount",
]

MAX_BYTES_VARIABLE = "VLCLI_MAX_FILE_SIZE"
MAX_PIXELS_VARIABLE = "VLCLI_MAX_PIXELS"
DEFAULT_MAX_BYTES = 1_000_000_000
DEFAULT_MAX_PIXELS = 100_000_000


def max_file_bytes() -> int:
    """The largest file that is read, in bytes: `$VLCLI_MAX_FILE_SIZE`, or 1 GB."""
    text = os.environ.get(MAX_BYTES_VARIABLE)
    return parse_amount(text, MAX_BYTES_VARIABLE) if text else DEFAULT_MAX_BYTES


def max_pixels() -> int:
    """The largest picture that is decoded, in pixels: `$VLCLI_MAX_PIXELS`, or 100 million."""
    text = os.environ.get(MAX_PIXELS_VARIABLE)
    return parse_amount(text, MAX_PIXELS_VARIABLE) if text else DEFAULT_MAX_PIXELS
