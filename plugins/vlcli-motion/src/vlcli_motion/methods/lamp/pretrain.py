"""LaMP as a method: VQ-VAE, language-motion pretraining over it, then what is built on the two.

Li et al., "LaMP: Language-Motion Pretraining for Motion Generation, Retrieval, and Captioning", ICLR 2025. Each stage
freezes what the ones before it made. The run's space is the pretrained model's two sides; its `model` folder holds the
model itself with the generator and the captioner, where these were trained.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from vlcli.align.space import Space, Tower
from vlcli.align.vocabulary import train_word_tokenizer
from vlcli.api import VlcliError
from vlcli.train.batches import Batch, derive_seed, load_modality
from vlcli.train.loaders import OWN_INPUTS, ExampleLoader, Loader, LoaderSpec
from vlcli.train.method import Evaluate, Method, Setup, Stage, StepState
from vlcli_motion.features import KIT_LAYOUT, LAYOUT, Layout
from vlcli_motion.methods.lamp.encoders import LampMotion, LampText, check_sizes, motion_features
from vlcli_motion.methods.lamp.model import Lamp, MotionTokens
from vlcli_motion.methods.lamp.options import LampOptions, SizeOptions
from vlcli_motion.methods.lamp.parts import LampBatch, LampPart, PartContext, pad_motions
from vlcli_motion.methods.lamp.ranking import both_ways, reranked, similarities
from vlcli_motion.methods.lamp.saved import save_lamp
from vlcli_motion.methods.lamp.static import StaticCondition
from vlcli_motion.methods.lamp.text import encode_texts

if TYPE_CHECKING:
    from vlcli.data.dataset import Example

VQ, PRETRAIN, STATIC = "vq", "lamp", "static"
FIT_MOTIONS = 2000
"""Training motions from which mean and deviation are taken."""
CACHE_BYTES = 1 << 30
"""Features kept in memory; those of further motions are read again."""
ROWS = 64
WEIGHTS = {"reconstruction": 1.0, "velocity": 0.5, "commitment": 0.02}
"""Of the VQ-VAE's terms, as released."""


