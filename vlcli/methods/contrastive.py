"""Contrastive alignment of any modalities with text: the plain dual encoder that other methods are compared with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vlcli.errors import VlcliError
from vlcli.train.batches import Batch, embed_side
from vlcli.train.method import Method, Setup, StepState

if TYPE_CHECKING:
    from vlcli.align.space import Space


class Contrastive(Method):
    """An objective between `anchor` and every other modality of the space, averaged over the pairs.

    Args:
        objective: a registered objective that takes two sets of unit vectors and a logit scale.
        objective_options: its options.
        anchor: the modality that all others are aligned with.
        logit_scale: the factor on the cosines at the start.
        logit_scale_max: the scale (not its logarithm) is clamped to at most this after each step (CLIP, section 2.5).
    """

    space: Space

    def __init__(
        self,
        objective: str = "core/info-nce",
        objective_options: dict[str, Any] | None = None,
        anchor: str = "text",
        logit_scale: float = 1 / 0.07,
        logit_scale_max: float = 100.0,
    ) -> None:
        super().__init__()
        self.objective_name = objective
        self.objective_options = objective_options or {}
        self.anchor = anchor
        self.logit_scale = logit_scale
        self.logit_scale_max = logit_scale_max

    def build(self, setup: Setup) -> None:
        """Take the recipe's space and make the objective."""
        self.space = setup.require_space("core/contrastive", self.anchor)
        with torch.no_grad():
            self.space.logit_scale.fill_(math.log(self.logit_scale))
        self.others = [name for name in self.space.modalities if name != self.anchor]
        if not self.others:
            raise VlcliError("T101", "core/contrastive", f"has nothing to align with '{self.anchor}'",
                             "add a second tower to the recipe")  # fmt: skip
        self.objective = setup.registry.build("objective", self.objective_name, self.objective_options)

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Unit vectors of every modality."""
        return {name: embed_side(self.space, batch, name) for name in self.space.modalities}

    def loss(self, encoded: dict[str, Tensor], batch: Batch, state: StepState) -> dict[str, Tensor]:
        """The objective of each pair with the anchor; their mean is minimised."""
        scale = self.space.logit_scale.exp()
        bias = {} if self.space.logit_bias is None else {"bias": self.space.logit_bias}
        terms = {
            name: self.objective(encoded[name], encoded[self.anchor], scale, ids=batch.ids, **bias)
            for name in self.others
        }
        return {**terms, "total": torch.stack(list(terms.values())).mean()}

    @torch.no_grad()
    def after_step(self, state: StepState) -> None:
        """Keep the logit scale in [1, logit_scale_max]."""
        self.space.logit_scale.clamp_(0.0, math.log(self.logit_scale_max))

    def result_space(self) -> Space:
        """The trained space."""
        return self.space
