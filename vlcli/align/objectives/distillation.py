"""Distillation of a teacher's similarity distribution, with memory linear in the batch.

With the teacher's scores `O = teacher_scale * x_t @ y_t.T` and the student's `S = scale * x @ y.T`:

    L = 1/2 * sum_i w_i KL(softmax(O_i) || softmax(S_i))  +  1/2 * the same over columns

`w` selects rows (0 or 1) or weighs them; reduction is a mean or a sum over rows. KL splits into normalisers and
expected keys (`vlcli.align.soft_targets`), so no matrix of similarities exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from vlcli.align.gather import Group, batch_sizes, rank
from vlcli.align.objectives.info_nce import check_batch
from vlcli.align.pairwise import pairwise_argmax, pairwise_logsumexp
from vlcli.align.soft_targets import teacher_keys

RowSelection = Callable[[Tensor, Tensor, Group], Tensor]
"""Given a teacher's queries `[N, D]` and keys `[N, D]`, the weight `[N]` of each row."""


def ranked_first(queries: Tensor, keys: Tensor, group: Group = None) -> Tensor:
    """1 for rows whose own key is the teacher's best, else 0: what a wrong teacher says is not taught (Mod-X)."""
    offset = sum(batch_sizes(queries, group)[: rank(group)])
    own = torch.arange(queries.shape[0], device=queries.device) + offset
    return pairwise_argmax(queries, keys, group=group) == own


def distillation_direction(
    queries: Tensor,
    keys: Tensor,
    teacher_queries: Tensor,
    teacher_candidates: Tensor,
    scale: Tensor,
    teacher_scale: float,
    *,
    row_normaliser: Tensor | None = None,
    group: Group = None,
) -> Tensor:
    """`KL(teacher || student)` of every row, `[N]`: one direction of the distillation."""
    if row_normaliser is None:
        row_normaliser, _ = pairwise_logsumexp(queries, keys, scale, columns=False, group=group)
    dtype = row_normaliser.dtype
    teacher_queries, teacher_candidates = teacher_queries.detach().to(dtype), teacher_candidates.detach().to(dtype)
    width = keys.shape[1]
    expected, teacher_normaliser = teacher_keys(
        teacher_queries, teacher_candidates, torch.cat([keys.to(dtype), teacher_candidates], dim=1), teacher_scale,
        group=group,
    )  # fmt: skip
    cross_entropy = row_normaliser - scale.to(dtype).reshape(()) * (queries.to(dtype) * expected[:, :width]).sum(1)
    entropy = teacher_normaliser - teacher_scale * (teacher_queries * expected[:, width:].detach()).sum(1)
    return cross_entropy - entropy


class SimilarityDistillation(nn.Module):
    """KL from a teacher's to a student's similarity distribution, both directions.

    Args:
        teacher_scale: multiplier of the teacher's cosines, `1 / temperature`.
        reduction: `mean` or `sum` over the rows of the global batch (the two directions are averaged).
        select: weight of each row from the teacher's side; None takes all rows.
        group: the processes whose batches count as one; None is all of them.
    """

    def __init__(
        self,
        teacher_scale: float = 1.0,
        reduction: Literal["mean", "sum"] = "mean",
        select: RowSelection | None = None,
        group: Group = None,
    ) -> None:
        super().__init__()
        self.teacher_scale = teacher_scale
        self.reduction = reduction
        self.select = select
        self.group = group

    def forward(self, x: Tensor, y: Tensor, scale: Tensor, teacher_x: Tensor, teacher_y: Tensor) -> Tensor:
        """The loss, a scalar (this process's share: see `vlcli.align.gather`).

        Args:
            x, y: `[N, D]` the student's unit rows.
            scale: multiplier of the student's cosines, one element.
            teacher_x, teacher_y: `[N, D_t]` the teacher's unit rows of the same items; constants.
        """
        forward, backward = self.directions(x, y, scale, teacher_x, teacher_y)
        return (forward + backward) / 2

    def directions(
        self, x: Tensor, y: Tensor, scale: Tensor, teacher_x: Tensor, teacher_y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The x→y and the y→x loss, two scalars."""
        sizes = check_batch(x, y, self.group)
        row, column = pairwise_logsumexp(x, y, scale, group=self.group)
        factor = len(sizes) / sum(sizes) if self.reduction == "mean" else float(len(sizes))
        results = []
        for queries, keys, teacher_queries, teacher_candidates, normaliser in (
            (x, y, teacher_x, teacher_y, row),
            (y, x, teacher_y, teacher_x, column),
        ):
            divergence = distillation_direction(
                queries, keys, teacher_queries, teacher_candidates, scale, self.teacher_scale,
                row_normaliser=normaliser, group=self.group,
            )  # fmt: skip
            if self.select is not None:
                weight = self.select(teacher_queries, teacher_candidates, self.group)
                # not a product: a row that is left out must not turn the sum to NaN
                divergence = torch.where(weight > 0, divergence * weight, torch.zeros_like(divergence))
            results.append(divergence.sum() * factor)
        return results[0], results[1]


def ranked_first_distillation(group: Group = None) -> SimilarityDistillation:
    """Mod-X's variant: temperature 1, a sum over rows, only rows that the teacher ranks right."""
    return SimilarityDistillation(teacher_scale=1.0, reduction="sum", select=ranked_first, group=group)
