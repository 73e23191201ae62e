"""Options of this plugin's encoders and spaces (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class MiniLMOptions(BaseModel):
    """Options of `text/minilm`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    max_length: Annotated[int, Field(ge=2, le=512, description="Cut texts to so many tokens.")] = 256


class SmallGRUOptions(BaseModel):
    """Options of `text/small-gru`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    vocabulary_size: Annotated[int, Field(ge=16, le=1_000_000, description="Rows of the word embedding.")] = 2000
    width: Annotated[int, Field(ge=8, le=4096, description="Width of the word embedding.")] = 64
    dim: Annotated[int, Field(ge=8, le=4096, multiple_of=2, description="Width of the pooled vector.")] = 128
    max_words: Annotated[int, Field(ge=1, le=4096, description="Longer texts are cut.")] = 64
    pooling: Annotated[
        Literal["mean", "ends"], Field(description="Mean of the states, or also the last ones: where order matters.")
    ] = "mean"
