"""Options of the data sets. Imported by recipe checks, so nothing heavy may be imported here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Split = Literal["train", "val", "test"]


class Options(BaseModel):
    """Strict and frozen: an unknown or mistyped option is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class EmojiOptions(Options):
    """Options of `images/emoji`."""

    language: Literal["en", "ar", "de", "es", "fa", "fr", "id", "it", "ja", "ko", "pt", "ru", "tr", "zh"] = Field(
        "en", description="Language of the captions."
    )
    split: Split | None = Field(None, description="Only this split; all of them when not given.")
    captions: Literal["all", "name"] = Field("all", description="The name and its aliases, or the name alone.")


class SamplesOptions(Options):
    """Options of `images/samples`."""


class CocoOptions(Options):
    """Options of `images/coco-captions`."""

    path: str = Field(description="Folder that holds the captions JSON and the pictures.")
    annotations: str | None = Field(None, description="The captions JSON, relative to the folder; found when unique.")
    images: str | None = Field(None, description="Folder of the pictures, relative to the folder.")
    split: str | None = Field(None, description="Split to write into the examples.")


class ShapesOptions(Options):
    """Options of `images/shapes`."""

    size: int = Field(2000, ge=8, le=200_000, description="Training pictures.")
    noise: float = Field(0.0, ge=0, le=1, description="Share of training pictures with another picture's caption.")
    domain: Literal["all", "old", "new"] = Field("all", description="All six colours, or three of them.")
    ground: Literal["dark", "grey", "bright"] = Field("dark", description="What the shapes lie on.")
    seed: int = Field(0, ge=0, description="Of the training pictures and the noise.")
