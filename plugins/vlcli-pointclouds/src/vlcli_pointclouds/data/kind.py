"""What a category of the shapes world is: three sub-types, two builds that one can tell apart, and a builder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vlcli_pointclouds.data.parts import Parts


@dataclass(frozen=True)
class Choice:
    """What varies within a sub-type.

    Attributes:
        subtype: its name.
        build: 0…1, the share of the way from the first of the category's builds to the second (thin to thick).
        random: of all smaller variation.
    """

    subtype: str
    build: float
    random: np.random.Generator

    def between(self, low: float, high: float) -> float:
        """A number that varies freely."""
        return float(self.random.uniform(low, high))

    def built(self, low: float, high: float) -> float:
        """A number that the build decides."""
        return low + (high - low) * self.build

    def flip(self) -> bool:
        """Heads or tails."""
        return bool(self.random.random() < 0.5)


@dataclass(frozen=True, eq=False)
class Kind:
    """A category.

    Attributes:
        name: of the category.
        family: the category above.
        subtypes: name -> what can be seen on it, as it ends the dense description ("with four legs and a back").
        builds: two adjectives of its proportions, which survive scaling to the unit sphere.
        make: builds one.
        stretch: factors of height for the two builds, after building; (1, 1) where the builder minds the build itself.
    """

    name: str
    family: str
    subtypes: dict[str, str]
    builds: tuple[str, str]
    make: Callable[[Choice], Parts]
    stretch: tuple[float, float] = (1.0, 1.0)
