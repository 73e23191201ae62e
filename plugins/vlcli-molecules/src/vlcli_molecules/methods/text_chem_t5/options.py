"""Options of Text+Chem T5 and of its data sets (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from vlcli_molecules.options import Options, as_tuple

TaskName = Literal["forward", "retro", "actions", "from-text", "caption"]
TaskNames = Annotated[tuple[TaskName, ...], BeforeValidator(as_tuple), Field(min_length=1)]
ALL_TASKS: tuple[TaskName, ...] = ("forward", "retro", "actions", "from-text", "caption")


class TextChemT5Options(Options):
    """Options of `molecules/text-chem-t5`."""

    width: int = Field(128, ge=8, description="Width of the states.")
    layers: int = Field(3, ge=1, description="Layers of the encoder, and as many of the decoder.")
    heads: int = Field(4, ge=1, description="Attention heads; divide the width.")
    feed_forward: int = Field(512, ge=8, description="Width of the feed-forward layers.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout.")
    vocabulary: int = Field(1000, ge=300, description="Tokens, the 256 bytes and three special ones included.")
    checkpoint: str | None = Field(
        None, description="Start from this T5 (folder or hub name, safetensors); its sizes and tokens are then used."
    )
    add_missing_characters: bool = Field(
        False, description="Give characters of SMILES that the checkpoint's tokenizer loses tokens of their own."
    )
    tasks: TaskNames = Field(ALL_TASKS, description="The tasks that are trained and tested.")
    separate: bool = Field(False, description="One model for each task, each with an equal share of the steps.")
    prompts: bool = Field(True, description="Put the task's prompt before each input.")
    max_tokens: int = Field(512, ge=8, description="Longer inputs and outputs are cut in training.")
    beams: int = Field(4, ge=1, le=64, description="Beams of the search at the end of the run.")
    test_examples: int = Field(200, ge=1, description="Examples of each task that are tested.")
    validation_examples: int = Field(40, ge=1, description="Examples of each task for the curve.")


class TextChemOptions(Options):
    """Options of the data set `molecules/text-chem`."""

    tasks: TaskNames = Field(ALL_TASKS, description="The tasks.")
    max_atoms: int = Field(24, ge=4, description="Heavy atoms of molecules that are captioned or react.")
    paragraphs: int = Field(5000, ge=10, le=100_000, description="Number of procedures.")
    sentences: int = Field(3, ge=1, le=6, description="Sentences of the longest procedure.")
    shuffled: bool = Field(False, description="Mismatch inputs and outputs of the training split (for controls).")


class TextChemFileOptions(Options):
    """Options of the data set `molecules/text-chem-files`."""

    path: str = Field(description="A file, or a folder with train, valid (or validation) and test files.")
    format: Literal["auto", "jsonl", "chebi20", "uspto"] = Field("auto", description="What the rows are.")
    tasks: TaskNames = Field(ALL_TASKS, description="The tasks that are made of the rows.")
