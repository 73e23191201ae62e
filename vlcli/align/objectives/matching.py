"""Image-text matching with hard negatives: is this pair a pair?

Li et al., ALBEF, NeurIPS 2021. For each x one wrong y is drawn from the batch, and for each y one wrong x, with the
contrastive softmax as probabilities and the own pair at zero, so that near misses are drawn often. A fused encoder
and a two-way head then see B pairs and 2B wrong pairs; the loss is the cross entropy.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vlcli.align.objectives.info_nce import check_batch
from vlcli.errors import VlcliError

_ROWS_AT_ONCE = 512


@torch.no_grad()
def negative_weights(scores: Tensor, ids: Tensor | None = None, key_ids: Tensor | None = None) -> Tensor:
    """Sampling weights `[N, M]` of negatives: softmax of the rows, positives at 0 (not renormalised).

    Args:
        scores: `[N, M]` scaled similarities; without ids row i's positive is column i.
        ids: `[N]` ids of the rows; key_ids: `[M]` of the columns (default: `ids`). Equal ids are positives.
    """
    weights = scores.float().softmax(dim=1)
    if ids is None:
        return weights.fill_diagonal_(0)
    return weights.masked_fill(ids.unsqueeze(1) == (ids if key_ids is None else key_ids).unsqueeze(0), 0)


@torch.no_grad()
def sample_hard_negatives(
    queries: Tensor,
    keys: Tensor,
    scale: Tensor | float,
    generator: torch.Generator | None = None,
    ids: Tensor | None = None,
) -> Tensor:
    """For every query the index `[N]` of one hard negative among the keys.

    Args:
        queries, keys: `[N, D]` unit rows; key i belongs to query i.
        scale: multiplier of the cosines.
        generator: on the tensors' device, for draws that can be repeated.
        ids: `[N]`; keys with the query's id are never drawn. Default: only its own key is not.

    Raises:
        VlcliError: T301–T303 (see `check_batch`); T306 when a query has no key with another id.
    """
    check_batch(queries, keys)
    ids = torch.arange(queries.shape[0], device=queries.device) if ids is None else ids
    drawn = []
    for rows in torch.split(torch.arange(queries.shape[0], device=queries.device), _ROWS_AT_ONCE):
        scores = queries[rows].float() @ keys.float().T * float(scale)
        allowed = ids[rows].unsqueeze(1) != ids.unsqueeze(0)
        if not bool(allowed.any(dim=1).all()):
            raise VlcliError(
                "T306", "objective", "every item of the batch has the same id, so there is no negative to draw",
                "use larger or more mixed batches",
            )  # fmt: skip
        # softmax over the allowed keys: in exact arithmetic the same draw as weights with zeros, and it cannot
        # underflow to a row of zeros when the own pair takes all the mass
        weights = scores.masked_fill(~allowed, -torch.inf).softmax(dim=1)
        drawn.append(torch.multinomial(weights, 1, generator=generator).squeeze(1))
    return torch.cat(drawn)


class Matching(nn.Module):
    """Two-way cross entropy over B pairs and 2B wrong pairs."""

    def forward(self, positive_logits: Tensor, negative_logits: Tensor) -> Tensor:
        """The loss, a scalar.

        Args:
            positive_logits: `[B, 2]` of true pairs; negative_logits: `[K, 2]` of wrong ones. Class 1 is "a pair".
        """
        logits = torch.cat([positive_logits, negative_logits]).float()
        labels = torch.zeros(logits.shape[0], dtype=torch.long, device=logits.device)
        labels[: positive_logits.shape[0]] = 1
        return nn.functional.cross_entropy(logits, labels)
