"""What a user asks a trained model: inputs read and checked, outputs judged by RDKit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vlcli.api import Source
from vlcli.data.inputs import InputItem, RefusedInput, SkippedInput, expand_inputs
from vlcli.errors import VlcliError
from vlcli_molecules.chemistry_tasks.templates import task_of
from vlcli_molecules.metrics.molecules import canonical, canonical_side

if TYPE_CHECKING:
    from vlcli.registry import Registry
    from vlcli_molecules.methods.text_chem_t5.model import Output, TextChemModel

LONGEST_INPUT = 1024
"""Tokens; T5 itself has no limit, but the memory of its attention grows with the square."""


@dataclass(frozen=True)
class Question:
    """An input.

    Attributes:
        shown: where it is from, as the user knows it.
        text: what the model reads: a structure in canonical form, or words.
    """

    shown: str
    text: str


@dataclass(frozen=True)
class Judged:
    """An output; `valid` is RDKit's verdict, None for words; `canonical` the structure in canonical form."""

    text: str
    score: float
    valid: bool | None = None
    canonical: str | None = None


@dataclass(frozen=True)
class Answer:
    """The outputs for a question, best first."""

    question: Question
    outputs: list[Judged]

    def as_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        outputs = [
            {"text": one.text, "score": one.score}
            | ({} if one.valid is None else {"valid": one.valid, "canonical": one.canonical})
            for one in self.outputs
        ]
        return {"input": self.question.shown, "read_as": self.question.text, "outputs": outputs}


def read_inputs(task: str, inputs: Sequence[str], registry: Registry) -> tuple[list[Question], list[RefusedInput]]:
    """Every argument as a file, where there is one of that name, or as the input itself."""
    reads = task_of(task).reads
    questions: list[Question] = []
    refused: list[RefusedInput] = []
    for text in inputs:
        for source in sources_of(text, reads, registry, refused):
            try:
                shown = (source.value or "").strip() if source.id == text else source.id
                questions.append(Question(shown, read_one(source, reads, registry)))
            except VlcliError as error:
                refused.append(RefusedInput(source.id, error.code, str(error.message)))
    return questions, refused


def sources_of(text: str, reads: str, registry: Registry, refused: list[RefusedInput]) -> list[Source]:
    """The items behind one argument."""
    # Never raises, whatever characters and length a SMILES has.
    if not os.path.lexists(text):
        return [Source(id=text, value=text)]
    # A side of a reaction is no structure of the molecules modality: its lines are taken as text.
    modality = "molecules" if reads == "molecule" else "text"
    found = []
    for item in expand_inputs([text], registry, modality):
        if isinstance(item, InputItem):
            found.append(item.source)
        else:
            code = "D103" if isinstance(item, SkippedInput) else item.code
            refused.append(RefusedInput(item.path, code, item.reason))
    return found


def read_one(source: Source, reads: str, registry: Registry) -> str:
    """What the model reads for a source.

    Raises:
        VlcliError: a D code when it is no structure, or no text.
    """
    name = "molecules" if reads == "molecule" else "text"
    item = registry.load(registry.find("modality", name))().load(source)
    if reads == "molecule":
        return str(item.smiles)
    if reads == "text":
        return " ".join(str(item).split())
    side = canonical_side(str(item).split()[0])
    if side is None:
        raise VlcliError("D643", source.id, "is no side of a reaction that RDKit reads",
                         "write species as SMILES, parted by '.', the ions of a salt joined by '~'")  # fmt: skip
    return side


def ask(
    model: TextChemModel, task: str, questions: Sequence[Question], *, beams: int | None = None, count: int = 1
) -> tuple[list[Answer], list[RefusedInput]]:
    """The answers, in the order of the questions, and the questions that are too long.

    Raises:
        VlcliError: T602 when the model was not trained for the task.
    """
    model.model_for(task)
    prompt = model.decoding[task].prompt
    fitting, refused = [], []
    for question in questions:
        size = len(model.tokenizer(prompt + question.text)["input_ids"])
        if size > LONGEST_INPUT:
            what = f"is {size:,} tokens long, and at most {LONGEST_INPUT:,} are read"
            refused.append(RefusedInput(question.shown[:80], "D644", what))
        else:
            fitting.append(question)
    made = model.generate(task, [question.text for question in fitting], beams=beams, count=count)
    writes = task_of(task).writes
    return [Answer(question, [judged(one, writes) for one in outputs])
            for question, outputs in zip(fitting, made, strict=True)], refused  # fmt: skip


def judged(output: Output, writes: str) -> Judged:
    """An output with RDKit's verdict."""
    if writes not in ("molecule", "reaction-side"):
        return Judged(output.text, output.score)
    form = canonical(output.text) if writes == "molecule" else canonical_side(output.text)
    return Judged(output.text, output.score, form is not None, form)
