"""Action sequences of a synthesis, `ADD water (5 mL); STIR for 1 hour.`, against the right ones."""

from __future__ import annotations

from collections.abc import Sequence

from vlcli_molecules.metrics.pairs import check_pairs, mean


def parse_actions(text: str) -> list[str]:
    """The actions in their order, blanks normalised, without the closing full stop."""
    parts = text.strip().removesuffix(".").split(";")
    return [" ".join(part.split()) for part in parts if part.strip()]


def action_type(action: str) -> str:
    """The first word: what is done."""
    return action.split()[0].upper()


def action_scores(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Means over all pairs, each in [0, 1], higher is better.

    `sequence`: the whole sequence is right. `types`: the right kinds of action in the right order, whatever their
    arguments. `similarity`: 1 - edits / length of the longer sequence, whole actions being edited.
    `sequence-90`, `sequence-75`: the share of texts whose character similarity is at least 90 or 75 %
    (the measure of Vaucher et al., Nature Communications 2020).

    Raises:
        VlcliError: E610 without pairs.
    """
    from rapidfuzz.distance import Levenshtein

    check_pairs(predictions, references)
    found: dict[str, list[float]] = {}
    for prediction, reference in zip(predictions, references, strict=True):
        written, right = parse_actions(prediction), parse_actions(reference)
        near = Levenshtein.normalized_similarity("; ".join(written), "; ".join(right))
        one = {
            "sequence": float(written == right),
            "types": float([action_type(item) for item in written] == [action_type(item) for item in right]),
            "similarity": Levenshtein.normalized_similarity(written, right),
            "sequence-90": float(near >= 0.9),
            "sequence-75": float(near >= 0.75),
        }
        for name, value in one.items():
            found.setdefault(name, []).append(float(value))
    return {name: mean(values) for name, values in found.items()}
