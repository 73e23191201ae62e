"""How many of an object's properties a caption names, slot by slot: its category, its colour, its proportions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlcli.data.dataset import Example


def slot_values(examples: Sequence[Example], slots: Sequence[str]) -> dict[str, list[str]]:
    """The values that each slot takes in the metadata; slots with fewer than two are left out."""
    found = {slot: sorted({str(e.metadata[slot]) for e in examples if e.metadata.get(slot)}) for slot in slots}
    return {slot: values for slot, values in found.items() if len(values) > 1}


def said(text: str, value: str) -> bool:
    """Whether a text holds a value as whole words."""
    return re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", text.lower()) is not None


def right_slots(text: str, truth: Mapping[str, str], values: Mapping[str, Sequence[str]]) -> dict[str, bool]:
    """Slot -> whether the text names the true value and no other value of the slot.

    A value that is part of the true one ("red" in "dark red") does not count as another.
    """
    found = {}
    for slot, true in truth.items():
        others = [value for value in values[slot] if value != true and value.lower() not in true.lower()]
        found[slot] = said(text, true) and not any(said(text, other) for other in others)
    return found


def slot_accuracy(
    texts: Sequence[str], examples: Sequence[Example], values: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Share of the captions that name each slot rightly, and, as `slot_accuracy`, the mean over slots."""
    hits: dict[str, list[bool]] = {slot: [] for slot in values}
    for text, example in zip(texts, examples, strict=True):
        truth = {slot: str(example.metadata[slot]) for slot in values if example.metadata.get(slot)}
        for slot, right in right_slots(text, truth, values).items():
            hits[slot].append(right)
    shares = {slot: sum(rows) / len(rows) for slot, rows in hits.items() if rows}
    found = {f"slot_{slot}": share for slot, share in shares.items()}
    if shares:
        found["slot_accuracy"] = sum(shares.values()) / len(shares)
    return found
