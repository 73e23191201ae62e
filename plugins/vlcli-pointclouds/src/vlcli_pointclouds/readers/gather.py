"""Numbers and triangles gathered from a text, line by line, in compact arrays."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from vlcli_pointclouds.readers.content import Content, bad_line, check_count, shown
from vlcli_pointclouds.shape import Floats, Integers


class Rows:
    """Rows of the same number of columns."""

    def __init__(self, content: Content, what: str, columns: int = 0) -> None:
        self.content, self.what, self.columns = content, what, columns
        self.values = array("d")
        self.count = 0

    def add(self, number: int, words: Sequence[bytes]) -> None:
        """A row's words; the first row decides how many columns there are, unless that was said before."""
        self.columns = self.columns or len(words)
        if len(words) != self.columns:
            raise bad_line(self.content, number, f"has {len(words)} numbers where {self.columns} belong")
        self.values.extend(numbers(self.content, number, words))
        self.count += 1
        if not self.count & 0xFFFF:
            check_count(self.count, self.what, self.content.where)

    def array(self) -> Floats:
        """`[N, columns]`."""
        check_count(self.count, self.what, self.content.where)
        return np.array(self.values, dtype=np.float64).reshape(self.count, self.columns or 3)


class Triangles:
    """Polygons cut into triangles, each fan-wise from its first corner."""

    def __init__(self, content: Content) -> None:
        self.content = content
        self.values = array("q")
        self.polygons = array("q")
        self.other = 0

    def add(self, corners: Sequence[int]) -> int:
        """A polygon's vertices, counted from 0; returns how many triangles it gave. Fewer than three give none."""
        for second, third in pairwise(corners[1:]):
            self.values.extend((corners[0], second, third))
        made = max(0, len(corners) - 2)
        self.polygons.append(made)
        self.other += not made
        check_count(len(self.values) // 3, "triangles", self.content.where)
        return made

    def add_equal(self, polygons: np.ndarray) -> None:
        """Polygons of the same number of corners, `[N, K]`."""
        count, corners = polygons.shape
        made = max(0, corners - 2)
        check_count(len(self.values) // 3 + made * count, "triangles", self.content.where)
        fans = np.empty((count, made, 3), dtype=np.int64)
        if made:
            fans[..., 0], fans[..., 1], fans[..., 2] = polygons[:, :1], polygons[:, 1:-1], polygons[:, 2:]
        self.values.frombytes(fans.tobytes())
        self.polygons.frombytes(np.full(count, made, dtype=np.int64).tobytes())
        self.other += 0 if made else count

    def array(self) -> Integers | None:
        """`[F, 3]`, or None without triangles."""
        return np.array(self.values, dtype=np.int64).reshape(-1, 3) if len(self.values) else None

    def spread(self, values: np.ndarray) -> np.ndarray:
        """What belongs to polygons, repeated for their triangles."""
        return np.repeat(values, np.array(self.polygons, dtype=np.int64), axis=0)

    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        return (f"{self.other:,} faces of fewer than three corners left out",) if self.other else ()


def numbers(content: Content, number: int, words: Sequence[bytes]) -> list[float]:
    """The words of a line as numbers."""
    try:
        return list(map(float, words))
    except ValueError:
        wrong = next(word for word in words if not is_number(word))
        raise bad_line(content, number, f"{shown(wrong)} is not a number") from None


def is_number(word: bytes) -> bool:
    """Whether it reads as a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True


def whole_number(content: Content, number: int, word: bytes, what: str) -> int:
    """A word as an integer that a file may state."""
    digits = word.lstrip(b"+-")
    if not digits.isdigit() or len(digits) > 18:
        raise bad_line(content, number, f"{shown(word)} is not {what}")
    return int(word)


def colours_of(values: Floats, whole: bool = False) -> Floats | None:
    """Colours in 0…1 from numbers in 0…1, 0…255 or 0…65,535, else None. `whole`: of integers 1 is nearly black."""
    if not values.size or not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        return None
    largest = values.max()
    return values / (1.0 if largest <= 1 and not whole else 255.0 if largest <= 255 else 65535.0)
