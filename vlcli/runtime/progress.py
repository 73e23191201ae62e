"""A progress bar on a terminal, silence elsewhere; it writes to stderr, so stdout stays clean for results."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Iterable[Item], *, label: str, total: int | None = None, quiet: bool = False) -> Iterator[Item]:
    """Iterate over `items` with a bar when stderr is a terminal and `quiet` is off."""
    if quiet or not sys.stderr.isatty():
        yield from items
        return
    from tqdm import tqdm

    yield from tqdm(items, desc=label, total=total, file=sys.stderr, unit="", dynamic_ncols=True, leave=False)
