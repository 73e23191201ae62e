"""Options of this plugin's encoders (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vlcli_molecules.options import Options

Dim = Annotated[int, Field(ge=8, le=4096, description="Width of the pooled vector.")]
Hidden = Annotated[int, Field(ge=8, le=65_536, description="Width of the hidden layer.")]
Buckets = Annotated[int, Field(ge=64, le=1 << 24, description="Rows of the table of embeddings.")]
Dropout = Annotated[float, Field(ge=0, lt=1, description="Of features, while training.")]


class FingerprintOptions(Options):
    """Options of `molecules/fingerprint`."""

    buckets: Buckets = 1 << 14
    dim: Dim = 192
    hidden: Hidden = 384
    dropout: Dropout = 0.1


class HashedTextOptions(Options):
    """Options of `molecules/hashed-text`."""

    buckets: Buckets = 1 << 16
    dim: Dim = 192
    hidden: Hidden = 384
    dropout: Dropout = 0.1
    max_bytes: Annotated[int, Field(ge=16, le=100_000, description="Longer texts are cut.")] = 1000
