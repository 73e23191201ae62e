"""What generators and codecs are: the two kinds of component that make items instead of comparing them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Generator(Protocol):
    """Text in, items of a modality out.

    Attributes:
        modality: of the items, in the canonical form that this modality's `load` gives (images: `PIL.Image`).
    """

    modality: str

    def generate(self, prompts: Sequence[str], *, seed: int = 0) -> list[Any]:
        """One item for each prompt, in their order. The same prompts and seed give the same items on the CPU.

        Raises:
            VlcliError: with an `X` code when the memory does not suffice, naming the number to lower.
        """
        ...


@runtime_checkable
class Codec(Protocol):
    """Items of a modality to discrete codes and back.

    Attributes:
        modality: of the items.
        codebook_size: codes lie in `[0, codebook_size)`.
        quantizers: n_q, the number of codebooks; the first ones hold the coarse part.
    """

    modality: str
    codebook_size: int
    quantizers: int

    def encode(self, inputs: Tensor) -> Tensor:
        """Signals `[B, C, T_signal]` to codes `[B, n_q, T]`, int64."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """Codes `[B, n_q, T]` to signals `[B, C, T_signal]`; the first k codebooks `[B, k, T]` are enough."""
        ...
