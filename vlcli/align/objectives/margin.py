"""Hinge losses over all in-batch negatives, with memory linear in the batch.

With cosines `s_ij = x_i . y_j` and margin m, over the wrong columns j of row i (and the same over columns):

    all negatives:      mean_i mean_{j != i} max(0, m + s_ij - s_ii)
    hardest negative:   mean_i max_{j != i} max(0, m + s_ij - s_ii)      (VSE++, Faghri et al., BMVC 2018)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vlcli.align.gather import Group, all_gather, gather_constant, rank
from vlcli.align.objectives.info_nce import check_batch

_ROWS_AT_ONCE = 256


class Margin(nn.Module):
    """Hinge loss on cosines, both directions averaged.

    Args:
        margin: how much nearer the own pair must be than any other.
        hardest: whether only the worst negative of each row counts.
        group: the processes whose batches count as one; None is all of them.
    """

    def __init__(self, margin: float = 0.2, hardest: bool = False, group: Group = None) -> None:
        super().__init__()
        self.margin = margin
        self.hardest = hardest
        self.group = group

    def _rows(self, queries: Tensor, keys: Tensor, own: Tensor, ids: Tensor | None) -> Tensor:
        scores = queries.float() @ keys.float().T
        positive = scores.gather(1, own.unsqueeze(1))
        wrong = torch.ones_like(scores, dtype=torch.bool).scatter_(1, own.unsqueeze(1), False)
        if ids is not None:
            wrong = ids[own].unsqueeze(1) != ids.unsqueeze(0)
        hinge = (self.margin + scores - positive).clamp_min(0).masked_fill(~wrong, 0.0)
        return (hinge.amax(1) if self.hardest else hinge.sum(1) / wrong.sum(1).clamp_min(1)).sum()

    def _direction(self, queries: Tensor, keys: Tensor, offset: int, ids: Tensor | None) -> Tensor:
        gathered = all_gather(keys, self.group)
        total = queries.new_zeros((), dtype=torch.float32)
        for rows in torch.split(torch.arange(queries.shape[0], device=queries.device), _ROWS_AT_ONCE):
            part = checkpoint(self._rows, queries[rows], gathered, rows + offset, ids, use_reentrant=False)
            total = total + part
        return total

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        scale: Tensor | None = None,
        *,
        bias: Tensor | None = None,
        ids: Tensor | None = None,
    ) -> Tensor:
        """The loss, a scalar (this process's share: see `vlcli.align.gather`).

        Args:
            x, y: `[N, D]` unit rows of this process; row i of both is a pair.
            scale, bias: accepted so that all contrastive objectives are called alike; cosines are compared as they are.
            ids: `[N]` integers; other items with the same id are no negatives.
        """
        sizes = check_batch(x, y, self.group)
        all_ids = None if ids is None else gather_constant(ids, self.group)
        offset = sum(sizes[: rank(self.group)])
        total = self._direction(x, y, offset, all_ids) + self._direction(y, x, offset, all_ids)
        return total / 2 * (len(sizes) / sum(sizes))
