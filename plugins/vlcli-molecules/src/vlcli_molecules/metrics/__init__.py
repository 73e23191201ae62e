"""Measures for what models write about molecules: text, structures and action sequences."""

from vlcli_molecules.metrics.actions import action_scores, parse_actions
from vlcli_molecules.metrics.molecules import (
    FRAGMENT_JOINT,
    canonical,
    canonical_side,
    molecule_of,
    molecule_scores,
    similarities,
)
from vlcli_molecules.metrics.pack import score
from vlcli_molecules.metrics.text import bleu, meteor, rouge, text_scores

__all__ = [
    "FRAGMENT_JOINT", "action_scores", "bleu", "canonical", "canonical_side", "meteor", "molecule_of",
    "molecule_scores", "parse_actions", "rouge", "score", "similarities", "text_scores",
]  # fmt: skip
