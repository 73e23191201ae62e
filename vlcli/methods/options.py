"""Options of the core's methods (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Options(BaseModel):
    """Strict and frozen: an unknown or mistyped option is an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ContrastiveOptions(Options):
    """Options of `core/contrastive`."""

    objective: str = Field("core/info-nce", description="A registered objective over two sets of unit vectors.")
    objective_options: dict[str, Any] = Field({}, description="Its options.")
    anchor: str = Field("text", description="The modality that all others are aligned with.")
    logit_scale: float = Field(1 / 0.07, gt=0, description="Factor on the cosines at the start.")
    logit_scale_max: float = Field(100.0, gt=1, description="Largest factor on the cosines.")


def as_tuple(value: Any) -> Any:
    """A TOML array as a tuple."""
    return tuple(value) if isinstance(value, list) else value


class ModXOptions(Options):
    """Options of `core/mod-x`."""

    phases: Annotated[tuple[dict[str, Any], ...], BeforeValidator(as_tuple), Field(min_length=1)] = Field(
        ({},), description="Options of the data set that differ in each phase, in order."
    )
    alpha: float = Field(20.0, ge=0, description="Weight of the distillation; the paper's 20 belongs to 280 rows.")
    keep: Literal["ranked-first", "all", "nothing", "weights"] = Field(
        "ranked-first",
        description="What the previous model teaches: rows it ranks right (Mod-X), all rows (LwF), nothing "
        "(plain fine-tuning), or its weights by their Fisher information (EWC).",
    )
