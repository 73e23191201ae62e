"""Ceilings on one input, checked before it is read: bytes of a file, pixels of a picture or frame."""

from __future__ import annotations

import os
import re

from vlcli.errors import VlcliError

MAX_BYTES_VARIABLE = "VLCLI_MAX_FILE_SIZE"
MAX_PIXELS_VARIABLE = "VLCLI_MAX_PIXELS"
DEFAULT_MAX_BYTES = 1_000_000_000
DEFAULT_MAX_PIXELS = 100_000_000

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_amount(text: str, where: str = "") -> int:
    """A number with an optional unit (`100M`, `1.5GB`, `2500000`) as an integer; units are powers of 1000.

    Raises:
        VlcliError: U130 when the text is no positive amount.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b|pixels?|px)?\s*", text, re.IGNORECASE)
    amount = int(float(match[1]) * _UNITS[match[2].lower()]) if match else 0
    if amount < 1:
        raise VlcliError("U130", where, f"'{text}' is not an amount", "write a number such as 100M or 2GB")
    return amount


def max_file_bytes() -> int:
    """The largest file that is read, in bytes: `$VLCLI_MAX_FILE_SIZE`, or 1 GB."""
    text = os.environ.get(MAX_BYTES_VARIABLE)
    return parse_amount(text, MAX_BYTES_VARIABLE) if text else DEFAULT_MAX_BYTES


def max_pixels() -> int:
    """The largest picture that is decoded, in pixels: `$VLCLI_MAX_PIXELS`, or 100 million."""
    text = os.environ.get(MAX_PIXELS_VARIABLE)
    return parse_amount(text, MAX_PIXELS_VARIABLE) if text else DEFAULT_MAX_PIXELS
