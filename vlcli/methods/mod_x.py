"""Mod-X: continual training on a stream of data sets without losing the alignment of the earlier ones.

Ni et al., "Continual vision-language representation learning with off-diagonal information", ICML 2023. After the
first phase every further phase distils the similarities of the model that the phase before ended with, on the rows
which that model ranks right (`vlcli.align.objectives.off_diagonal`).

The other values of `keep` are baselines, with the same towers, data and steps: `nothing` (plain fine-tuning), `all`
(distillation without the selection of rows, as learning without forgetting does, Li and Hoiem, 2016) and `weights`
(elastic weight consolidation, Kirkpatrick et al., 2017, with the diagonal Fisher information of the phase's last
hundred steps).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vlcli.align.momentum import FrozenCopy
from vlcli.align.objectives.distillation import SimilarityDistillation, ranked_first_distillation
from vlcli.align.objectives.info_nce import InfoNCE
from vlcli.errors import VlcliError
from vlcli.train.batches import Batch, embed_side
from vlcli.train.method import Evaluate, Method, Setup, Stage, StepState

if TYPE_CHECKING:
    from vlcli.align.space import Space

FISHER_STEPS = 100
MAXIMUM_LOG_SCALE = 4.605170185988092
"""ln 100, the clamp of the released training script."""


class ModX(Method):
    """Phases of contrastive training over the towers of the recipe.

    Args:
        phases: data options that differ in each phase.
        alpha: weight of what is kept.
        keep: what of the previous model is kept; see the module's docstring.
    """

    space: Space

    def __init__(
        self, phases: tuple[Mapping[str, Any], ...] = ({},), alpha: float = 20.0, keep: str = "ranked-first"
    ) -> None:
        super().__init__()
        self.phases = phases
        self.alpha = alpha
        self.keep = keep
        self.contrast = InfoNCE()
        self.distillation = (
            ranked_first_distillation() if keep == "ranked-first" else SimilarityDistillation(reduction="sum")
        )
        self.teacher: FrozenCopy[Space] | None = None

    def build(self, setup: Setup) -> None:
        """Take the recipe's space: text and one other modality."""
        self.space = setup.require_space("core/mod-x", "text")
        others = [name for name in self.space.modalities if name != "text"]
        if len(others) != 1:
            raise VlcliError(
                "T101", "core/mod-x", f"aligns text with one modality, not {len(others)}", "give one tower"
            )
        self.other = others[0]
        # Buffers, so that checkpoints hold them and no stage trains them.
        self.consolidated, self.importance = nn.Module(), nn.Module()
        if self.keep == "weights":
            for name, parameter in self.trained():
                self.consolidated.register_buffer(name, parameter.detach().clone())
                self.importance.register_buffer(name, torch.zeros_like(parameter))

    def stages(self) -> list[Stage]:
        """One stage per phase, of equal length."""
        return [Stage(f"phase-{index}", data=data) for index, data in enumerate(self.phases)]

    def on_stage_start(self, stage: Stage, index: int) -> None:
        """Freeze a copy of the model that the phase before ended with."""
        if index == 0 or self.keep == "nothing":
            return
        if self.keep == "weights":
            with torch.no_grad():
                for name, parameter in self.trained():
                    self.consolidated.get_buffer(name).copy_(parameter)
        else:
            self.teacher = FrozenCopy(self.space)

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """Parameters of the space that train, by names that a buffer may have."""
        named = self.space.named_parameters()
        return [(name.replace(".", "/"), one) for name, one in named if not getattr(one, "stays_frozen", False)]

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Unit vectors of both sides, and the teacher's once there is one."""
        encoded = {"x": embed_side(self.space, batch, self.other), "y": embed_side(self.space, batch, "text")}
        if self.teacher is not None:
            with torch.no_grad():
                encoded["teacher_x"] = embed_side(self.teacher.module, batch, self.other)
                encoded["teacher_y"] = embed_side(self.teacher.module, batch, "text")
        return encoded

    def loss(self, encoded: dict[str, Tensor], batch: Batch, state: StepState) -> dict[str, Tensor]:
        """InfoNCE, and `alpha` times what keeps the previous model's knowledge."""
        x, y = encoded["x"], encoded["y"]
        contrastive = self.contrast(x, y, self.space.logit_scale.exp())
        if state.stage_index == 0 or self.keep == "nothing":
            return {"contrastive": contrastive, "total": contrastive}
        if self.keep == "weights":
            kept = self.weight_penalty()
        else:
            # Cosines without a temperature, summed over rows, diagonal included: as released.
            kept = self.distillation(x, y, x.new_ones(()), encoded["teacher_x"], encoded["teacher_y"])
        return {"contrastive": contrastive, "kept": kept, "total": contrastive + self.alpha * kept}

    def weight_penalty(self) -> Tensor:
        """Half the squared distance to the previous weights, by importance."""
        terms = [
            (self.importance.get_buffer(name) * (parameter - self.consolidated.get_buffer(name)).square()).sum()
            for name, parameter in self.trained()
        ]
        return torch.stack(terms).sum() / 2

    @torch.no_grad()
    def after_step(self, state: StepState) -> None:
        """Clamp the logit scale."""
        self.space.logit_scale.clamp_(0.0, MAXIMUM_LOG_SCALE)

    @torch.no_grad()
    def after_backward(self, state: StepState) -> None:
        """For EWC, gather the squared gradients of the phase's last steps."""
        left = state.stage_steps - state.step
        if self.keep != "weights" or left > FISHER_STEPS:
            return
        for name, parameter in self.trained():
            if parameter.grad is not None:
                self.importance.get_buffer(name).add_(parameter.grad.square() / min(FISHER_STEPS, state.stage_steps))

    def evaluate(self, evaluate: Evaluate) -> dict[str, float]:
        """Retrieval on the test split of every phase: `test/phase-0/…` is what may have been forgotten."""
        metrics: dict[str, float] = {}
        for index, data in enumerate(self.phases):
            metrics |= evaluate("test", f"test/phase-{index}", dict(data))
        return metrics

    def result_space(self) -> Space:
        """The space after the last phase."""
        return self.space
