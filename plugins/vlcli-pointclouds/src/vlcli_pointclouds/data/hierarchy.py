"""Names of ShapeNet's categories on two levels, from the lists that JM3D publishes.

`ShapeNet_Class2Labels.json` numbers the synsets of both levels, `ShapeNet_Label2Names.json` names the numbers, and the
tables `ShapeNet_{train,test}.csv` tell each model's synsets.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlcli.api import VlcliError
from vlcli.data.names import printable

LABELS, NAMES = "ShapeNet_Class2Labels.json", "ShapeNet_Label2Names.json"
LEVELS = ("super", "sub")


@dataclass(frozen=True)
class ShapeNetNames:
    """The two levels.

    Attributes:
        super: synset of a category -> its name (`02691156` -> `airplane`).
        sub: synset of a sub-category -> its name (`02690373` -> `airliner`).
        models: model -> its category's and its sub-category's synset.
    """

    super: dict[str, str]
    sub: dict[str, str]
    models: dict[str, tuple[str, str]] = field(default_factory=dict)

    def of_model(self, model: str, synset: str = "") -> tuple[str, ...]:
        """Names from the category down: `("airplane", "airliner")`; fewer where less is known."""
        above, below = self.models.get(model, (synset, ""))
        names = (self.super.get(above), self.sub.get(below))
        return tuple(dict.fromkeys(name for name in names if name))

    def children(self) -> dict[str, list[str]]:
        """Name of each category -> names of the sub-categories that its models have."""
        found: dict[str, set[str]] = {name: set() for name in self.super.values()}
        for above, below in self.models.values():
            if above in self.super and below in self.sub:
                found[self.super[above]].add(self.sub[below])
        return {name: sorted(inner) for name, inner in found.items()}


def read_names(folder: Path) -> ShapeNetNames:
    """The names in a folder of JM3D's lists.

    Raises:
        VlcliError: D757 when a list is missing or not of this form.
    """
    labels, names = read_json(folder / LABELS), read_json(folder / NAMES)
    levels: dict[str, dict[str, str]] = {}
    for level in LEVELS:
        by_number = names.get(level)
        by_synset = labels.get(level)
        if not isinstance(by_number, dict) or not isinstance(by_synset, dict):
            raise VlcliError("D757", printable(folder), f"its lists have no level '{level}'", "bring JM3D's own files")
        levels[level] = {
            synset: printable(str(by_number[str(number)]))
            for synset, number in by_synset.items()
            if str(number) in by_number
        }
    models = {}
    for table in sorted(folder.glob("ShapeNet_*.csv")):
        with open(table, encoding="utf-8", errors="surrogateescape", newline="") as file:
            for row in csv.reader(file):
                # number, synset, sub-synset, model, split
                if len(row) >= 4 and row[1].isdigit():
                    models[row[3]] = (row[1], row[2])
    return ShapeNetNames(levels["super"], levels["sub"], models)


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise VlcliError("D757", printable(path), "there is no such file", "bring JM3D's lists") from error
    except (OSError, ValueError, RecursionError) as error:
        raise VlcliError(
            "D757", printable(path), f"is not a JSON file ({str(error)[:80]})", "bring it again"
        ) from error
    if not isinstance(value, dict):
        raise VlcliError("D757", printable(path), "is not a JSON object", "bring JM3D's own file")
    return value
