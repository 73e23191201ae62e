"""What all measures share."""

from __future__ import annotations

from collections.abc import Sequence

from vlcli.errors import VlcliError


def check_pairs(predictions: Sequence[str], references: Sequence[str]) -> None:
    """Refuse lists that can not be compared.

    Raises:
        VlcliError: E610.
    """
    if not predictions or len(predictions) != len(references):
        what = f"{len(predictions)} predictions can not be compared with {len(references)} references"
        raise VlcliError("E610", "metrics", what, "give one prediction for each reference, and at least one")


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean of at least one value."""
    return sum(values) / len(values)
