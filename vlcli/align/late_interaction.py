"""Late interaction: similarity of two items from the similarities of their tokens.

For tokens t of x and s of y with cosines `c_ts`, x's side of the score is `sum_t a_t max_s c_ts`:

    maxsim     a_t = 1 for real tokens                             (ColBERT, Khattab and Zaharia, 2020)
    mean       a_t = 1/T                                           (FILIP, Yao et al., 2022)
    weighted   a = softmax of learned token scores                 (WTI, Wang et al., 2022)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def token_weights(mask: Tensor, scores: Tensor | None = None) -> Tensor:
    """Weights `[B, T]` that sum to one over real tokens: equal, or the softmax of `scores` `[B, T]`."""
    if scores is None:
        return mask / mask.sum(dim=1, keepdim=True).clamp_min(1)
    return scores.float().masked_fill(~mask.bool(), -torch.inf).softmax(dim=1).nan_to_num(0.0)


def _block(x: Tensor, y: Tensor, x_mask: Tensor, y_mask: Tensor, x_weight: Tensor, y_weight: Tensor | None) -> Tensor:
    cosines = torch.einsum("itd,jsd->ijts", x.float(), y.float())
    lowest = torch.finfo(cosines.dtype).min
    best_for_x = cosines.masked_fill(~y_mask[None, :, None, :], lowest).amax(dim=3)
    score = torch.einsum("ijt,it->ij", best_for_x.masked_fill(~x_mask[:, None, :], 0), x_weight)
    if y_weight is None:
        return score
    best_for_y = cosines.masked_fill(~x_mask[:, None, :, None], lowest).amax(dim=2)
    return (score + torch.einsum("ijs,js->ij", best_for_y.masked_fill(~y_mask[None, :, :], 0), y_weight)) / 2


def late_interaction(
    x: Tensor,
    y: Tensor,
    x_mask: Tensor | None = None,
    y_mask: Tensor | None = None,
    x_weight: Tensor | None = None,
    y_weight: Tensor | None = None,
    *,
    block: int = 32,
) -> Tensor:
    """Scores `[N, M]` of all pairs of token sequences.

    Args:
        x: `[N, T, D]`, y: `[M, S, D]`, unit tokens.
        x_mask, y_mask: `[N, T]`, `[M, S]`, true for real tokens; None when all are. Every item needs one.
        x_weight: `[N, T]` weight of each token of x; default 1 for real tokens (ColBERT's sum). See `token_weights`.
        y_weight: `[M, S]`; when given, the score is the mean of both sides', otherwise x's side alone.
        block: items of each side at once. Memory is `block * block * T * S` numbers, in backward too, for blocks are
            computed again there.
    """
    x_mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if x_mask is None else x_mask.bool()
    y_mask = torch.ones(y.shape[:2], dtype=torch.bool, device=y.device) if y_mask is None else y_mask.bool()
    x_weight = x_mask.float() if x_weight is None else x_weight
    rows = []
    for i in range(0, len(x), block):
        columns = []
        for j in range(0, len(y), block):
            of_x, of_y = slice(i, i + block), slice(j, j + block)
            arguments = (
                x[of_x], y[of_y], x_mask[of_x], y_mask[of_y], x_weight[of_x],
                None if y_weight is None else y_weight[of_y],
            )  # fmt: skip
            columns.append(checkpoint(_block, *arguments, use_reentrant=False))
        rows.append(torch.cat(columns, dim=1))
    return torch.cat(rows)


class TokenWeighting(nn.Module):
    """Learned token weights for the weighted token-wise interaction: a small MLP scores each token.

    Args:
        dim: width of a token; hidden: width of the hidden layer (default `2 * dim`).
    """

    def __init__(self, dim: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or 2 * dim
        self.score = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """`[B, T, D]` tokens and their mask to weights `[B, T]` that sum to one over real tokens."""
        return token_weights(mask, self.score(tokens).squeeze(-1))
