"""Sizes of LaMP (no torch here)."""

from __future__ import annotations

from dataclasses import dataclass

STRIDE = 4
"""Frames of a motion token."""


@dataclass(frozen=True)
class LampConfig:
    """Sizes of the motion VQ-VAE and the Q-Former; the defaults are the paper's.

    Attributes:
        features: numbers of a frame (HumanML3D 263, KIT 251).
        codes, code_dim: of the codebook; vq_width, vq_depth, dilation: channels of the convolutions, residual blocks a
            level and the growth of their dilation.
        max_tokens: tokens of the longest motion, and so the number of queries: query i predicts token i.
        vocabulary: rows of the word embedding.
        width, layers, heads, hidden: of the Q-Former; every `cross_every`-th block has cross-attention.
        max_words: longer texts are cut.
        dim: width of the joint space.
        text_context: what the queries read of a text. Released pre-training takes the word embeddings and the released
            generator the text's contextual states; `states` takes these in both.
        init_std: deviation of the initial weights; BERT's 0.02 belongs to its width.
    """

    features: int = 263
    codes: int = 512
    code_dim: int = 512
    vq_width: int = 512
    vq_depth: int = 3
    dilation: int = 3
    max_tokens: int = 49
    vocabulary: int = 30522
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    cross_every: int = 2
    max_words: int = 32
    dim: int = 512
    dropout: float = 0.1
    text_context: str = "states"
    init_std: float = 0.02
