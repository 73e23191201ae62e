"""Options of LaMP's masked generator and captioner (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vlcli_motion.options import Options


class GeneratorOptions(Options):
    """The masked transformer over motion tokens, small enough to train on a CPU. The paper's sizes are in brackets."""

    share: float = Field(default=0.0, ge=0, description="Share of the run's steps; 0 leaves the generator out.")
    batch_size: int = Field(default=64, ge=1, description="Motions of a step.")
    learning_rate_scale: float = Field(default=1.0, gt=0, description="Multiplies the recipe's learning rate.")
    attention: Literal["causal", "bidirectional", "official"] = Field(
        default="causal", description="What a token sees: the past, everything, or the released additive triangle."
    )
    code_width: int = Field(default=64, ge=4, description="Width of the token embeddings [512].")
    width: int = Field(default=128, ge=8, description="Width of the states [384].")
    layers: int = Field(default=3, ge=1, description="Layers [8].")
    heads: int = Field(default=4, ge=1, description="Attention heads; divide the width [6].")
    feed_forward: int = Field(default=256, ge=8, description="Width of the feed-forward layers [1024].")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout.")
    condition_drop: float = Field(default=0.1, ge=0, lt=1, description="Share of texts left out in training.")
    guidance: float = Field(default=4.0, ge=0, description="Scale of classifier-free guidance.")
    steps: int = Field(default=10, ge=1, description="Passes of confidence-based filling in.")
    temperature: float = Field(default=1.0, ge=0, description="Of sampling; 0 takes the most probable code.")
    threshold: float = Field(default=0.9, ge=0, lt=1, description="Keeps ceil((1 - threshold) · K) codes.")
    test_examples: int = Field(default=200, ge=1, description="Test motions that are generated and measured.")
    repeats: int = Field(default=1, ge=1, description="Motions generated for each of them, its captions in turn.")
    classifier_steps: int = Field(default=300, ge=1, description="Steps of the classifier that judges motions.")


class CaptionerOptions(Options):
    """A causal language model with LoRA that reads LaMP's queries as a prefix."""

    share: float = Field(default=0.0, ge=0, description="Share of the run's steps; 0 leaves the captioner out.")
    language_share: float = Field(
        default=0.0,
        ge=0,
        description="Share of the steps that teach a small language model captions first.",
    )
    batch_size: int = Field(default=64, ge=1, description="Captions of a step.")
    learning_rate_scale: float = Field(default=1.0, gt=0, description="Multiplies the recipe's learning rate.")
    checkpoint: str | None = Field(
        default=None, description="A causal language model (folder or hub name, safetensors) instead of a small one."
    )
    width: int = Field(default=128, ge=8, description="Width of the small language model.")
    layers: int = Field(default=2, ge=1, description="Its layers.")
    heads: int = Field(default=4, ge=1, description="Its attention heads.")
    lora_rank: int = Field(default=16, ge=1, description="Rank of LoRA's updates.")
    lora_alpha: int = Field(default=32, ge=1, description="LoRA's scale is alpha / rank.")
    lora_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout before LoRA's updates.")
    max_words: int = Field(default=48, ge=4, description="Tokens of the longest caption.")
    beams: int = Field(default=1, ge=1, le=64, description="Beams of the search for a caption.")
    scorer: str = Field(default="text/minilm", description="Encoder whose token vectors BERTScore compares.")
    test_examples: int = Field(default=200, ge=1, description="Test motions that are captioned and measured.")


class MotionGeneratorOptions(Options):
    """Options of the generator `motion/lamp`."""

    model: str | None = Field(default=None, description="A run or model folder; default: the newest lamp run.")
    seconds: float = Field(default=4.0, gt=0, description="Length of the motions.")
    guidance: float | None = Field(default=None, ge=0, description="Scale of guidance; the model's own by default.")
    steps: int | None = Field(default=None, ge=1, le=1000, description="Passes; the model's own by default.")
    temperature: float | None = Field(default=None, ge=0, description="Of sampling; the model's own by default.")
    device: str = Field(default="cpu", description="cpu, cuda, cuda:1, mps or auto.")
