"""Retrieval as the paper does it: the best query's similarity, and the matching head over the best candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from vlcli.evaluate.retrieval import TIE_TOLERANCE as TIE
from vlcli.evaluate.retrieval import Ranks, hit_probability
from vlcli_motion.methods.lamp.model import Lamp, MotionTokens
from vlcli_motion.methods.lamp.objectives import max_similarity

ROWS = 64
"""Rows of a forward pass."""
RECALLS = (1, 5, 10)


@torch.no_grad()
def similarities(lamp: Lamp, tokens: MotionTokens, ids: Tensor, word_mask: Tensor) -> Tensor:
    """`[M, N]`: cosine of the best query of each motion with each text."""
    motions = torch.cat([
        lamp.motion_features(lamp.qformer.ask(lamp.motion_context(tokens.latents[rows]), tokens.mask[rows]))
        for rows in chunks(len(tokens.mask), tokens.mask.device)
    ])  # fmt: skip
    texts = torch.cat([lamp.text_features(ids[rows], word_mask[rows]) for rows in chunks(len(ids), ids.device)])
    return torch.cat([max_similarity(motions[rows], texts) for rows in chunks(len(motions), ids.device)])


@torch.no_grad()
def reranked(
    lamp: Lamp, similarity: Tensor, tokens: MotionTokens, ids: Tensor, word_mask: Tensor, candidates: int
) -> tuple[Tensor, Tensor]:
    """Scores of text to motion `[N, M]` and of motion to text `[M, N]`: the best candidates of each are ordered anew.

    The matching head's log odds of "a pair" are added to the scaled cosine, as BLIP-2 adds them; what is no candidate
    stays behind all that are.
    """
    scale = lamp.log_scale.exp()
    found = []
    for scores, motion_first in ((similarity.T, False), (similarity, True)):
        result = scores * scale - 1e4
        best = scores.topk(min(candidates, scores.shape[1]), dim=1).indices
        rows = torch.arange(len(scores), device=scores.device).repeat_interleave(best.shape[1])
        columns = best.flatten()
        odds = []
        for part in chunks(len(rows), scores.device):
            a, b = rows[part], columns[part]
            motion, text = (a, b) if motion_first else (b, a)
            logits = lamp.match_logits(tokens.rows(motion), ids[text], word_mask[text])
            odds.append(logits[:, 1] - logits[:, 0])
        result[rows, columns] = scores[rows, columns] * scale + torch.cat(odds)
        found.append(result)
    return found[0], found[1]


def recalls(scores: Tensor, query_groups: Tensor, candidate_groups: Tensor) -> dict[str, float]:
    """`R@1`, `R@5` and `R@10` of queries in rows; a candidate is right when its group is the query's.

    Each value is the expectation over a random order of candidates that score the same.
    """
    right = query_groups.unsqueeze(1) == candidate_groups.unsqueeze(0)
    best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
    level = (scores - best).abs() <= TIE
    counts = ((scores > best + TIE) & ~right, level & ~right, level & right, right)
    greater, tied_wrong, tied_right, all_right = (one.sum(dim=1).cpu().numpy() for one in counts)
    ranks = Ranks(greater, tied_wrong, tied_right, all_right, scores.shape[1])
    return {f"R@{k}": float(hit_probability(ranks, k).mean()) for k in RECALLS}


def both_ways(
    text_to_motion: Tensor, motion_to_text: Tensor, owners: Tensor, groups: Tensor, prefix: str
) -> dict[str, float]:
    """Recalls of both directions and their mean.

    Args:
        text_to_motion: `[N, M]`; motion_to_text: `[M, N]`.
        owners: `[N]` motion of each text. groups: `[M]`; motions of one group are described by the same text.
        prefix: before the names.
    """
    sides = {
        "text_to_motion": recalls(text_to_motion, groups[owners], groups),
        "motion_to_text": recalls(motion_to_text, groups, groups[owners]),
    }
    found = {f"{prefix}/{side}/{name}": value for side, values in sides.items() for name, value in values.items()}
    for k in RECALLS:
        found[f"{prefix}/R@{k}"] = sum(values[f"R@{k}"] for values in sides.values()) / 2
    return found


def chunks(count: int, device: torch.device) -> list[Tensor]:
    """Row numbers in pieces."""
    return list(torch.split(torch.arange(count, device=device), ROWS))
