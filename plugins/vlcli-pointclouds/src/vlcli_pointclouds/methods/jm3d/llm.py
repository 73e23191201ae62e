"""JM3D-LLM: a frozen language model learns to read points through one linear map.

The stages before may be JM3D's own (`align_share`), so that one run makes everything; or the point tower is taken from
a space. Then a small language model is trained on the captions, unless one is named, and is frozen; at last the adapter
alone is trained on captions of points. Differs from the released code in: the point encoder stays frozen
(`train_points` trains it as released), each token also carries the pooled vector, and the language model is small
unless you name one (released: Vicuna-7B on 660,000 captions of Objaverse).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from vlcli.align.space import Space
from vlcli.errors import VlcliError
from vlcli.train.batches import Batch, derive_seed
from vlcli.train.loaders import OWN_INPUTS, ExampleLoader, Loader, LoaderSpec
from vlcli.train.method import Evaluate, Setup, Stage, StepState, freeze
from vlcli_pointclouds.methods.alignment import ALIGN, IMAGE_TEXT, augmented
from vlcli_pointclouds.methods.jm3d.captioner import Captioner, padded, token_loss
from vlcli_pointclouds.methods.jm3d.language import (
    first_token,
    ids_of,
    load_language_model,
    padding_token,
    small_language_model,
    small_tokenizer,
)
from vlcli_pointclouds.methods.jm3d.method import Jm3d
from vlcli_pointclouds.methods.jm3d.slots import slot_accuracy, slot_values
from vlcli_pointclouds.methods.material import Kept, Material, of_prefix, with_prefix
from vlcli_pointclouds.methods.options import Jm3dLlmOptions, Jm3dOptions
from vlcli_pointclouds.methods.zero_shot import labels_of

if TYPE_CHECKING:
    from vlcli.data.dataset import Example

LANGUAGE, ADAPTER = "language", "adapter"
BATCH = 64
CUED = 0.75
"""Share of the language model's texts that have words in front."""


