"""Hinge losses over all in-batch negatives, with memory linear in the batch.

With cosines `s_ij = x_i . y_j` and margin m, over the wrong columns j of row i (and the same over columns):

    all negatives:      mean_i mean_{j != i} max(0, m + s_ij - s_ii)
    hardest negative:   mean_i max_{j != i} max(0, m + s_ij - s_ii)      (VSE++, Faghri et al., BMVC 2018)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vlcli.align.gather import Group, all_gather, rank
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

    def _rows(self, queries: Tensor, keys: Tensor, own: Tensor) -> Tensor:
        scores = queries.float() @ keys.float().T
        positive = scores.gather(1, own.unsqueeze(1))
        hinge = (self.margin + scores - positive).clamp_min(0).scatter(1, own.unsqueeze(1), 0.0)
        return (hinge.amax(1) if self.hardest else hinge.sum(1) / (keys.shape[0] - 1)).sum()

    def _direction(self, queries: Tensor, keys: Tensor, offset: int) -> Tensor:
        gathered = all_gather(keys, self.group)
        total = queries.new_zeros((), dtype=torch.float32)
        for rows in torch.split(torch.arange(queries.shape[0], device=queries.device), _ROWS_AT_ONCE):
            part = checkpoint(self._rows, queries[rows], gathered, rows + offset, use_reentrant=False)
            total = total + part
        return total

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss, a scalar, of `[N, D]` unit rows (this process's share: see `vlcli.align.gather`)."""
        sizes = check_batch(x, y, self.group)
        offset = sum(sizes[: rank(self.group)])
        total = self._direction(x, y, offset) + self._direction(y, x, offset)
        return total / 2 * (len(sizes) / sum(sizes))
