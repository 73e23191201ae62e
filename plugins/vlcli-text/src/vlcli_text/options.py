"""Options of this plugin's encoders and spaces (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class MiniLMOptions(BaseModel):
    """Options of `text/minilm`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    max_length: Annotated[int, Field(ge=2, le=512, description="Cut texts to so many tokens.")] = 256
