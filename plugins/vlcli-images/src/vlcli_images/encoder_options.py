"""Options of this plugin's encoders and spaces (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class ImageNetOptions(BaseModel):
    """Options of `images/efficientnet-lite0`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    size: Annotated[int, Field(ge=32, le=1024, description="Side in pixels of what the network sees.")] = 224
    fit: Annotated[
        Literal["squash", "crop"], Field(description="The whole picture, or its middle as in ImageNet's evaluation.")
    ] = "squash"


class StarterOptions(BaseModel):
    """Options of `images/starter`: none."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
