"""A trained Text+Chem T5: its folder, and beam search with its prompts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vlcli.errors import VlcliError
from vlcli.runtime.quiet import without_bars
from vlcli_molecules.chemistry_tasks.templates import task_of
from vlcli_molecules.methods.text_chem_t5.find import TASKS_FILE
from vlcli_molecules.methods.text_chem_t5.tokenizer import load_tokenizer, without_blanks

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

SINGLE = "all"
"""Name of the model that does all tasks."""


@dataclass(frozen=True)
class Decoding:
    """How a task's output is searched for.

    Attributes:
        folder: the model's folder, relative to that of `tasks.json`.
        prompt: what is put before the input.
        beams: of the search.
        max_new_tokens: length of the longest output.
    """

    folder: str
    prompt: str
    beams: int
    max_new_tokens: int


@dataclass(frozen=True)
class Output:
    """A text that the model wrote with its mean log probability per token (sequence score of beam search)."""

    text: str
    score: float


class TextChemModel:
    """Models with their tokenizer and the way each task is decoded.

    Args:
        models: name -> T5; one named `all`, or one for each task.
        tokenizer: of all of them.
        decoding: task -> how it is decoded; `folder` is "." where one model does all tasks, else the task's name.
    """

    def __init__(self, models: Mapping[str, nn.Module], tokenizer: Any, decoding: Mapping[str, Decoding]) -> None:
        self.models = models
        self.tokenizer = tokenizer
        self.decoding = dict(decoding)

    def model_for(self, task: str) -> T5ForConditionalGeneration:
        """The T5 that does a task.

        Raises:
            VlcliError: T602 when none does.
        """
        if task not in self.decoding:
            raise VlcliError("T602", "model", f"was not trained for the task '{task}'",
                             f"it can do: {', '.join(self.decoding)}")  # fmt: skip
        return self.models[task if task in self.models else SINGLE]  # type: ignore[return-value]

    @torch.inference_mode()
    def generate(
        self, task: str, inputs: Sequence[str], *, beams: int | None = None, count: int = 1, batch_size: int = 32
    ) -> list[list[Output]]:
        """The `count` best outputs for each input, in the order of the inputs, best first.

        Args:
            beams: of the search, the task's own number by default; at least `count`.

        Raises:
            VlcliError: T602 for a task it can not do.
        """
        model = self.model_for(task)
        how = self.decoding[task]
        beams = max(beams or how.beams, count)
        rows = [self.tokenizer(how.prompt + text)["input_ids"] for text in inputs]
        found: list[list[Output]] = [[] for _ in inputs]
        # By length, so that little is padded.
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        for start in range(0, len(order), batch_size):
            part = order[start : start + batch_size]
            batch = self.tokenizer.pad({"input_ids": [rows[index] for index in part]}, return_tensors="pt")
            for index, outputs in zip(part, self.search(model, task, batch, how, beams, count), strict=True):
                found[index] = outputs
        return found

    def search(
        self, model: T5ForConditionalGeneration, task: str, batch: Any, how: Decoding, beams: int, count: int
    ) -> list[list[Output]]:
        """Beam search for one batch."""
        training = model.training
        model.eval()
        # Scores only where they are asked for: greedy search gives none by itself.
        made = model.generate(
            input_ids=batch["input_ids"].to(model.device), attention_mask=batch["attention_mask"].to(model.device),
            num_beams=beams, num_return_sequences=count, max_new_tokens=how.max_new_tokens, do_sample=False,
            return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        model.train(training)
        texts = self.tokenizer.batch_decode(made.sequences, skip_special_tokens=True)
        if task_of(task).writes in ("molecule", "reaction-side"):
            texts = [without_blanks(text) for text in texts]
        scores = self.scores_of(model, made)
        rows = [Output(text.strip(), score) for text, score in zip(texts, scores, strict=True)]
        return [rows[start : start + count] for start in range(0, len(rows), count)]

    def scores_of(self, model: T5ForConditionalGeneration, made: Any) -> list[float]:
        """Mean log probability per token of each sequence."""
        if getattr(made, "sequences_scores", None) is not None:
            return [float(score) for score in made.sequences_scores]
        steps = model.compute_transition_scores(made.sequences, made.scores, normalize_logits=True)
        written = made.sequences[:, 1:] != model.config.pad_token_id
        return [float(value) for value in (steps.where(written, 0.0).sum(1) / written.sum(1).clamp(min=1))]

    def to(self, device: torch.device) -> TextChemModel:
        """The same model with its weights on a device."""
        for model in self.models.values():
            model.to(device)
        return self

    def save(self, folder: Path) -> None:
        """Write weights, tokenizer and `tasks.json`, each as transformers reads them."""
        for name, model in self.models.items():
            place = folder if name == SINGLE else folder / name
            with without_bars():
                model.save_pretrained(place)  # type: ignore[operator]
            self.tokenizer.save_pretrained(place)
        content = {"schema": 1, "tasks": {name: asdict(how) for name, how in self.decoding.items()}}
        (folder / TASKS_FILE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: torch.device | None = None) -> TextChemModel:
        """Read what `save` wrote.

        Raises:
            VlcliError: W232 when `tasks.json` is missing or malformed, W codes for damaged weights.
        """
        decoding = read_tasks(folder)
        models: dict[str, nn.Module] = {}
        tokenizer = None
        for task, how in decoding.items():
            name = SINGLE if how.folder == "." else task
            if name not in models:
                models[name] = load_t5(folder / how.folder)
                tokenizer = tokenizer or load_tokenizer(folder / how.folder, add_missing=False)
        loaded = cls(models, tokenizer, decoding)
        return loaded.to(device) if device is not None else loaded


def load_t5(folder: Path) -> T5ForConditionalGeneration:
    """A T5 from its folder, in evaluation mode, safetensors only.

    Raises:
        VlcliError: W201, W203 when it is no such folder, W103–W105 for damaged weights.
    """
    from transformers import T5ForConditionalGeneration

    from vlcli.align.checkpoints import load_pretrained, open_checkpoint

    model: T5ForConditionalGeneration = load_pretrained(T5ForConditionalGeneration, open_checkpoint(str(folder)))
    return model


def read_tasks(folder: Path) -> dict[str, Decoding]:
    """`tasks.json`, checked.

    Raises:
        VlcliError: W232.
    """
    path = folder / TASKS_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = {name: Decoding(**values) for name, values in content["tasks"].items()}
        for name, how in found.items():
            task_of(name)
            if how.folder not in (".", name) or how.beams < 1 or how.max_new_tokens < 1:
                raise ValueError(f"the entry of '{name}' is out of range")
        if not found:
            raise ValueError("no task is listed")
    except FileNotFoundError as error:
        raise VlcliError("W232", str(folder), "holds no Text+Chem T5 (no tasks.json)",
                         "name a run of `vlcli run text-chem-t5`, or its folder model") from error  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError, VlcliError) as error:
        raise VlcliError(
            "W232", str(path), f"can not be read ({error})", "restore it, or train the model again"
        ) from error
    return found
