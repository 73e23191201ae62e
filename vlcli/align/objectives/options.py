"""Options of the registered objectives, without torch: `vlcli recipes check` reads them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ObjectiveOptions(BaseModel):
    """Base of all: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class InfoNCEOptions(ObjectiveOptions):
    """Options of `vlcli.align.objectives.info_nce.InfoNCE`."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of each target spread over all candidates")
    x_weight: float = Field(0.5, ge=0, le=1, description="weight of the x→y direction; y→x gets the rest")


class DistillationOptions(ObjectiveOptions):
    """Options of `vlcli.align.objectives.distillation.SimilarityDistillation`."""

    teacher_scale: float = Field(1.0, gt=0, description="multiplier of the teacher's cosines, 1 / temperature")
    reduction: Literal["mean", "sum"] = Field("mean", description="over the rows of the global batch")


class OffDiagonalOptions(ObjectiveOptions):
    """Options of `vlcli.align.objectives.off_diagonal.OffDiagonal`."""

    alpha: float = Field(20.0, ge=0, description="weight of the distillation term, a sum over rows")


class MarginOptions(ObjectiveOptions):
    """Options of `vlcli.align.objectives.margin.Margin`."""

    margin: float = Field(0.2, ge=0, description="how much nearer the own pair must be than any other")
    hardest: bool = Field(False, description="count only the worst negative of each row")
