"""Text+Chem T5 as a method: five prompted tasks, drawn equally often, one sequence-to-sequence loss.

Christofidellis et al., "Unifying Molecular and Textual Representations via Multi-task Language Modelling" (ICML 2023).
The prompts are those of the released model. The paper starts from public T5 weights and trains on 11.5 or 33.5
million examples; the recipe here trains a small T5 and its tokenizer from nothing; `checkpoint` takes public
weights.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from vlcli.errors import VlcliError
from vlcli.train import ExampleLoader
from vlcli.train.method import Evaluate, Method, Setup, Stage, StepState
from vlcli_molecules.chemistry_tasks.templates import TASK_NAMES, task_of
from vlcli_molecules.methods.text_chem_t5.model import SINGLE, Decoding, TextChemModel, load_t5
from vlcli_molecules.methods.text_chem_t5.tokenizer import load_tokenizer, train_tokenizer
from vlcli_molecules.metrics.pack import score

if TYPE_CHECKING:
    from transformers import T5ForConditionalGeneration

    from vlcli.data.dataset import Example
    from vlcli.train.batches import Batch
    from vlcli.train.loaders import Loader, LoaderSpec

IGNORED = -100
"""Label of padding: no loss."""

SPARE_TOKENS = 1.25
"""Outputs may be this much longer than the longest of training."""


class TextChemT5(Method):
    """One T5 for all tasks, or (`separate`) one for each: the baseline of specialised models.

    With `separate` each task is a stage of its own with an equal share of the steps, so that all models together take
    as many steps, and see as many examples of every task, as the one that shares its weights.

    The arguments are the options of `TextChemT5Options`.
    """

    def __init__(
        self,
        width: int = 128,
        layers: int = 3,
        heads: int = 4,
        feed_forward: int = 512,
        dropout: float = 0.0,
        vocabulary: int = 1000,
        checkpoint: str | None = None,
        add_missing_characters: bool = False,
        tasks: tuple[str, ...] = TASK_NAMES,
        separate: bool = False,
        prompts: bool = True,
        max_tokens: int = 512,
        beams: int = 4,
        test_examples: int = 200,
        validation_examples: int = 40,
    ) -> None:
        super().__init__()
        self.sizes: dict[str, Any] = {"d_model": width, "d_kv": max(1, width // heads), "d_ff": feed_forward,
                      "num_layers": layers, "num_heads": heads, "dropout_rate": dropout}  # fmt: skip
        self.vocabulary, self.checkpoint, self.add_missing = vocabulary, checkpoint, add_missing_characters
        self.tasks, self.separate, self.prompts = tuple(dict.fromkeys(tasks)), separate, prompts
        self.max_tokens, self.beams = max_tokens, beams
        self.test_examples, self.validation_examples = test_examples, validation_examples

    def build(self, setup: Setup) -> None:
        """Learn the tokenizer from the training split, or take the checkpoint's, and make the models.

        Raises:
            VlcliError: T604 when the data hold no example of a task, W codes for the checkpoint.
        """
        self.setup = setup
        rows = self.of_tasks(setup.examples("train"))
        folder = None
        if self.checkpoint is None:
            self.tokenizer: Any = train_tokenizer(
                (text for row in rows for text in (self.source(row), row.captions[0])), self.vocabulary
            )
        else:
            from vlcli.align.checkpoints import open_checkpoint

            folder = open_checkpoint(self.checkpoint)
            self.tokenizer = load_tokenizer(folder, add_missing=self.add_missing)
        names = self.tasks if self.separate else (SINGLE,)
        made = {name: self.new_model(folder) for name in names}
        self.models = nn.ModuleDict({module_name(name): model for name, model in made.items()})
        self.product = TextChemModel(made, self.tokenizer, self.decodings(rows))

    def new_model(self, folder: Path | None) -> T5ForConditionalGeneration:
        """A T5 with fresh weights, or with those of a checkpoint."""
        from transformers import T5Config, T5ForConditionalGeneration

        size = len(self.tokenizer)
        if folder is None:
            return T5ForConditionalGeneration(
                T5Config(vocab_size=size, pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, **self.sizes)
            )
        model = load_t5(folder)
        if size > model.config.vocab_size:
            model.resize_token_embeddings(size)
        return model

    def decodings(self, rows: list[Example]) -> dict[str, Decoding]:
        """How each task is decoded: the output may be somewhat longer than the longest of training."""
        longest: dict[str, int] = {}
        for task in self.tasks:
            targets = [row.captions[0] for row in rows if row.label == task]
            if not targets:
                raise VlcliError("T604", "data", f"hold no training example of the task '{task}'",
                                 "leave it out of method.tasks, or choose other data")  # fmt: skip
            longest[task] = max(len(row) for row in self.tokenizer(targets)["input_ids"])
        return {
            task: Decoding(
                task if self.separate else ".",
                task_of(task).prompt if self.prompts else "",
                self.beams,
                min(self.max_tokens, int(longest[task] * SPARE_TOKENS) + 1),
            )
            for task in self.tasks
        }

    def of_tasks(self, rows: list[Example]) -> list[Example]:
        """The examples of this method's tasks."""
        return [row for row in rows if row.label in self.tasks]

    def source(self, row: Example) -> str:
        """An example's input with its prompt."""
        text = row.sources["text"].value or ""
        return task_of(str(row.label)).prompt + text if self.prompts else text

    def stages(self) -> list[Stage]:
        """One stage that shares all weights, or one for each task."""
        if not self.separate:
            return [Stage()]
        return [Stage(name=task, trainable=(f"models.{module_name(task)}.*",)) for task in self.tasks]

    def loader(self, examples: list[Example], spec: LoaderSpec) -> Loader:
        """Examples of the stage's task, or of all tasks equally often."""
        rows = self.of_tasks(examples)
        if self.separate:
            rows = [row for row in rows if row.label == spec.stage.name]
        return ExampleLoader(rows, self.collate, spec, balance=lambda row: str(row.label))

    def collate(self, rows: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """`input_ids`, `attention_mask` `[B, S]` and `labels` `[B, T]`, padding of the labels being ignored."""
        inputs = self.tokenizer(
            [self.source(row) for row in rows], truncation=True, max_length=self.max_tokens, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        targets = self.tokenizer(
            [row.captions[0] for row in rows], truncation=True, max_length=self.max_tokens, padding=True,
            return_tensors="pt",
        )  # fmt: skip
        labels = targets["input_ids"].masked_fill(targets["attention_mask"] == 0, IGNORED)
        return {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"], "labels": labels}

    def training_step(self, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        """Cross-entropy per token of the outputs."""
        model = self.models[module_name(state.stage.name if self.separate else SINGLE)]
        return {"cross_entropy": model(**batch.inputs["batch"]).loss}

    def evaluate(self, evaluate: Evaluate) -> dict[str, float]:
        """The metric pack of every task on the test split, and the cross-domain score that the claim compares."""
        return self.measure("test", self.test_examples, self.beams)

    def validate(self) -> dict[str, float]:
        """The same on some examples of the validation split, greedily."""
        return self.measure("validation", self.validation_examples, 1)

    def measure(self, split: str, most: int, beams: int) -> dict[str, float]:
        """`split/task/metric`; `split/cross-domain` is the mean of caption BLEU-4 and text-to-molecule Morgan."""
        rows = self.of_tasks(self.setup.examples(split))
        found: dict[str, float] = {}
        for task in self.tasks:
            chosen = spread([row for row in rows if row.label == task], most)
            if not chosen:
                continue
            written = self.product.generate(task, [row.sources["text"].value or "" for row in chosen], beams=beams)
            scores = score(task, [outputs[0].text for outputs in written], [row.captions[0] for row in chosen])
            found |= {f"{split}/{task}/{name}": value for name, value in scores.items()}
        crossing = [f"{split}/caption/bleu4", f"{split}/from-text/morgan"]
        if all(name in found for name in crossing):
            found[f"{split}/cross-domain"] = sum(found[name] for name in crossing) / len(crossing)
        return found

    def save(self, folder: Path) -> bool:
        """Weights, tokenizer and `tasks.json`."""
        self.product.save(folder)
        return True


def module_name(task: str) -> str:
    """A name that no attribute of a module has (`forward` is one)."""
    return f"t5_{task}"


def spread(rows: list[Example], most: int) -> list[Example]:
    """At most so many rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return [rows[index * len(rows) // most] for index in range(most)]
