"""LaMP's model: the motion VQ-VAE, the Q-Former over it, and the heads of the four objectives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli_motion.methods.lamp.config import LampConfig
from vlcli_motion.methods.lamp.objectives import (
    caption_loss,
    code_loss,
    contrast_loss,
    draw_negatives,
    matching_loss,
    max_similarity,
    scale_of,
)
from vlcli_motion.methods.lamp.qformer import QFormer
from vlcli_motion.methods.lamp.vq import MotionVq

TERMS = ("contrast", "matching", "caption", "codes")
MAXIMUM_LOG_SCALE = math.log(100)


@dataclass
class MotionTokens:
    """What the frozen VQ-VAE says about motions.

    Attributes:
        latents: `[B, N, C]`, before they are rounded. codes: `[B, N]`. mask: `[B, N]`, true at real tokens.
    """

    latents: Tensor
    codes: Tensor
    mask: Tensor

    def rows(self, index: Tensor) -> MotionTokens:
        """Some of the motions."""
        return MotionTokens(self.latents[index], self.codes[index], self.mask[index])


class Lamp(nn.Module):
    """VQ-VAE, Q-Former and heads.

    The motion encoder of the paper is the VQ-VAE's encoder: its latents, projected to the Q-Former's width, are what
    queries read. Both stay frozen while the rest is trained.
    """

    def __init__(self, config: LampConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.vq = MotionVq(config)
        self.motion_in = nn.Linear(config.code_dim, width)
        self.motion_positions = nn.Embedding(config.max_tokens, width)
        self.motion_norm = nn.LayerNorm(width, eps=1e-12)
        self.text_in = nn.Linear(width, width)
        self.qformer = QFormer(config)
        self.motion_proj, self.text_proj = nn.Linear(width, config.dim), nn.Linear(width, config.dim)
        self.match_head = nn.Linear(width, 2)
        self.word_head = nn.Linear(width, config.vocabulary)
        self.code_head = nn.Linear(width, config.codes, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        for part in (self.motion_in, self.motion_positions, self.text_in, self.match_head, self.word_head,
                     self.code_head):  # fmt: skip
            nn.init.normal_(part.weight, std=config.init_std)

    @torch.no_grad()
    def tokens(self, features: Tensor, frame_mask: Tensor | None = None) -> MotionTokens:
        """Features `[B, T, F]` to what the VQ-VAE makes of them; motions beyond `max_tokens` are cut."""
        if frame_mask is None:
            frame_mask = torch.ones(features.shape[:2], dtype=torch.bool, device=features.device)
        mask = self.vq.token_mask(frame_mask)[:, : self.config.max_tokens]
        latents = self.vq.latents(features, frame_mask)[:, : self.config.max_tokens]
        return MotionTokens(latents, self.vq.codes(latents, mask), mask)

    def motion_context(self, latents: Tensor) -> Tensor:
        """Latents `[B, N, C]` to what queries attend to `[B, N, D]`."""
        x = self.motion_in(latents) + self.motion_positions.weight[: latents.shape[1]]
        return cast(Tensor, self.motion_norm(x))

    def text_context(self, ids: Tensor, word_mask: Tensor) -> Tensor:
        """A text to what queries attend to `[B, L, D]`."""
        if self.config.text_context == "embeddings":
            return cast(Tensor, self.text_in(self.qformer.embed_words(ids)))
        return cast(Tensor, self.text_in(self.qformer.read(ids, word_mask)))

    def motion_states(self, features: Tensor, frame_mask: Tensor | None = None) -> Tensor:
        """The queries' states `[B, Q, D]` about motions."""
        tokens = self.tokens(features, frame_mask)
        return self.qformer.ask(self.motion_context(tokens.latents), tokens.mask)

    def motion_features(self, states: Tensor) -> Tensor:
        """Unit features of the queries `[B, Q, d]`."""
        return functional.normalize(self.motion_proj(states), dim=-1)

    def text_features(self, ids: Tensor, word_mask: Tensor) -> Tensor:
        """Unit features of texts `[B, d]`, from their first token."""
        return functional.normalize(self.text_proj(self.qformer.read(ids, word_mask)[:, 0]), dim=-1)

    def text_condition(self, ids: Tensor, word_mask: Tensor) -> Tensor:
        """`[B, D]`: the mean over the queries that read a text; what the generator is conditioned on."""
        return self.qformer.ask(self.text_context(ids, word_mask), word_mask).mean(dim=1)

    def code_logits(self, ids: Tensor, word_mask: Tensor) -> Tensor:
        """`[B, Q, K]`: for each query the code of its token, from the text alone."""
        return cast(Tensor, self.code_head(self.qformer.ask(self.text_context(ids, word_mask), word_mask)))

    def match_logits(self, tokens: MotionTokens, ids: Tensor, word_mask: Tensor) -> Tensor:
        """`[B, 2]`: whether motion and text belong together; class 1 is "a pair"."""
        return self.matched(self.motion_context(tokens.latents), tokens.mask, ids, word_mask)

    def matched(self, context: Tensor, mask: Tensor, ids: Tensor, word_mask: Tensor) -> Tensor:
        """The same of a motion's context `[B, N, D]`."""
        states = self.qformer.together(ids, word_mask, context, mask, "both")
        return cast(Tensor, self.match_head(states[:, : self.config.max_tokens])).mean(dim=1)

    def word_logits(self, tokens: MotionTokens, ids: Tensor, word_mask: Tensor) -> Tensor:
        """`[B, L, V]`: the word after each position; the first token is replaced by the one that begins a text."""
        return self.written(self.motion_context(tokens.latents), tokens.mask, ids, word_mask)[1]

    def written(self, context: Tensor, mask: Tensor, ids: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """States of the queries `[B, Q, D]`, and `word_logits`, of a motion's context `[B, N, D]`."""
        begun = ids.clone()
        begun[:, 0] = self.qformer.begin_id
        states = self.qformer.together(begun, word_mask, context, mask, "causal")
        queries = self.config.max_tokens
        return states[:, :queries], cast(Tensor, self.word_head(states[:, queries:]))

    def losses(
        self, tokens: MotionTokens, ids: Tensor, word_mask: Tensor, *, groups: Tensor | None = None,
        terms: tuple[str, ...] = TERMS, official: bool = False, generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:  # fmt: skip
        """The losses of a batch of pairs.

        Args:
            tokens: of the motions. ids, word_mask: `[B, L]` of their texts.
            groups: `[B]`; pairs with equal numbers have the same text.
            terms: which losses.
            official: temperature and negatives as released.
            generator: of the hard negatives (CPU).
        """
        context = self.motion_context(tokens.latents)
        words = self.qformer.read(ids, word_mask)
        found = {}
        if "caption" in terms:
            # Queries do not see the words that are written, so their states serve the contrast as well.
            states, logits = self.written(context, tokens.mask, ids, word_mask)
            found["caption"] = caption_loss(logits, ids, word_mask)
        else:
            states = self.qformer.ask(context, tokens.mask)
        text = functional.normalize(self.text_proj(words[:, 0]), dim=-1)
        similarity = max_similarity(self.motion_features(states), text)
        scale = scale_of(self.log_scale, official)
        if "contrast" in terms:
            found["contrast"] = contrast_loss(similarity, scale, groups)
        if "matching" in terms:
            logits = (similarity * scale).detach()
            motion = draw_negatives(logits.T, groups, generator, official=official)
            other = draw_negatives(logits, groups, generator, official=official)
            own = torch.arange(len(ids), device=ids.device)
            rows, lines = torch.cat([own, motion, own]), torch.cat([own, own, other])
            found["matching"] = matching_loss(
                self.matched(context[rows], tokens.mask[rows], ids[lines], word_mask[lines])
            )
        if "codes" in terms:
            told = self.text_in(words if self.config.text_context == "states" else self.qformer.embed_words(ids))
            guessed = self.code_head(self.qformer.ask(told, word_mask))
            found["codes"] = code_loss(guessed, tokens.codes, tokens.mask)
        return {term: found[term] for term in TERMS if term in found}

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep the factor on cosines below 100 (CLIP's bound)."""
        self.log_scale.clamp_(max=MAXIMUM_LOG_SCALE)
