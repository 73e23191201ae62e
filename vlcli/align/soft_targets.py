"""Targets of a softmax loss as *expected keys*, so that soft and multi-positive targets cost `O(N D)`.

For targets `T` whose rows sum to one, the cross entropy of row i is linear in the scores but for its normaliser:

    - sum_j T_ij log softmax(S)_ij  =  logsumexp_j S_ij  -  scale * x_i . e_i,      e_i = sum_j T_ij y_j

so a loss needs of its targets only the expected key `e_i`, never the `N x M` matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vlcli.align.gather import Group, all_reduce_sum, batch_sizes, gather_constant
from vlcli.align.pairwise import softmax_average
from vlcli.errors import VlcliError


def candidate_count(keys: Tensor, extra_keys: Tensor | None = None, group: Group = None) -> int:
    """Number of candidates: the keys of all processes and the extra ones (a queue)."""
    return sum(batch_sizes(keys, group)) + (0 if extra_keys is None else extra_keys.shape[0])


def mean_key(keys: Tensor, extra_keys: Tensor | None = None, group: Group = None) -> Tensor:
    """The mean candidate `[D]`: the expected key of the uniform target, which label smoothing mixes in."""
    total = all_reduce_sum(keys.sum(0), group)
    if extra_keys is not None:
        total = total + extra_keys.sum(0)
    return total / candidate_count(keys, extra_keys, group)


def all_different(ids: Tensor, group: Group = None) -> bool:
    """Whether no two items of all processes share an id: then every target is the item's own pair alone."""
    everyone = gather_constant(ids, group)
    return len(torch.unique(everyone)) == len(everyone)


def positive_keys(
    keys: Tensor,
    ids: Tensor,
    extra_keys: Tensor | None = None,
    extra_ids: Tensor | None = None,
    group: Group = None,
) -> Tensor:
    """The mean of all candidates with the row's id `[N, D]`: several right answers share the target equally.

    Args:
        keys: `[N, D]`, key i belongs to row i.
        ids: `[N]` integers; rows and keys with the same id are positives of each other, over all processes.
        extra_keys: `[K, D]`, e.g. a queue, with `extra_ids` `[K]`.

    Raises:
        VlcliError: T304 when one of `extra_keys` and `extra_ids` is missing.
    """
    if (extra_keys is None) != (extra_ids is None):
        raise VlcliError(
            "T304", "ids", "extra candidates and their ids must come together when targets are given by ids",
            "pass extra_ids with extra_keys, or neither",
        )  # fmt: skip
    known = [gather_constant(ids, group)]
    if extra_ids is not None:
        known.append(extra_ids)
    # unique() numbers the ids the same way on every process, because every process sees all of them
    values, counts = torch.unique(torch.cat(known), return_counts=True)
    own = torch.searchsorted(values, ids)
    sums = keys.new_zeros(len(values), keys.shape[1]).index_add(0, own, keys)
    sums = all_reduce_sum(sums, group)
    if extra_keys is not None and extra_ids is not None:
        sums = sums.index_add(0, torch.searchsorted(values, extra_ids), extra_keys.to(sums.dtype))
    mean: Tensor = sums[own] / counts[own].unsqueeze(1)
    return mean


def teacher_keys(
    teacher_queries: Tensor,
    teacher_candidates: Tensor,
    keys: Tensor,
    teacher_scale: float | Tensor,
    *,
    teacher_extra: Tensor | None = None,
    extra_keys: Tensor | None = None,
    group: Group = None,
) -> tuple[Tensor, Tensor]:
    """Expected keys under a teacher's distribution `T = softmax(teacher_scale * q_t k_t^T)`.

    Args:
        teacher_queries: `[N, D_t]`; teacher_candidates: `[N, D_t]`; keys: `[N, D]`, the student's candidates.
        teacher_extra: `[K, D_t]` with `extra_keys` `[K, D]`: further candidates, the same on every process.

    Returns:
        `[N, D]` expected keys (gradients flow to `keys`), and the log-normaliser `[N]` of the teacher.
    """
    scale = float(teacher_scale)
    average, normaliser = softmax_average(teacher_queries, teacher_candidates, keys, scale, group=group)
    if teacher_extra is None or extra_keys is None:
        return average, normaliser
    extra, extra_normaliser = softmax_average(teacher_queries, teacher_extra, extra_keys, scale, distributed=False)
    total = torch.logaddexp(normaliser, extra_normaliser)
    share = (normaliser - total).exp().unsqueeze(1)
    return share * average + (1 - share) * extra, total


def linear_ramp(step: int, steps: int, final: float) -> float:
    """The soft-target weight at `step` (from 0): 0 at first, `final` from step `steps` on (ALBEF's first epoch)."""
    return final if steps <= 0 else final * min(1.0, step / steps)
