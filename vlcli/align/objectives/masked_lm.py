"""Masked language modelling: which tokens to hide, and the loss of guessing them.

Devlin et al., BERT, 2019: of the chosen positions 80 % become the mask token, 10 % a random token, 10 % stay. The loss
is the cross entropy at chosen positions, optionally mixed with a teacher's distribution (ALBEF):

    L = (1 - alpha) * CE + alpha * mean over chosen positions of - sum_v softmax(teacher)_v log softmax(logits)_v
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

IGNORED = -100
"""Label of positions that are not guessed."""


def mask_tokens(
    input_ids: Tensor,
    *,
    mask_id: int,
    vocabulary_size: int,
    special_ids: Sequence[int],
    probability: float = 0.15,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Hide tokens: `(masked_ids, labels)`, both `[B, T]`; labels are -100 where nothing is to be guessed.

    Args:
        input_ids: `[B, T]`; it is not changed.
        special_ids: never hidden (padding, class, separator …).
        probability: chance of each other token to be chosen.
        mask_share, random_share: of the chosen ones, how many become the mask token and how many a random token.
        generator: on the ids' device, for draws that can be repeated.
    """

    def draw() -> Tensor:
        return torch.rand(input_ids.shape, generator=generator, device=input_ids.device)

    special = torch.isin(input_ids, torch.as_tensor(list(special_ids), device=input_ids.device, dtype=input_ids.dtype))
    chosen = (draw() < probability) & ~special
    kind = draw()
    random_ids = torch.randint(
        vocabulary_size, input_ids.shape, generator=generator, device=input_ids.device, dtype=input_ids.dtype
    )
    masked = torch.where(chosen & (kind < mask_share), torch.full_like(input_ids, mask_id), input_ids)
    swapped = chosen & (kind >= mask_share) & (kind < mask_share + random_share)
    return torch.where(swapped, random_ids, masked), input_ids.masked_fill(~chosen, IGNORED)


class MaskedLanguageModel(nn.Module):
    """Cross entropy at the hidden positions, with optional soft targets."""

    def forward(
        self, logits: Tensor, labels: Tensor, teacher_logits: Tensor | None = None, alpha: float = 0.0
    ) -> Tensor:
        """The loss, a scalar; 0 (with a gradient of 0) when nothing is hidden.

        Args:
            logits: `[B, T, V]`; labels: `[B, T]`, -100 where nothing is guessed.
            teacher_logits: `[B, T, V]`, constants; alpha: their weight.
        """
        hidden = labels != IGNORED
        if not bool(hidden.any()):
            return logits.sum() * 0.0
        # only the hidden positions are normalised: the vocabulary axis is the largest tensor of the step
        log_probability = logits[hidden].float().log_softmax(dim=-1)
        loss = nn.functional.nll_loss(log_probability, labels[hidden])
        if teacher_logits is None or alpha == 0:
            return loss
        soft = teacher_logits.detach()[hidden].float().softmax(dim=-1)
        return (1 - alpha) * loss - alpha * (soft * log_probability).sum(-1).mean()
