"""The stage that trains LaMP's masked transformer, and what is measured of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vlcli.data.dataset import Example
from vlcli_motion.methods.lamp.config import STRIDE, LampConfig
from vlcli_motion.methods.lamp.evaluation import frechet_distance, shuffled, train_classifier
from vlcli_motion.methods.lamp.generate import decode, new_transformer, own_seed, save_generator
from vlcli_motion.methods.lamp.generation_options import GeneratorOptions
from vlcli_motion.methods.lamp.masked_transformer import corrupt, fill_in, hidden_cross_entropy
from vlcli_motion.methods.lamp.parts import LampBatch, LampPart, PartContext
from vlcli_motion.methods.lamp.rank import attention_ranks
from vlcli_motion.methods.lamp.text import encode_texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROWS = 64
"""Motions that are generated together for the metrics."""
RANK_EXAMPLES = 32
NLL_DRAWS = 4
"""How often every test motion is corrupted to measure the masked negative log likelihood."""


class GeneratorPart(LampPart):
    """The masked transformer over the frozen VQ-VAE's tokens, conditioned on the frozen text condition."""

    name = "generator"
    initial_ranks: Tensor

    def __init__(self, options: GeneratorOptions, config: LampConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.options, self.max_words = options, config.max_words
        self.share, self.batch_size = options.share, options.batch_size
        self.lr_scale = options.learning_rate_scale
        self.transformer = new_transformer(options, config, options.dropout)
        self.register_buffer("initial_ranks", torch.zeros(options.layers))

    def start(self, context: PartContext) -> None:
        """Take the rank of the attention matrices before training."""
        self.initial_ranks.copy_(self.ranks(context))

    def loss(self, context: PartContext, batch: LampBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of the hidden tokens."""
        condition = context.condition(batch.ids, batch.word_mask)
        loss, _ = self.transformer.loss(
            batch.codes, condition, batch.code_mask.sum(1), self.options.condition_drop, generator
        )
        return {"hidden_tokens": loss}

    def conditions(self, context: PartContext, prompts: Sequence[str]) -> Tensor:
        """`[B, D]` of texts."""
        ids, mask = encode_texts(context.tokenizer, prompts, self.max_words)
        return context.condition(ids.to(context.device), mask.to(context.device))

    @torch.no_grad()
    def ranks(self, context: PartContext) -> Tensor:
        """Effective rank `[layers]` of the attention matrices on some held-out motions with holes."""
        rows = spread(context.examples("validation"), RANK_EXAMPLES)
        if not rows:
            return torch.zeros(self.options.layers)
        tokens = context.tokens(rows)
        training = self.training
        self.eval()
        holes, _ = corrupt(tokens.codes, tokens.mask.sum(1), self.transformer.codes, torch.Generator().manual_seed(0))
        found = attention_ranks(self.transformer, holes, self.conditions(context, prompts_of(rows))).cpu()
        self.train(training)
        return found

    @torch.no_grad()
    def masked_nll(self, context: PartContext, rows: Sequence[Example]) -> float:
        """Mean cross-entropy of hidden tokens; the same holes for every model."""
        tokens = context.tokens(rows)
        condition = self.conditions(context, prompts_of(rows))
        generator = torch.Generator().manual_seed(0)
        losses = []
        for _ in range(NLL_DRAWS):
            holes, labels = corrupt(tokens.codes, tokens.mask.sum(1), self.transformer.codes, generator)
            logits = self.transformer(holes, condition)
            losses.append(hidden_cross_entropy(logits, labels, ignored=self.transformer.hidden)[0])
        return float(torch.stack(losses).mean())

    @torch.no_grad()
    def generate(self, context: PartContext, prompts: Sequence[str], lengths: Tensor) -> list[Tensor]:
        """Features `[T, F]` (CPU) of new motions.

        Args:
            lengths: `[B]` in tokens.
        """
        options, condition = self.options, self.conditions(context, prompts)
        made = []
        for start in range(0, len(prompts), ROWS):
            part = slice(start, start + ROWS)
            generators = [
                torch.Generator().manual_seed(own_seed(context.seed, prompt, start + row))
                for row, prompt in enumerate(prompts[part])
            ]
            ids = fill_in(
                self.transformer, condition[part], lengths[part], generators, steps=options.steps,
                guidance=options.guidance, temperature=options.temperature, threshold=options.threshold,
            )  # fmt: skip
            made += decode(context.lamp, ids, lengths[part])
        return made

    def evaluate(self, context: PartContext) -> dict[str, float]:
        """Accuracy of a motion classifier on generated motions, beside real and reconstructed ones; distance; ranks."""
        training, test = context.examples("train"), spread(context.examples("test"), self.options.test_examples)
        if not test:
            return {}
        vq = context.lamp.vq
        judge = train_classifier(
            context.features(training), labels_of(training), vq.mean, vq.std, steps=self.options.classifier_steps,
            seed=context.seed,
        )  # fmt: skip
        tokens, labels, times = context.tokens(test), labels_of(test), self.options.repeats
        lengths = tokens.mask.sum(1)
        prompts = [prompt for number in range(times) for prompt in prompts_of(test, number)]
        real = [motion[: length * STRIDE] for motion, length in
                zip(context.features(test), lengths.tolist(), strict=True)]  # fmt: skip
        kinds = {
            "real": real, "reconstructed": decode(context.lamp, tokens.codes, lengths),
            "generated": self.generate(context, prompts, lengths.repeat(times)),
        }  # fmt: skip
        found: dict[str, float] = {}
        for kind, motions in kinds.items():
            whole, single = judge.accuracy(motions, labels * (len(motions) // len(test)))
            found |= {f"generation/{kind}_accuracy": whole, f"generation/{kind}_movement_accuracy": single}
        other = [labels[row] for row in shuffled(len(labels))]
        found["generation/shuffled_accuracy"], _ = judge.accuracy(kinds["generated"], other * times)
        reference = judge.embeddings(real)
        for kind in ("reconstructed", "generated"):
            found[f"generation/{kind}_fid"] = frechet_distance(judge.embeddings(kinds[kind]), reference)
        found["generation/masked_nll"] = self.masked_nll(context, test)
        found["generation/rank"] = float(self.ranks(context).mean())
        found["generation/initial_rank"] = float(self.initial_ranks.mean())
        return found

    def save(self, folder: Path) -> None:
        """`generator.json` and `generator.safetensors`."""
        save_generator(self.transformer, self.options, folder)


def spread(rows: list[Example], most: int) -> list[Example]:
    """At most so many rows, evenly spaced."""
    if len(rows) <= most:
        return rows
    return [rows[index * len(rows) // most] for index in range(most)]


def prompts_of(rows: Sequence[Example], turn: int = 0) -> list[str]:
    """One caption of each example: the first of the first, the second of the second, and so on; others each turn."""
    return [row.captions[(number + turn) % len(row.captions)] for number, row in enumerate(rows)]


def labels_of(rows: Sequence[Example]) -> list[str]:
    """The labels; empty where there is none."""
    return [str(row.label or "") for row in rows]
