"""Options of this plugin's encoders (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vlcli_motion.options import Options


class MotionTransformerOptions(Options):
    """Options of `motion/motion-transformer`."""

    skeleton: Annotated[Literal["humanml3d", "kit"], Field(description="Whose features it reads: 263 or 251.")] = (
        "humanml3d"
    )
    dim: Annotated[int, Field(ge=16, le=4096, description="Width of the tokens and of the pooled vector.")] = 128
    layers: Annotated[int, Field(ge=1, le=48, description="Blocks of the transformer.")] = 2
    heads: Annotated[int, Field(ge=1, le=64, description="Of the attention; they divide dim.")] = 4
    dropout: Annotated[float, Field(ge=0, lt=1, description="While training.")] = 0.1
    max_frames: Annotated[int, Field(ge=8, le=4000, description="Longer motions are cut.")] = 200
