"""Sparse lexical heads: an item as weights over a vocabulary, which an inverted index can search.

For token states h_t and one vector per word, `w_v = max over tokens t of act(h_t . word_v + b_v)`:

    log1p_relu   log(1 + max(0, z))      (SPLADE, Formal et al., 2021); exactly 0 where z <= 0
    elu1p        elu(z) + 1              (VDR, Zhou et al., 2024; LexVLA); never 0, so it needs `keep_top`
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Activation = Literal["log1p_relu", "elu1p"]


def elu1p(values: Tensor) -> Tensor:
    """`elu(z) + 1`: `z + 1` for positive z, `exp(z)` otherwise."""
    return nn.functional.elu(values) + 1.0


class LexicalHead(nn.Module):
    """Token states to vocabulary weights.

    Args:
        dim: width of a token; vocabulary: number of words.
        activation: see above. Both are monotone, so the maximum over tokens is taken first.
        bias: whether each word has a bias.
        block: items at once; memory is `block * T * vocabulary` numbers, in backward too (computed again there).
    """

    def __init__(
        self, dim: int, vocabulary: int, activation: Activation = "log1p_relu", bias: bool = True, block: int = 8
    ) -> None:
        super().__init__()
        self.words = nn.Linear(dim, vocabulary, bias=bias)
        self.activation = activation
        self.block = block

    def _highest(self, tokens: Tensor, mask: Tensor) -> Tensor:
        scores: Tensor = self.words(tokens)
        return scores.masked_fill(~mask.unsqueeze(-1), torch.finfo(scores.dtype).min).amax(dim=1)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """`[B, T, D]` and `[B, T]` (true for real tokens) to non-negative weights `[B, V]`."""
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device) if mask is None else mask.bool()
        highest = torch.cat(
            [
                checkpoint(self._highest, some, their_mask, use_reentrant=False)
                for some, their_mask in zip(torch.split(tokens, self.block), torch.split(mask, self.block), strict=True)
            ]
        )
        return elu1p(highest) if self.activation == "elu1p" else highest.relu().log1p()


def top_mask(weights: Tensor, count: int) -> Tensor:
    """True at the `count` largest weights of each row, `[B, V]`."""
    chosen = weights.topk(min(count, weights.shape[1]), dim=1).indices
    return torch.zeros_like(weights, dtype=torch.bool).scatter_(1, chosen, True)


def keep_top(weights: Tensor, count: int, also: Tensor | None = None) -> Tensor:
    """Weights with all but the `count` largest of each row at 0; words in `also` `[B, V]` are kept too."""
    kept = top_mask(weights, count)
    return weights * (kept if also is None else kept | also.bool())


def bag_of_words(input_ids: Tensor, vocabulary: int, special_ids: Tensor | None = None) -> Tensor:
    """0/1 vector of the words in each text `[B, V]` from ids `[B, T]`; `special_ids` `[K]` are left out."""
    bag = torch.zeros(input_ids.shape[0], vocabulary, device=input_ids.device).scatter_(1, input_ids, 1.0)
    if special_ids is not None:
        bag[:, special_ids] = 0.0
    return bag


def flops_penalty(weights: Tensor) -> Tensor:
    """Expected cost of an inverted index: `sum_v (mean_b |w_bv|)^2` (Paria et al., 2020), a scalar."""
    return weights.abs().mean(dim=0).square().sum()