class Jm3dLlm(Jm3d):
    """The method. Options: `Jm3dLlmOptions`."""

    name = "pointclouds/jm3d-llm"
    options: Jm3dLlmOptions
    options_model: ClassVar[type[Jm3dOptions]] = Jm3dLlmOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.kept: Kept[Tensor] = Kept(8000)
        self.language_is_frozen = False

    def build(self, setup: Setup) -> None:
        """The towers (points alone where they are aligned already), the language model and the adapter.

        Raises:
            VlcliError: T361 when the point tower knows nothing, T364 when no steps are left, T366 without captions.
        """
        options = self.options
        if options.align_share:
            super().build(setup)
        else:
            self.setup, self.space = setup, setup.require_space(self.name, "pointclouds")
            if self.space.tower("pointclouds").of_space is None:
                raise VlcliError("T361", "towers.pointclouds.use", "the adapter needs points that mean something",
                                 'take the tower of a space, use = "space:runs/…/space", or train one first with '
                                 "method.align_share")  # fmt: skip
            self.material = Material(self.space, setup.registry, options.view_size)
            self.labels = labels_of(setup.examples("train"))
        if sum(stage.share for stage in self.stages()[:-1]) >= 1:
            raise VlcliError("T364", "method", "the stages leave no steps for the adapter", "lower them")
        self.captions = [caption for example in setup.examples("train") for caption in example.captions]
        if not self.captions:
            raise VlcliError("T366", "data", "hold no captions to learn to write", "choose data with captions")
        tower = self.space.tower("pointclouds")
        language, tokenizer = self.language_model()
        self.captioner = Captioner(
            tower, language, tokenizer, tokens=options.tokens, token_width=self.token_width(), prompt=options.prompt,
            longest=options.longest, blank=options.points == "blank",
        )  # fmt: skip

    def language_model(self) -> tuple[Any, Any]:
        """The model that the options name, frozen for good, or a small one that this run trains."""
        options = self.options
        if options.language_model:
            model, tokenizer = load_language_model(options.language_model)
            freeze(model)
            return model, tokenizer
        texts = self.captions if not options.prompt else [*self.captions, options.prompt]
        tokenizer = small_tokenizer(texts, options.vocabulary)
        positions = 2 * options.longest + options.tokens + len(ids_of(tokenizer, options.prompt)) + 2
        return small_language_model(len(tokenizer), options.width, options.layers, options.heads, positions), tokenizer

    @torch.no_grad()
    def token_width(self) -> int:
        """Width of the point encoder's tokens, 0 when it has none; asked of one example."""
        encoder = self.space.tower("pointclouds").encoder
        training = encoder.training
        encoder.eval()
        tokens = encoder(self.material.point_rows(self.setup.examples("train")[:1])).tokens
        encoder.train(training)
        return 0 if tokens is None else int(tokens.shape[-1])

    def stages(self) -> list[Stage]:
        """JM3D's stages where they are asked for, the small language model, the adapter."""
        options = self.options
        stages = []
        if options.align_share:
            stages = [
                replace(stage, share=options.align_share if stage.name == ALIGN else stage.share)
                for stage in super().stages()
                if stage.name in (IMAGE_TEXT, ALIGN)
            ]
        if not options.language_model:
            stages.append(
                Stage(LANGUAGE, trainable=("captioner.language.*",), share=options.language_share,
                      learning_rate_scale=options.language_lr_scale)
            )  # fmt: skip
        trained = ("captioner.adapter.*", *(("space.towers.pointclouds.encoder.*",) if options.train_points else ()))
        left = max(1e-6, 1.0 - sum(stage.share for stage in stages))
        scale = options.adapter_lr_scale
        return [*stages, Stage(ADAPTER, trainable=trained, share=left, learning_rate_scale=scale)]

    def on_stage_start(self, stage: Stage, index: int) -> None:
        """Freeze what earlier stages trained."""
        super().on_stage_start(stage, index)
        self.language_is_frozen = stage.name == ADAPTER
        self.kept = Kept(8000)

    def train(self, mode: bool = True) -> Jm3dLlm:
        """Training mode, but for the language model and the point encoder while they are frozen."""
        super().train(mode)
        if self.language_is_frozen:
            self.captioner.language.eval()
            if not self.options.train_points:
                self.captioner.tower.eval()
        return self

    def loader(self, examples: list[Example], spec: LoaderSpec) -> Loader:
        """Batches of captions, or of points with captions; those of JM3D's stages are its own."""
        if spec.stage.name not in (LANGUAGE, ADAPTER):
            return super().loader(examples, spec)
        rows = [example for example in examples if example.captions]
        if spec.stage.name == LANGUAGE:
            return ExampleLoader(rows, self.collate_documents, spec)
        partners = list(rows)
        if self.options.points == "shuffled":
            random.Random(derive_seed(spec.seed, "shuffled captions")).shuffle(partners)
        of = dict(zip([row.id for row in rows], partners, strict=True))

        def collate(part: list[Example], rng: random.Random) -> dict[str, Tensor]:
            captions = self.captioner.caption_rows([rng.choice(of[row.id].captions) for row in part])
            return with_prefix("points", self.material.point_rows(part)) | captions

        return ExampleLoader(rows, collate, spec)

    def collate_documents(self, rows: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """Captions, three of four behind some words of another caption of the object, in any order.

        So the language model learns to write of what stands before a caption, which is where the points will stand;
        their tokens have no order either.
        """
        tokenizer, longest = self.captioner.tokenizer, self.options.longest
        documents = []
        for row in rows:
            words = ids_of(tokenizer, rng.choice(row.captions))[:longest]
            before = rng.sample(words, rng.randint(1, len(words))) if words and rng.random() < CUED else []
            caption = ids_of(tokenizer, rng.choice(row.captions))[: longest - 1]
            documents.append([*before, first_token(tokenizer), *caption, int(tokenizer.eos_token_id)])
        return padded(documents, padding_token(tokenizer), "document_ids")

    def training_step(self, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        """Cross entropy per token; JM3D's terms in its own stages."""
        inputs = batch.inputs[OWN_INPUTS]
        if state.stage.name == LANGUAGE:
            ids, mask = inputs["document_ids"], inputs["mask"]
            logits = self.captioner.language(ids, attention_mask=mask, use_cache=False).logits
            return {"language": token_loss(logits[:, :-1], ids[:, 1:], mask[:, 1:])}
        if state.stage.name != ADAPTER:
            return super().training_step(batch, state, optimizer)
        points = of_prefix("points", inputs)
        if self.options.train_points:
            if self.options.augment:
                points = augmented(points, self.space.tower("pointclouds").encoder, state.generator)
            read = self.captioner.points(points)
        else:
            read = self.frozen_points(batch.examples, points)
        return {"captions": self.captioner.loss(read, inputs["caption_ids"], inputs["mask"])}

    @torch.no_grad()
    def frozen_points(self, examples: Sequence[Example], inputs: dict[str, Tensor]) -> Tensor:
        """What the adapter reads of each example; computed once and one by one, so no batch decides its last bits."""
        rows = []
        for number, example in enumerate(examples):
            one = {name: value[number : number + 1] for name, value in inputs.items()}
            rows.append(self.kept.get(example.id, partial(self.captioner.points, one)))
        return torch.cat(rows)

    def evaluate(self, evaluate: Evaluate) -> dict[str, float]:
        """JM3D's accuracies where it was trained, and the slots that captions of test objects name rightly."""
        return self.measure("test")

    def measure(self, split: str) -> dict[str, float]:
        """Both on one split."""
        found = super().measure(split) if self.options.align_share else {}
        examples = self.setup.examples(split)
        values = slot_values(self.setup.examples("train"), self.options.slots)
        if examples and values:
            scores = slot_accuracy(self.write(examples), examples, values)
            found |= {f"{split}/{name}": value for name, value in scores.items()}
        return found

    def write(self, examples: Sequence[Example]) -> list[str]:
        """A greedy caption of every example."""
        training, captions = self.training, []
        self.eval()
        for start in range(0, len(examples), BATCH):
            rows = self.material.point_rows(examples[start : start + BATCH])
            captions += self.captioner.captions({name: value.to(self.space.device) for name, value in rows.items()})
        self.train(training)
        return captions

    def result_space(self) -> Space | None:
        """The space that JM3D's stages made, or nothing where it was given."""
        return self.space if self.options.align_share else None

    def save(self, folder: Path) -> bool:
        """The captioner: `vlcli pointclouds caption` reads it."""
        self.captioner.save(folder)
        return True
