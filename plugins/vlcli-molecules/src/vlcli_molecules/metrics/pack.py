"""The measures of each task, under one call."""

from __future__ import annotations

from collections.abc import Sequence

from vlcli_molecules.chemistry_tasks.templates import task_of
from vlcli_molecules.metrics.actions import action_scores
from vlcli_molecules.metrics.molecules import molecule_scores
from vlcli_molecules.metrics.text import bleu, text_scores


def score(task: str, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """The measures that suit what a task writes: text, a molecule, a side of a reaction, or actions.

    Raises:
        VlcliError: T601 for an unknown task, E610 without pairs.
    """
    writes = task_of(task).writes
    if writes == "text":
        return text_scores(predictions, references)
    if writes == "actions":
        return action_scores(predictions, references) | {"bleu4": bleu(predictions, references, 4)}
    scores = molecule_scores(predictions, references, sides=writes == "reaction-side")
    return scores | {"bleu4": bleu(predictions, references, 4, characters=True)}
