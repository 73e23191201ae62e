"""The five tasks with their prompts, word for word those of the released model (MIT, GT4SD, README and sample data).

No torch and no RDKit here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vlcli.errors import VlcliError, did_you_mean

Kind = Literal["text", "actions", "molecule", "reaction-side"]


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        name: short name, on the command line and in files.
        prompt: what stands before the input; it ends with a blank.
        reads, writes: what input and output are.
    """

    name: str
    prompt: str
    reads: Kind
    writes: Kind


TASKS = (
    Task("forward", "Predict the product of the following reaction: ", "reaction-side", "reaction-side"),
    Task("retro", "Predict the reaction that produces the following product: ", "reaction-side", "reaction-side"),
    Task("actions", "Which actions are described in the following paragraph: ", "text", "actions"),
    Task("from-text", "Write in SMILES the described molecule: ", "text", "molecule"),
    Task("caption", "Caption the following SMILES: ", "molecule", "text"),
)

TASK_NAMES = tuple(task.name for task in TASKS)


def task_of(name: str) -> Task:
    """The task of this name.

    Raises:
        VlcliError: T601 for another name.
    """
    for task in TASKS:
        if task.name == name:
            return task
    help = did_you_mean(name, list(TASK_NAMES)) or f"tasks: {', '.join(TASK_NAMES)}"
    raise VlcliError("T601", "tasks", f"there is no task '{name}'", help)


def split_prompt(text: str) -> tuple[Task, str] | None:
    """The task of a prompted text and what follows the prompt; None when no prompt begins it."""
    for task in TASKS:
        if text.startswith(task.prompt.rstrip()):
            return task, text[len(task.prompt.rstrip()) :].strip()
    return None
