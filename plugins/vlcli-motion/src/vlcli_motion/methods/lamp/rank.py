"""How much rank attention keeps: the effective rank of a masked transformer's attention matrices.

Effective rank (Roy and Vetterli, EUSIPCO 2007): the exponential of the entropy of the singular values, divided by their
sum. It is 1 for a matrix whose rows are all alike and n for the identity. A causal softmax matrix is triangular with a
positive diagonal, so it has full rank whatever it has learnt: its effective rank is high before training already.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vlcli_motion.methods.lamp.masked_transformer import MaskedTransformer


def effective_rank(matrices: Tensor) -> Tensor:
    """`exp(-Σ p log p)` with p the singular values over their sum: `[..., N, M]` -> `[...]`."""
    values = torch.linalg.svdvals(matrices.double())
    share = values / values.sum(-1, keepdim=True)
    ranks: Tensor = torch.special.entr(share).sum(-1).exp().float()
    return ranks


@torch.no_grad()
def attention_ranks(model: MaskedTransformer, ids: Tensor, condition: Tensor) -> Tensor:
    """Mean effective rank of each layer's matrices `[layers]`, over motions and heads.

    Args:
        ids: `[B, N]` with holes. Padding is cut off before the rank is taken: a motion of n tokens has n + 1 rows.
        condition: `[B, C]`.
    """
    lengths = (ids != model.padding).sum(1) + 1
    _, maps = model.states(ids, condition)
    return torch.stack([
        torch.stack([effective_rank(rows[:, :length, :length]).mean() for rows, length in
                     zip(layer, lengths.tolist(), strict=True)]).mean()
        for layer in maps
    ])  # fmt: skip
