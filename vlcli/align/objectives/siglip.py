"""SigLIP: the sigmoid contrastive loss, with memory linear in the batch.

Zhai et al., "Sigmoid loss for language image pre-training", ICCV 2023. With `S_ij = scale * x_i . y_j + bias`, and
`z_ij = 1` for a pair (equal ids), else `-1`:

    L = - 1/N * sum_ij log sigmoid(z_ij S_ij)  =  1/N * [ sum_ij softplus(S_ij)  -  sum_{ij positive} S_ij ]

The second form needs the matrix only inside one sum over all pairs, whose gradient is taken while the sum is formed:
one pass, three matrix products. Differs from open_clip's chunked loss, whose memory still grows with the square.
The paper starts from scale 10 and bias -10.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vlcli.align.gather import Group, all_reduce_sum, gather_constant
from vlcli.align.objectives.info_nce import check_batch
from vlcli.align.pairwise import pairwise_softplus_sum
from vlcli.align.soft_targets import all_different


class SigLIP(nn.Module):
    """Sigmoid contrastive loss in linear memory. `group`: the processes whose batches count as one; None is all."""

    def __init__(self, group: Group = None) -> None:
        super().__init__()
        self.group = group

    def forward(
        self, x: Tensor, y: Tensor, scale: Tensor, *, bias: Tensor | None = None, ids: Tensor | None = None
    ) -> Tensor:
        """The loss, a scalar (this process's share: see `vlcli.align.gather`).

        Args:
            x, y: `[N, D]` unit rows of this process; row i of both is a pair.
            scale, bias: one element each; without a bias it is 0.
            ids: `[N]` integers; every pair (i, j) with equal ids is a positive.

        Raises:
            VlcliError: T301–T303, see `check_batch`.
        """
        sizes = check_batch(x, y, self.group)
        if bias is None:
            bias = torch.zeros_like(scale)
        share = len(sizes) / sum(sizes)
        if ids is None or all_different(ids, self.group):
            return pairwise_softplus_sum(x, y, scale, bias, subtract_own=True, group=self.group) * share
        total = pairwise_softplus_sum(x, y, scale, bias, group=self.group)
        dtype = total.dtype
        # sum over the positives of x_i . y_j: x_i meets the sum of its group's y
        values, inverse = torch.unique(gather_constant(ids, self.group), return_inverse=True)
        own = torch.searchsorted(values, ids)
        sums = torch.zeros(len(values), y.shape[1], dtype=dtype, device=y.device).index_add(0, own, y.to(dtype))
        partners = all_reduce_sum(sums, self.group)[own]
        count = torch.bincount(inverse)[own].sum()
        positive = scale.to(dtype).reshape(()) * (x.to(dtype) * partners).sum() + bias.to(dtype).reshape(()) * count
        return (total - positive) * share
