"""InfoNCE: the softmax contrastive loss, with memory linear in the batch.

For unit rows x_i, y_i and `S_ij = scale * x_i . y_j` (van den Oord et al., "Representation learning with contrastive
predictive coding", 2018; symmetric form: Radford et al., CLIP, 2021):

    L = 1/2 * mean_i [ logsumexp_j S_ij - sum_j T_ij S_ij ]  +  1/2 * mean_j [ logsumexp_i S_ij - sum_i T_ji S_ij ]

`T` is the identity; or equal shares among the candidates with the same id; smoothed with the uniform distribution
(ALIGN uses 0.1); mixed with a momentum teacher's distribution (ALBEF). Extra candidates (a queue) enter the normaliser
and the targets, never as rows.

Differs from released code (open_clip, ALBEF) in that no `B x B` matrix exists, and in the distributed form: each pair
is computed by one process only; open_clip's local loss computes each twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vlcli.align.gather import Group, batch_sizes
from vlcli.align.pairwise import pairwise_logsumexp, pairwise_logsumexp_and_own
from vlcli.align.soft_targets import all_different, mean_key, positive_keys, teacher_keys
from vlcli.errors import VlcliError


@dataclass
class Teacher:
    """Soft targets of one direction: `softmax(scale * queries @ [candidates, extra].T)`, mixed in with `weight`.

    Attributes:
        queries: `[N, D]`, the teacher's view of the rows.
        candidates: `[N, D]`, the teacher's view of the keys.
        scale: multiplier of the teacher's cosines, `1 / temperature`.
        weight: alpha; targets are `alpha * teacher + (1 - alpha) * hard`.
        extra: `[K, D]`, the teacher's view of the extra candidates; as many as the student has.
    """

    queries: Tensor
    candidates: Tensor
    scale: float | Tensor
    weight: float
    extra: Tensor | None = None


def check_batch(x: Tensor, y: Tensor, group: Group = None, extra: Tensor | None = None) -> list[int]:
    """Refuse what no contrastive loss can learn from; gives the batch sizes of all processes.

    Raises:
        VlcliError: T301 empty batch, T302 a single pair without further candidates, T303 shapes that do not match.
    """
    if x.ndim != 2 or x.shape != y.shape:
        raise VlcliError(
            "T303", "objective", f"a batch of pairs needs two [B, D] tensors, got {list(x.shape)} and {list(y.shape)}",
            "check that both towers project to the same dimension and got the same items",
        )  # fmt: skip
    sizes = batch_sizes(x, group)
    if min(sizes) == 0:
        raise VlcliError("T301", "objective", "the batch is empty", "check the data set's filters and split")
    if sum(sizes) == 1 and extra is None:
        raise VlcliError(
            "T302", "objective", "a contrastive loss over a batch of 1 has nothing to contrast with and is always 0",
            "raise batch_size to 2 or more, or drop the last incomplete batch",
        )  # fmt: skip
    return sizes


def contrastive_direction(
    queries: Tensor,
    keys: Tensor,
    scale: Tensor,
    *,
    row_normaliser: Tensor | None = None,
    own: Tensor | None = None,
    extra_keys: Tensor | None = None,
    ids: Tensor | None = None,
    extra_ids: Tensor | None = None,
    label_smoothing: float = 0.0,
    teacher: Teacher | None = None,
    group: Group = None,
) -> Tensor:
    """Cross entropy of every query over all keys, `[N]`: one direction of InfoNCE.

    Args:
        queries: `[N, D]`; keys: `[N, D]`, key i is query i's own; scale: one element.
        row_normaliser, own: `[N]` log-sum-exp over the keys and cosines of the pairs, where the caller has them from
            both directions at once.
        extra_keys: `[K, D]` candidates that have no query (a queue), the same on every process.
        ids: `[N]`; queries and keys with equal ids are positives. extra_ids: `[K]`.
        label_smoothing: share of the target spread evenly over all candidates.
        teacher: soft targets to mix in.
    """
    if row_normaliser is None or own is None:
        row_normaliser, _, own = pairwise_logsumexp_and_own(queries, keys, scale, columns=False, group=group)
    if extra_keys is not None:
        extra, _ = pairwise_logsumexp(queries, extra_keys, scale, columns=False, distributed=False)
        row_normaliser = torch.logaddexp(row_normaliser, extra)
    dtype = row_normaliser.dtype
    keys, rows = keys.to(dtype), queries.to(dtype)
    extra_keys = None if extra_keys is None else extra_keys.to(dtype)
    # `expected` is x_i . e_i, the cosine with the expected key (see vlcli.align.soft_targets)
    expected = own if ids is None else (rows * positive_keys(keys, ids, extra_keys, extra_ids, group)).sum(1)
    if label_smoothing:
        expected = (1 - label_smoothing) * expected + label_smoothing * (rows @ mean_key(keys, extra_keys, group))
    if teacher is not None and teacher.weight:
        soft, _ = teacher_keys(
            teacher.queries, teacher.candidates, keys, teacher.scale,
            teacher_extra=teacher.extra, extra_keys=extra_keys, group=group,
        )  # fmt: skip
        expected = (1 - teacher.weight) * expected + teacher.weight * (rows * soft).sum(1)
    return row_normaliser - scale.to(dtype).reshape(()) * expected


class InfoNCE(nn.Module):
    """Symmetric softmax contrastive loss in linear memory.

    Args:
        label_smoothing: share of each target spread evenly over all candidates, in [0, 1).
        x_weight: weight of the x→y direction; y→x gets `1 - x_weight`. 0.5 is CLIP.
        group: the processes whose batches count as one; None is all of them.
    """

    def __init__(self, label_smoothing: float = 0.0, x_weight: float = 0.5, group: Group = None) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.x_weight = x_weight
        self.group = group

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        scale: Tensor,
        *,
        bias: Tensor | None = None,
        ids: Tensor | None = None,
        extra_x: Tensor | None = None,
        extra_y: Tensor | None = None,
        extra_ids: Tensor | None = None,
        x_teacher: Teacher | None = None,
        y_teacher: Teacher | None = None,
    ) -> Tensor:
        """The loss, a scalar (this process's share: see `vlcli.align.gather`).

        Args:
            x, y: `[N, D]` unit rows of this process; row i of both is a pair.
            scale: multiplier of the cosines (`exp(logit_scale)`), one element.
            bias: accepted so that all contrastive objectives are called alike; a softmax does not see it.
            ids: `[N]` integers; equal ids are positives.
            extra_x, extra_y: `[K, D]` candidates for y and for x (queues), with `extra_ids` `[K]`.
            x_teacher, y_teacher: soft targets of the x→y and of the y→x direction.

        Raises:
            VlcliError: T301–T304, see `check_batch` and `positive_keys`.
        """
        sizes = check_batch(x, y, self.group, extra_y)
        if ids is not None and extra_x is None and extra_y is None and all_different(ids, self.group):
            ids = None
        row, column, own = pairwise_logsumexp_and_own(x, y, scale, columns=self.x_weight < 1, group=self.group)
        loss = x.new_zeros((), dtype=row.dtype)
        if self.x_weight > 0:
            forward = contrastive_direction(
                x, y, scale, row_normaliser=row, own=own, extra_keys=extra_y, ids=ids,
                extra_ids=extra_ids if extra_y is not None else None,
                label_smoothing=self.label_smoothing, teacher=x_teacher, group=self.group,
            )  # fmt: skip
            loss = loss + self.x_weight * forward.sum()
        if self.x_weight < 1:
            backward = contrastive_direction(
                y, x, scale, row_normaliser=column, own=own, extra_keys=extra_x, ids=ids,
                extra_ids=extra_ids if extra_x is not None else None,
                label_smoothing=self.label_smoothing, teacher=y_teacher, group=self.group,
            )  # fmt: skip
            loss = loss + (1 - self.x_weight) * backward.sum()
        return loss * (len(sizes) / sum(sizes))
