"""The stages that train LaMP's captioner, and what is measured of it, LaMP-BertScore among it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vlcli.errors import VlcliError
from vlcli.train.method import freeze
from vlcli_motion.methods.lamp.bert_score import bert_score
from vlcli_motion.methods.lamp.captioning import (
    FOLDER,
    Captioner,
    caption_ids,
    language_loss,
    load_language,
    small_language_model,
    word_tokenizer,
)
from vlcli_motion.methods.lamp.config import LampConfig
from vlcli_motion.methods.lamp.describe import describe
from vlcli_motion.methods.lamp.evaluation import shuffled
from vlcli_motion.methods.lamp.generation_options import CaptionerOptions
from vlcli_motion.methods.lamp.generator_part import GeneratorPart, prompts_of, spread
from vlcli_motion.methods.lamp.parts import LampBatch, LampPart, PartContext

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from vlcli.registry import Registry

BEGIN_END = 2


class LanguagePart(LampPart):
    """A small causal language model that learns the captions alone, without any motion."""

    name = "language"

    def __init__(self, options: CaptionerOptions, config: LampConfig, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.share, self.batch_size = options.language_share, options.batch_size
        self.lr_scale = options.learning_rate_scale
        self.max_words = options.max_words
        self.words = word_tokenizer(tokenizer)
        self.model = small_language_model(options, config.vocabulary, positions_of(options, config))

    def loss(self, context: PartContext, batch: LampBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of each word."""
        ids, mask = caption_ids(self.words, batch.captions, self.max_words)
        return {"words": language_loss(self.model, ids.to(context.device), mask.to(context.device))}

    def save(self, folder: Path) -> None:
        """Nothing: the captioner saves the language model that it has taken over."""


class CaptionerPart(LampPart):
    """LoRA and projection over a frozen language model: the small one of `language`, or a checkpoint.

    Args:
        registry: where the encoder is found whose token vectors BERTScore compares.
        language: the stage that taught the small language model.
        generator: the stage that taught the generator, for LaMP-BertScore of generated motions.
    """

    name = "captioner"

    def __init__(
        self, options: CaptionerOptions, config: LampConfig, tokenizer: Tokenizer, registry: Registry,
        language: LanguagePart | None = None, generator: GeneratorPart | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.options, self.registry = options, registry
        self.share, self.batch_size = options.share, options.batch_size
        self.lr_scale = options.learning_rate_scale
        # In a tuple, so that they are not this part's modules a second time.
        self.others = (language, generator)
        if options.checkpoint is not None:
            model, words = load_language(options.checkpoint)
            check_positions(model, positions_of(options, config), options.checkpoint)
        else:
            model = small_language_model(options, config.vocabulary, positions_of(options, config))
            words = word_tokenizer(tokenizer)
        self.captioner = Captioner(model, words, config.width, options)

    def start(self, context: PartContext) -> None:
        """Take the small language model over as its stage has left it."""
        language = self.others[0]
        if language is not None:
            base = self.captioner.language.get_base_model()
            names = {name.replace(".base_layer.", "."): name for name in base.state_dict() if ".lora_" not in name}
            weights = {names[name]: value for name, value in language.model.state_dict().items()}
            base.load_state_dict(weights, strict=False)
            freeze(self.captioner.language, ("*lora_*",))

    def loss(self, context: PartContext, batch: LampBatch, generator: torch.Generator) -> dict[str, Tensor]:
        """Cross-entropy of each caption's words given the motion."""
        with torch.no_grad():
            states = context.lamp.qformer.ask(context.lamp.motion_context(batch.tokens.latents), batch.tokens.mask)
        return {"words": self.captioner.loss(states, batch.captions)}

    @torch.no_grad()
    def captions(self, context: PartContext, motions: Sequence[Tensor]) -> list[str]:
        """Captions of motions `[T, F]`."""
        return describe(context.lamp, self.captioner, motions, context.device)

    @torch.no_grad()
    def evaluate(self, context: PartContext) -> dict[str, float]:
        """LaMP-BertScore of real motions, of generated ones, and of real ones against others' texts."""
        test = spread(context.examples("test"), self.options.test_examples)
        if not test:
            return {}
        scorer = self.registry.build("encoder", self.options.scorer).eval()
        prompts = prompts_of(test)
        other = [prompts[row] for row in shuffled(len(prompts))]
        written = self.captions(context, context.features(test))
        pairs = {"real": (written, prompts), "shuffled": (written, other)}
        generator = self.others[1]
        if generator is not None:
            motions = generator.generate(context, prompts, context.tokens(test).mask.sum(1))
            of_generated = self.captions(context, motions)
            pairs |= {"generated": (of_generated, prompts), "generated_shuffled": (of_generated, other)}
        scores = {kind: float(bert_score(scorer, *texts).f1.mean()) for kind, texts in pairs.items()}
        found = {f"captioning/{kind}_bert_score": score for kind, score in scores.items()}
        if generator is not None:
            # What a claim on their order compares.
            found["captioning/real_above_generated"] = scores["real"] - scores["generated"]
            found["captioning/generated_above_shuffled"] = scores["generated"] - scores["shuffled"]
        return found

    def save(self, folder: Path) -> None:
        """The folder `captioner`."""
        self.captioner.save(folder / FOLDER)


def caption_parts(
    options: CaptionerOptions, config: LampConfig, tokenizer: Tokenizer, registry: Registry,
    generator: LampPart | None,
) -> list[LampPart]:  # fmt: skip
    """The stages of captioning in their order."""
    made = generator if isinstance(generator, GeneratorPart) else None
    if options.checkpoint is not None or options.language_share == 0:
        return [CaptionerPart(options, config, tokenizer, registry, None, made)]
    language = LanguagePart(options, config, tokenizer)
    return [language, CaptionerPart(options, config, tokenizer, registry, language, made)]


def positions_of(options: CaptionerOptions, config: LampConfig) -> int:
    """Places that the language model needs: queries, begin, the longest caption."""
    return config.max_tokens + options.max_words + BEGIN_END


def check_positions(model: torch.nn.Module, needed: int, name: str) -> None:
    """Refuse a language model that is too short.

    Raises:
        VlcliError: T354.
    """
    places = getattr(model.config, "max_position_embeddings", None)
    if isinstance(places, int) and places < needed:
        raise VlcliError("T354", name, f"reads {places} tokens, but queries and caption take {needed}",
                         "lower method.captioner.max_words, or choose another language model")  # fmt: skip
