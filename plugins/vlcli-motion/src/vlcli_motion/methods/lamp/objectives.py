"""LaMP's four pretraining losses, given what the Q-Former says.

With unit query features `q_ir` (query r of motion i), unit text features `t_j` and a factor s:

    contrast        s_ij = s * max_r <q_ir, t_j>; cross entropy over rows and over columns, averaged, smoothing 0.1
    matching        two-way cross entropy of B pairs, B with a drawn motion and B with a drawn text; logits are averaged
                    over queries
    caption         cross entropy of the next word
    codes           cross entropy of the VQ code of each query, smoothing 0.1
    total           their plain sum

Differs from the released code, which `official=True` gives for comparison: there the factor is the parameter itself,
log(1 / 0.07), where its exponential is meant, and the own pair stays among the negatives that are drawn (its diagonal
is overwritten in a temporary).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SMOOTHING = 0.1
IGNORED = -100


def max_similarity(query_features: Tensor, text_features: Tensor) -> Tensor:
    """`[M, N]`: for unit query features `[M, Q, D]` and unit text features `[N, D]` the best query's cosine."""
    return torch.einsum("mqd,nd->mnq", query_features, text_features).amax(dim=2)


def scale_of(log_scale: Tensor, official: bool = False) -> Tensor:
    """The factor on cosines: the exponential of the parameter, or the parameter itself as released."""
    return log_scale if official else log_scale.exp()


def contrast_loss(similarity: Tensor, scale: Tensor, ids: Tensor | None = None) -> Tensor:
    """Both directions' cross entropy, averaged.

    Args:
        similarity: `[B, B]` cosines, motions in rows, texts in columns.
        scale: factor on them.
        ids: `[B]`; pairs with equal ids (the same caption) share the target. Default: every pair is its own.
    """
    logits = similarity * scale
    rows = torch.arange(len(logits), device=logits.device)
    if ids is None or len(torch.unique(ids)) == len(ids):
        targets: Tensor = rows
    else:
        same = (ids.unsqueeze(1) == ids.unsqueeze(0)).to(logits.dtype)
        targets = same / same.sum(dim=1, keepdim=True)
    forward = functional.cross_entropy(logits, targets, label_smoothing=SMOOTHING)
    backward = functional.cross_entropy(logits.T, targets, label_smoothing=SMOOTHING)
    return (forward + backward) / 2


@torch.no_grad()
def draw_negatives(
    logits: Tensor, ids: Tensor | None = None, generator: torch.Generator | None = None, *, official: bool = False
) -> Tensor:
    """For every row of `[B, B]` logits the column `[B]` of a hard negative, drawn by their softmax.

    Args:
        ids: `[B]`; columns with the row's id are never drawn. Default: the diagonal is not.
        generator: of the draws (CPU).
        official: the diagonal may be drawn, as in the released code.
    """
    scores = logits.float().cpu()
    if not official:
        own = torch.arange(len(scores)) if ids is None else ids.cpu()
        same = own.unsqueeze(1) == own.unsqueeze(0)
        # In a batch that holds one caption alone there is no negative; any other row then stands in.
        alone = same.all(dim=1, keepdim=True)
        same = torch.where(alone, torch.eye(len(scores), dtype=torch.bool), same)
        scores = scores.masked_fill(same, -torch.inf)
    drawn = torch.multinomial(scores.softmax(dim=1), 1, generator=generator).squeeze(1)
    return drawn.to(logits.device)


def matching_loss(logits: Tensor) -> Tensor:
    """Cross entropy of `[3B, 2]` logits: pairs first, then wrong motions, then wrong texts. Class 1 is "a pair"."""
    labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    labels[: len(logits) // 3] = 1
    return functional.cross_entropy(logits, labels)


def caption_loss(word_logits: Tensor, ids: Tensor, word_mask: Tensor) -> Tensor:
    """Cross entropy of the next word.

    Args:
        word_logits: `[B, L, V]`, where position i has seen the words up to i.
        ids, word_mask: `[B, L]` of the text; its first token is not predicted.
    """
    labels = ids.masked_fill(~word_mask.bool(), IGNORED)[:, 1:]
    return functional.cross_entropy(word_logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def code_loss(code_logits: Tensor, codes: Tensor, code_mask: Tensor | None = None) -> Tensor:
    """Cross entropy of a motion's codes.

    Args:
        code_logits: `[B, Q, K]`, a query for each token.
        codes, code_mask: `[B, N]` with N at most Q; padding does not count.
    """
    labels = codes if code_mask is None else codes.masked_fill(~code_mask.bool(), IGNORED)
    logits = code_logits[:, : labels.shape[1]]
    return functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=SMOOTHING
    )
