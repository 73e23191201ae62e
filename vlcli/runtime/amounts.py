"""Amounts that users write: bytes, pixels."""

from __future__ import annotations

import re

from vlcli.errors import VlcliError

LARGEST = 2.0**63  # what a system call takes
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_amount(text: str, where: str = "") -> int:
    """A number with an optional unit as an integer: `100M`, `1.5GB` and `2500000` count by 1000, `2GiB` by 1024.

    Raises:
        VlcliError: U130 when the text is no positive amount, or more than any system can count.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)(?:b|pixels?|px)?\s*", text, re.IGNORECASE)
    amount = float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()] if match else 0.0
    if not 1 <= amount < LARGEST:
        raise VlcliError("U130", where, f"'{text}' is not an amount", "write a number such as 100M or 2GB")
    return int(amount)


def show_bytes(count: int) -> str:
    """Bytes for people, by 1024: `1.5 GiB`."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"
