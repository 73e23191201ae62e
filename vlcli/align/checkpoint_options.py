"""Options of the encoders and spaces over Hugging Face checkpoints (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Checkpoint = Annotated[str, Field(min_length=1, description="A checkpoint folder, or a hub name (owner/model).")]
MaxLength = Annotated[
    int | None, Field(ge=2, le=131_072, description="Cut texts to so many tokens; by default as the checkpoint says.")
]


class DualOptions(BaseModel):
    """Options of one side of a two-tower checkpoint."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    checkpoint: Checkpoint


class DualSpaceOptions(BaseModel):
    """Options of the adapter over two-tower checkpoints: none."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SentenceSpaceOptions(BaseModel):
    """Options of the adapter over text encoders."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    max_length: MaxLength = None
    pooling: Annotated[
        Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"] | None,
        Field(description="How tokens become one vector; by default as the checkpoint says, else the mean."),
    ] = None


class SentenceOptions(SentenceSpaceOptions):
    """Options of a text encoder."""

    checkpoint: Checkpoint
