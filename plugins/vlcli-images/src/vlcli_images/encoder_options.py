"""Options of this plugin's encoders and spaces (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class ImageNetOptions(BaseModel):
    """Options of `images/efficientnet-lite0`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    size: Annotated[int, Field(ge=32, le=1024, description="Side in pixels of what the network sees.")] = 224
    framing: Annotated[
        Literal["squash", "crop"], Field(description="The whole picture, or its middle as in ImageNet's evaluation.")
    ] = "squash"


class StarterOptions(BaseModel):
    """Options of `images/starter` and `images/starter-features`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    size: Annotated[int, Field(ge=32, le=1024, description="Side in pixels of what the network sees.")] = 288


class SmallCNNOptions(BaseModel):
    """Options of `images/small-cnn`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    side: Annotated[int, Field(ge=16, le=512, multiple_of=8, description="Pictures become squares of this side.")] = 32
    width: Annotated[int, Field(ge=8, le=1024, multiple_of=8, description="Channels of the first layer.")] = 32
    dim: Annotated[int, Field(ge=8, le=4096, description="Width of the pooled vector.")] = 128
