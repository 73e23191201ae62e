"""Options of this plugin's methods and filters (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Options(BaseModel):
    """Strict and frozen: an unknown or mistyped option is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AlignOptions(Options):
    """Options of `images/align`."""

    temperature: float = Field(1.0, gt=0, description="The learned temperature at the start.")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Share of each target spread over the batch.")


class TextFilterOptions(Options):
    """Options of the filter `images/align-text`."""

    max_images_per_text: int = Field(10, ge=1, description="Texts that more pictures share are dropped.")
    min_words: int = Field(3, ge=1, description="Shorter texts are dropped.")
    max_words: int = Field(20, ge=1, description="Longer texts are dropped.")
    vocabulary: int = Field(0, ge=0, description="Words and pairs that count as known; 0 switches this filter off.")


class ImageFilterOptions(Options):
    """Options of the filter `images/align-image`."""

    min_side: int = Field(200, ge=0, description="Pictures whose shorter side is not longer are dropped.")
    max_aspect: float = Field(3.0, gt=1, description="Pictures of this aspect ratio or more are dropped.")


def as_tuple(value: Any) -> Any:
    """A TOML array as a tuple."""
    return tuple(value) if isinstance(value, list) else value


Term = Literal["ita", "itm", "mlm"]


class AlbefOptions(Options):
    """Options of `images/albef`."""

    alpha: float = Field(0.4, ge=0, le=1, description="Weight of the momentum model's targets after the ramp.")
    ramp: float = Field(1 / 3, ge=0, le=1, description="Share of the run over which alpha grows from 0.")
    momentum: float = Field(0.99, ge=0, lt=1, description="Of the teacher; the paper's 0.995 is for long runs.")
    queue: int = Field(768, ge=1, description="Slots of each feature queue.")
    dim: int = Field(64, ge=2, description="Width of the joint space.")
    temperature: float = Field(0.07, gt=0, description="The learned temperature at the start.")
    mask_probability: float = Field(0.15, gt=0, lt=1, description="Share of words to guess.")
    terms: Annotated[tuple[Term, ...], BeforeValidator(as_tuple), Field(min_length=1)] = Field(
        ("ita", "itm", "mlm"), description="The losses that are summed."
    )


class AlbefImageOptions(Options):
    """Options of the encoder `images/albef-image`."""

    size: int = Field(32, ge=16, le=512, description="Pictures become squares of this side.")
    patch: int = Field(8, ge=2, description="Side of a patch; divides the size.")
    width: int = Field(64, ge=8, description="Width of the states.")
    layers: int = Field(3, ge=1, description="Transformer layers.")
    heads: int = Field(4, ge=1, description="Attention heads; divide the width.")


class AlbefTextOptions(Options):
    """Options of the encoder `images/albef-text`."""

    vocabulary_size: int = Field(1000, ge=16, description="Rows of the word embedding.")
    width: int = Field(64, ge=8, description="Width of the states.")
    layers: int = Field(4, ge=2, description="Transformer layers, those that fuse included.")
    heads: int = Field(4, ge=1, description="Attention heads; divide the width.")
    hidden: int = Field(128, ge=8, description="Width of the feed-forward layers.")
    fusion_layer: int = Field(2, ge=1, description="The first layer that attends to the picture.")
    max_words: int = Field(64, ge=4, description="Longer texts are cut.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout.")
    image_width: int = Field(64, ge=8, description="Width of the image tower's states.")