class LampMethod(Method):
    """The stages in one run. Options: `LampOptions`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = LampOptions(**options)
        self.features: dict[str, Tensor] = {}
        self.kept_bytes = 0
        self.tokens: dict[str, tuple[Tensor, Tensor]] = {}
        self.metrics: dict[str, float] = {}

    def build(self, setup: Setup) -> None:
        """Make the modules; takes words, mean and deviation from the training split.

        Raises:
            VlcliError: T351 when examples lack a motion or a caption, T352 and T353 when sizes do not fit.
        """
        options = self.options
        config = options.config()
        check_sizes(config)
        self.seed, self.examples = setup.seed, setup.examples
        self.registry = setup.registry
        self.modality = load_modality(setup.registry, "motion")
        self.tokenizer = train_word_tokenizer(setup.captions(), config.vocabulary, wrap=True)
        self.lamp = Lamp(config)
        training = self.usable(setup.examples("train"))
        if not training:
            raise VlcliError("T351", "data", "holds no motion with a caption to train on", "name another data set")
        order = random.Random(derive_seed(setup.seed, "fit")).sample(training, min(FIT_MOTIONS, len(training)))
        layout = {LAYOUT.width: LAYOUT, KIT_LAYOUT.width: KIT_LAYOUT}.get(config.features)
        self.lamp.vq.fit([self.motion(example) for example in order], groups_of(layout), heavy_of(layout))
        if options.condition == "static":
            self.static = StaticCondition(config)
        self.parts = nn.ModuleDict({part.name: part for part in self.build_parts()})

    def build_parts(self) -> list[LampPart]:
        """What follows the pretraining."""
        parts: list[LampPart] = []
        config = self.options.config()
        if self.options.generator.share:
            from vlcli_motion.methods.lamp.generator_part import GeneratorPart

            parts.append(GeneratorPart(self.options.generator, config, self.tokenizer))
        if self.options.captioner.share:
            from vlcli_motion.methods.lamp.captioner_part import caption_parts

            generator = parts[0] if parts else None
            parts.extend(caption_parts(self.options.captioner, config, self.tokenizer, self.registry, generator))
        return parts

    def part(self, name: str) -> LampPart:
        """A part by its name."""
        return cast(LampPart, self.parts[name])

    def stages(self) -> list[Stage]:
        """VQ-VAE, pretraining (or the static baseline in its place), then the parts."""
        options = self.options
        stages = [Stage(VQ, trainable=("lamp.vq.*",), share=options.vq_share, learning_rate_scale=options.vq_lr_scale)]
        if options.condition == "static":
            stages.append(Stage(STATIC, trainable=("static.*",), share=options.lamp_share,
                                learning_rate_scale=options.lamp_lr_scale))  # fmt: skip
        else:
            stages.append(Stage(PRETRAIN, trainable=("lamp.*",), frozen=("lamp.vq.*",), share=options.lamp_share,
                                learning_rate_scale=options.lamp_lr_scale))  # fmt: skip
        for name in self.parts:
            part = self.part(name)
            stages.append(Stage(name, trainable=(f"parts.{name}.*",), share=part.share,
                                learning_rate_scale=part.lr_scale))  # fmt: skip
        return stages

    def on_stage_start(self, stage: Stage, index: int) -> None:
        """Forget the motions' tokens when another VQ-VAE may have come."""
        self.tokens.clear()
        if stage.name in self.parts:
            self.part(stage.name).start(self.context())

    def usable(self, examples: Sequence[Example]) -> list[Example]:
        """The examples, all of which must have a motion and a caption.

        Raises:
            VlcliError: T351 naming the first that has not.
        """
        for example in examples:
            if "motion" not in example.sources:
                raise VlcliError("T351", example.id, "has no motion", "drop it, or give it one")
            if not any(caption.strip() for caption in example.captions):
                raise VlcliError("T351", example.id, "has no caption", "drop it, or give it one")
        return list(examples)

    def motion(self, example: Example) -> Tensor:
        """Features `[T, F]` of an example, kept in memory while there is room."""
        source = example.sources["motion"]
        key = str(source.path or source.id)
        if key not in self.features:
            found = motion_features(self.modality.load(source), self.options.config(), key)
            if self.kept_bytes + found.nbytes > CACHE_BYTES:
                return found
            self.kept_bytes += found.nbytes
            self.features[key] = found
        return self.features[key]

    @property
    def device(self) -> torch.device:
        """Where the modules are."""
        return self.lamp.log_scale.device

    @torch.no_grad()
    def tokens_of(self, examples: Sequence[Example]) -> MotionTokens:
        """The motions' tokens, padded; each motion goes through the frozen VQ-VAE once."""
        missing = {str(e.sources["motion"].path or e.sources["motion"].id): e for e in examples}
        missing = {key: example for key, example in missing.items() if key not in self.tokens}
        keys = list(missing)
        training = self.lamp.vq.training
        self.lamp.vq.eval()
        for start in range(0, len(keys), ROWS):
            part = keys[start : start + ROWS]
            features, mask = pad_motions([self.motion(missing[key]) for key in part])
            tokens = self.lamp.tokens(features.to(self.device), mask.to(self.device))
            for key, latents, codes, real in zip(part, tokens.latents, tokens.codes, tokens.mask, strict=True):
                self.tokens[key] = (latents[real].clone(), codes[real].clone())
        self.lamp.vq.train(training)
        found = [self.tokens[str(e.sources["motion"].path or e.sources["motion"].id)] for e in examples]
        latents, mask = pad_motions([one for one, _ in found])
        codes = torch.nn.utils.rnn.pad_sequence([two for _, two in found], batch_first=True)
        return MotionTokens(latents, codes, mask)

    def loader(self, examples: list[Example], spec: LoaderSpec) -> Loader:
        """Batches of features for the VQ-VAE, of texts for the other stages (their motions are kept as tokens)."""
        usable = self.usable(examples)
        if spec.stage.name == VQ:
            return ExampleLoader(usable, self.collate_motions, replace(spec, batch_size=self.options.vq_batch))
        if spec.stage.name in self.parts:
            spec = replace(spec, batch_size=self.part(spec.stage.name).batch_size)
        return ExampleLoader(usable, self.collate_texts, spec)

    def collate_motions(self, examples: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """Features `[B, T, F]`, their mask, and a seed for the codebook's draws."""
        features, mask = pad_motions([self.motion(example) for example in examples])
        return {"features": features, "mask": mask}

    def collate_texts(self, examples: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """A drawn caption of each example: ids and mask `[B, L]`, and which caption it is."""
        chosen = [rng.choice([i for i, text in enumerate(e.captions) if text.strip()]) for e in examples]
        texts = [example.captions[index] for example, index in zip(examples, chosen, strict=True)]
        ids, mask = encode_texts(self.tokenizer, texts, self.options.max_words)
        return {"ids": ids, "mask": mask, "caption": torch.tensor(chosen)}

    def training_step(self, batch: Batch, state: StepState, optimizer: str = "main") -> dict[str, Tensor]:
        """The terms of the running stage."""
        inputs, name = batch.inputs[OWN_INPUTS], state.stage.name
        if name == VQ:
            losses = self.lamp.vq.losses(
                inputs["features"], inputs["mask"], official=self.options.official, generator=state.generator
            )
            return {key: WEIGHTS[key] * loss for key, loss in losses.items()}
        # What earlier stages made rests: no dropout, no moving codebook.
        self.lamp.vq.eval()
        ids, mask = inputs["ids"], inputs["mask"]
        groups = torch.unique(ids, dim=0, return_inverse=True)[1]
        if name == PRETRAIN:
            return self.lamp.losses(
                self.tokens_of(batch.examples), ids, mask, groups=groups, terms=self.options.terms,
                official=self.options.official, generator=state.generator,
            )  # fmt: skip
        if name == STATIC:
            frames = self.drawn_frames(batch.examples, state.generator)
            return {"contrast": self.static.loss(frames, ids, mask, groups)}
        self.lamp.eval()
        chosen = inputs["caption"].tolist()
        captions = [example.captions[index] for example, index in zip(batch.examples, chosen, strict=True)]
        pairs = LampBatch(self.tokens_of(batch.examples), ids, mask, captions, batch.examples,
                          [self.motion(example) for example in batch.examples])  # fmt: skip
        return self.part(name).loss(self.context(), pairs, state.generator)

    def drawn_frames(self, examples: Sequence[Example], generator: torch.Generator) -> Tensor:
        """A frame of each motion, drawn at random, normalised `[B, F]`."""
        rows = []
        for example in examples:
            motion = self.motion(example)
            rows.append(motion[int(torch.randint(len(motion), (1,), generator=generator))])
        vq = self.lamp.vq
        return (torch.stack(rows).to(self.device) - vq.mean) / vq.std

    def after_step(self, state: StepState) -> None:
        """Bound the temperature."""
        self.lamp.clamp()

    def context(self) -> PartContext:
        """What parts may use."""
        model = self.static if self.options.condition == "static" else self.lamp

        def condition(ids: Tensor, mask: Tensor) -> Tensor:
            with torch.no_grad():
                return model.eval().text_condition(ids, mask)

        return PartContext(
            self.lamp.eval(), self.tokenizer, condition, lambda split: self.usable(self.examples(split)),
            lambda examples: [self.motion(example) for example in examples], self.tokens_of, self.seed, self.device,
        )  # fmt: skip

    def validate(self) -> dict[str, float]:
        """Reconstruction and retrieval on the validation split with the present weights."""
        self.tokens.clear()
        found = self.measure("validation")
        self.tokens.clear()
        return found

    def evaluate(self, evaluate: Evaluate) -> dict[str, float]:
        """Reconstruction, retrieval three ways (one vector, best query, reranked), and what the parts measure."""
        self.tokens.clear()
        self.metrics = {}
        if self.options.condition == "lamp":
            self.metrics |= evaluate("test", "test", None)
        for split in ("validation", "test"):
            self.metrics |= self.measure(split, rerank=True)
        for name in self.parts:
            self.metrics |= self.part(name).eval().evaluate(self.context())
        return self.metrics

    @torch.no_grad()
    def measure(self, split: str, rerank: bool = False) -> dict[str, float]:
        """Metrics of a split; none when it is empty."""
        examples = self.usable(self.examples(split))
        if not examples:
            return {}
        training = self.training
        self.eval()
        tokens = self.tokens_of(examples)
        found = self.measure_vq(examples, tokens, split)
        if self.options.condition == "lamp":
            texts = [(owner, caption) for owner, example in enumerate(examples)
                     for caption in example.captions if caption.strip()]  # fmt: skip
            owners = torch.tensor([owner for owner, _ in texts], device=self.device)
            ids, mask = encode_texts(self.tokenizer, [caption for _, caption in texts], self.options.max_words)
            ids, mask = ids.to(self.device), mask.to(self.device)
            groups = torch.tensor(group_numbers([example.captions[0] for example in examples]), device=self.device)
            similarity = similarities(self.lamp, tokens, ids, mask)
            found |= both_ways(similarity.T, similarity, owners, groups, f"{split}/best_query")
            if rerank and self.options.rerank and "matching" in self.options.terms:
                sides = reranked(self.lamp, similarity, tokens, ids, mask, self.options.rerank)
                found |= both_ways(*sides, owners, groups, f"{split}/reranked")
        self.train(training)
        return found

    def measure_vq(self, examples: Sequence[Example], tokens: MotionTokens, split: str) -> dict[str, float]:
        """Smooth-L1 error of the normalised features, and how many codes the split uses."""
        error, frames = 0.0, 0
        for start in range(0, len(examples), ROWS):
            part = examples[start : start + ROWS]
            features, mask = pad_motions([self.motion(example) for example in part])
            loss = self.lamp.vq.losses(features.to(self.device), mask.to(self.device))["reconstruction"]
            error += float(loss) * int(mask.sum())
            frames += int(mask.sum())
        used = len(torch.unique(tokens.codes[tokens.mask]))
        return {f"{split}/vq_reconstruction": error / frames, f"{split}/codes_used": float(used)}

    def result_space(self) -> Space | None:
        """Motion and text in one space; none for the static baseline."""
        if self.options.condition == "static":
            return None
        sizes = self.options.model_dump(include=set(SizeOptions.model_fields))
        towers = {
            "motion": Tower(LampMotion(self.lamp), None, "motion/lamp-motion", sizes),
            "text": Tower(LampText.of(self.lamp, self.tokenizer), None, "motion/lamp-text", sizes),
        }
        return Space("lamp", towers, logit_scale=float(self.lamp.log_scale.detach())).to(self.device)

    def save(self, folder: Path) -> bool:
        """Write the model (see `saved`) and the parts' files."""
        static = self.static if self.options.condition == "static" else None
        save_lamp(self.lamp, self.tokenizer, folder, static=static, metrics=self.metrics)
        for name in self.parts:
            self.part(name).save(folder)
        return True


def heavy_of(layout: Layout | None) -> tuple[slice, ...]:
    """The columns of a frame that weigh more: the root's turn, steps and height, and the feet's contacts."""
    return () if layout is None else (layout.turn, layout.velocity, layout.height, layout.contacts)


def groups_of(layout: Layout | None) -> tuple[slice, ...]:
    """The columns of a frame that share a deviation (HumanML3D's normalisation), for the two known layouts."""
    if layout is None:
        return ()
    return (layout.turn, layout.velocity, layout.height, layout.positions, layout.rotations, layout.velocities,
            layout.contacts)  # fmt: skip


def group_numbers(captions: Sequence[str]) -> list[int]:
    """A number for each caption, equal for equal ones."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(caption, len(numbers)) for caption in captions]
