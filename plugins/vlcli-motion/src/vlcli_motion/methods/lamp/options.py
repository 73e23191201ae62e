"""Options of LaMP (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from vlcli_motion.methods.lamp.config import LampConfig
from vlcli_motion.methods.lamp.generation_options import CaptionerOptions, GeneratorOptions
from vlcli_motion.options import Options, as_tuple

Term = Literal["contrast", "matching", "caption", "codes"]
Terms = Annotated[tuple[Term, ...], BeforeValidator(as_tuple), Field(min_length=1)]


class SizeOptions(Options):
    """Sizes of VQ-VAE and Q-Former, small enough to train on a CPU. The paper's are in brackets."""

    features: int = Field(263, ge=8, description="Numbers of a frame: 263 for 22 joints, 251 for KIT's 21.")
    codes: int = Field(128, ge=2, description="Rows of the codebook [512].")
    code_dim: int = Field(64, ge=2, description="Their width [512].")
    vq_width: int = Field(96, ge=4, description="Channels of the VQ-VAE's convolutions [512].")
    vq_depth: int = Field(2, ge=1, le=6, description="Residual blocks a level [3].")
    dilation: int = Field(3, ge=1, le=4, description="Growth of their dilation [3].")
    max_tokens: int = Field(24, ge=1, le=512, description="Motion tokens of four frames, and queries [49]; longer "
                            "motions are cut.")  # fmt: skip
    vocabulary: int = Field(400, ge=16, description="Words [30522].")
    width: int = Field(96, ge=4, description="Width of the Q-Former's states [768].")
    layers: int = Field(4, ge=1, description="Its blocks [12].")
    heads: int = Field(4, ge=1, description="Attention heads; divide the width [12].")
    hidden: int = Field(192, ge=4, description="Width of the feed-forward layers [3072].")
    cross_every: int = Field(2, ge=1, description="Every how many blocks queries attend to their context [2].")
    max_words: int = Field(40, ge=4, le=512, description="Longer texts are cut [32].")
    dim: int = Field(64, ge=2, description="Width of the joint space [512].")
    dropout: float = Field(0.0, ge=0, lt=1, description="In the Q-Former [0.1].")
    text_context: Literal["states", "embeddings"] = Field("states", description="What queries read of a text: its "
                                                          "states, or as released its word embeddings.")  # fmt: skip
    init_std: float = Field(0.1, gt=0, description="Deviation of the initial weights [0.02].")

    def config(self) -> LampConfig:
        """The sizes as the model takes them."""
        return LampConfig(**self.model_dump(include=set(SizeOptions.model_fields)))


class LampOptions(SizeOptions):
    """Options of the method `motion/lamp`."""

    vq_share: float = Field(1.0, gt=0, description="Steps of the VQ-VAE, relative to the other shares.")
    vq_lr_scale: float = Field(1.0, gt=0, description="Multiplies the learning rate in that stage.")
    vq_batch: int = Field(32, ge=2, description="Motions in a batch of that stage.")
    lamp_share: float = Field(1.0, gt=0, description="Steps of the language-motion pretraining.")
    lamp_lr_scale: float = Field(1.0, gt=0, description="Multiplies the learning rate in that stage.")
    terms: Terms = Field(("contrast", "matching", "caption", "codes"), description="Which losses it sums.")
    condition: Literal["lamp", "static"] = Field("lamp", description="static: in its place a bag of words is "
                         "contrasted with single frames, a baseline for the generator.")  # fmt: skip
    official: bool = Field(False, description="Temperature, negatives and velocity term as in the released code.")
    rerank: int = Field(8, ge=0, description="Candidates that the matching head orders anew in the metrics; 0: none.")
    generator: GeneratorOptions = GeneratorOptions()
    captioner: CaptionerOptions = CaptionerOptions()
