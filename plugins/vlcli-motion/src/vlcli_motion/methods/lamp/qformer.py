"""The Q-Former: learned queries and words in one transformer, where queries also read a motion or a text.

Queries and words share self-attention; every second block lets the queries attend to a context; the two have
feed-forward layers of their own (Li et al., BLIP-2, ICML 2023, section 3.1; Li et al., LaMP, ICLR 2025). Which token
sees which decides the task:

    contrast         queries alone, words alone
    matching         queries and words see each other
    motion to text   queries see queries, words see all queries and the words before them
    text to motion   queries alone, and their context is the text

The released code keeps the keys and values of the queries for the third; a mask gives the same numbers, because
there queries never see words. Differs from the released code in: motion tokens carry positions (after convolutions
alone, cross-attention could not tell the order of distant tokens), and padded tokens of either side are hidden.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli_motion.methods.lamp.config import LampConfig

Seen = Literal["both", "causal"]
"""Words with queries: they see each other, or words see queries and earlier words."""


def self_attention_mask(kind: Seen, queries: int, word_mask: Tensor) -> Tensor:
    """Who sees whom among queries and words: `[B, 1, Q + L, Q + L]`, true where row may look at column.

    Args:
        kind: `both` (matching) or `causal` (motion to text).
        queries: their number, before the words.
        word_mask: `[B, L]`, true at real words.
    """
    words = word_mask.shape[1]
    total = queries + words
    seen = torch.ones(total, total, dtype=torch.bool, device=word_mask.device)
    if kind == "causal":
        seen[:queries, queries:] = False
        seen[queries:, queries:] = torch.ones(words, words, dtype=torch.bool, device=word_mask.device).tril()
    real = functional.pad(word_mask.bool(), (queries, 0), value=True)
    return (seen & real.unsqueeze(1)).unsqueeze(1)


class _Attention(nn.Module):
    """Multi-head attention with residual and norm (BERT's order)."""

    def __init__(self, config: LampConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, config.dropout
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, source: Tensor, seen: Tensor | None) -> Tensor:
        def split(tensor: Tensor) -> Tensor:
            return tensor.view(*tensor.shape[:2], self.heads, -1).transpose(1, 2)

        mixed = functional.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(source)), split(self.value(source)), attn_mask=seen,
            dropout_p=self.dropout if self.training else 0.0,
        )  # fmt: skip
        added = functional.dropout(self.out(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training)
        return cast(Tensor, self.norm(x + added))


class _FeedForward(nn.Module):
    def __init__(self, config: LampConfig) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(config.width, config.hidden), nn.Linear(config.hidden, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = config.dropout

    def forward(self, x: Tensor) -> Tensor:
        added = functional.dropout(self.out(functional.gelu(self.into(x))), self.dropout, self.training)
        return cast(Tensor, self.norm(x + added))


class _Block(nn.Module):
    def __init__(self, config: LampConfig, crossing: bool) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.cross = _Attention(config) if crossing else None
        self.for_queries, self.for_words = _FeedForward(config), _FeedForward(config)

    def forward(
        self, x: Tensor, queries: int, seen: Tensor | None, context: Tensor | None, context_seen: Tensor | None
    ) -> Tensor:
        x = self.attention(x, x, seen)
        asking, words = x[:, :queries], x[:, queries:]
        parts = []
        if queries:
            if self.cross is not None and context is not None:
                asking = self.cross(asking, context, context_seen)
            parts.append(self.for_queries(asking))
        if words.shape[1]:
            parts.append(self.for_words(words))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


class QFormer(nn.Module):
    """Queries and words to states. All inputs and outputs have the width of the config."""

    def __init__(self, config: LampConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.queries = nn.Parameter(torch.empty(1, config.max_tokens, width))
        # One row more than the vocabulary: the token that begins a text which is to be written.
        self.words = nn.Embedding(config.vocabulary + 1, width)
        self.positions = nn.Embedding(config.max_words, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.query_norm = nn.LayerNorm(width, eps=1e-12)
        self.blocks = nn.ModuleList(_Block(config, index % config.cross_every == 0) for index in range(config.layers))
        self.apply(partial(_initialise, std=config.init_std))
        nn.init.normal_(self.queries, std=config.init_std)

    @property
    def begin_id(self) -> int:
        """Id of the token that begins a text which is to be written."""
        return self.config.vocabulary

    def embed_words(self, ids: Tensor) -> Tensor:
        """Ids `[B, L]` to word and position embeddings `[B, L, D]`."""
        x = self.words(ids) + self.positions.weight[: ids.shape[1]]
        return functional.dropout(self.norm(x), self.config.dropout, self.training)

    def ask(self, context: Tensor, context_mask: Tensor | None = None) -> Tensor:
        """Queries that read a context `[B, S, D]` (mask `[B, S]`): states `[B, Q, D]`."""
        return self.run(self.start_queries(len(context)), self.config.max_tokens, None, context, context_mask)

    def read(self, ids: Tensor, word_mask: Tensor) -> Tensor:
        """Words alone, ids and mask `[B, L]`: states `[B, L, D]`."""
        return self.run(self.embed_words(ids), 0, word_mask.bool()[:, None, None, :], None, None)

    def together(
        self, ids: Tensor, word_mask: Tensor, context: Tensor, context_mask: Tensor | None, kind: Seen
    ) -> Tensor:
        """Queries with their context, and words: states `[B, Q + L, D]`, queries first."""
        x = torch.cat([self.start_queries(len(ids)), self.embed_words(ids)], dim=1)
        seen = self_attention_mask(kind, self.config.max_tokens, word_mask)
        return self.run(x, self.config.max_tokens, seen, context, context_mask)

    def start_queries(self, rows: int) -> Tensor:
        """The queries `[B, Q, D]` before the first block."""
        x = self.query_norm(self.queries).expand(rows, -1, -1)
        return functional.dropout(x, self.config.dropout, self.training)

    def run(
        self, x: Tensor, queries: int, seen: Tensor | None, context: Tensor | None, context_mask: Tensor | None
    ) -> Tensor:
        """All blocks."""
        context_seen = None if context_mask is None else context_mask.bool()[:, None, None, :]
        for block in self.blocks:
            x = block(x, queries, seen, context, context_seen)
        return x


def _initialise(module: nn.Module, std: float) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
