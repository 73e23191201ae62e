"""Which of several processes this one is, as `accelerate launch` and `torchrun` tell it. Imports nothing heavy."""

from __future__ import annotations

import os


def process_count() -> int:
    """How many processes run together; 1 outside a launcher."""
    return number("WORLD_SIZE", 1)


def process_index() -> int:
    """This process's number among them; 0 is the one that writes."""
    return number("RANK", 0) if process_count() > 1 else 0


def number(variable: str, default: int) -> int:
    """An environment variable as a number; the default when it is none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else default
