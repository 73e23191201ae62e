"""Options of the encoders and the numbers of their presets (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from vlcli_pointclouds.options import Options, as_tuple

Channels = Literal["xyz", "normals", "colours"]
Size = Literal["paper", "small"]
Preset = dict[str, Any]
EXTRA_CHANNELS: dict[str, int] = {"xyz": 0, "normals": 3, "colours": 3}

Count = Annotated[int, Field(ge=1, le=65_536)]
Radius = Annotated[float, Field(gt=0, le=10)]
Width = Annotated[int, Field(ge=4, le=8192)]
Depth = Annotated[int, Field(ge=1, le=64)]
Share = Annotated[float, Field(ge=0, lt=1)]
TwoCounts = Annotated[tuple[Count, Count], BeforeValidator(as_tuple)]
Counts = Annotated[tuple[Count, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=8)]
Radii = Annotated[tuple[Radius, Radius], BeforeValidator(as_tuple)]
Widths = Annotated[tuple[Width, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=16)]
ThreeWidths = Annotated[tuple[Widths, Widths, Widths], BeforeValidator(as_tuple)]

POINTNET2: dict[str, Preset] = {
    "paper": {
        "num_points": 8192, "groups": (512, 128), "neighbours": (32, 64), "radii": (0.2, 0.4),
        "widths": ((64, 64, 128), (128, 128, 256), (256, 512, 1024)), "hidden": 512, "dim": 256, "dropout": 0.4,
    },
    "small": {
        "num_points": 512, "groups": (128, 32), "neighbours": (16, 16), "radii": (0.25, 0.5),
        "widths": ((32, 32, 64), (64, 64, 128), (128, 256)), "hidden": 128, "dim": 128, "dropout": 0.0,
    },
}  # fmt: skip
POINT_BERT: dict[str, Preset] = {
    "paper": {
        "num_points": 8192, "groups": 512, "neighbours": 32, "token_widths": (128, 256, 512, 256), "width": 384,
        "depth": 12, "heads": 6, "drop_path": 0.1,
    },
    "small": {
        "num_points": 512, "groups": 64, "neighbours": 16, "token_widths": (32, 64, 64, 96), "width": 96,
        "depth": 3, "heads": 4, "drop_path": 0.0,
    },
}  # fmt: skip
POINTMLP: dict[str, Preset] = {
    "paper": {
        "num_points": 1024, "groups": (512, 256, 128, 64), "neighbours": 24, "embedding": 64,
        "widths": (128, 256, 512, 1024), "blocks": 2, "bottleneck": 1.0, "hidden": 512, "dim": 256, "dropout": 0.5,
    },
    "small": {
        "num_points": 512, "groups": (128, 32), "neighbours": 16, "embedding": 32,
        "widths": (64, 128), "blocks": 1, "bottleneck": 0.5, "hidden": 128, "dim": 128, "dropout": 0.0,
    },
}  # fmt: skip


def with_preset(preset: Preset, given: Preset) -> Preset:
    """The preset, with what was given in place of its numbers."""
    return preset | {name: value for name, value in given.items() if name in preset and value is not None}


class PointOptions(Options):
    """What all encoders of points share. A number that is not given comes from `size`."""

    presets: ClassVar[dict[str, Preset]] = {}

    size: Annotated[Size, Field(description="The paper's network, or one that a CPU trains in minutes.")] = "small"
    channels: Annotated[Channels, Field(description="What is read beside the coordinates.")] = "xyz"
    num_points: Annotated[int | None, Field(ge=8, le=65_536, description="Points read; fewer are repeated.")] = None

    @model_validator(mode="after")
    def fits(self) -> Self:
        """Centres are chosen among the points of the level before, and neighbours too."""
        chosen = with_preset(self.presets[self.size], self.model_dump())
        levels = chosen["groups"] if isinstance(chosen["groups"], tuple) else (chosen["groups"],)
        before, name = chosen["num_points"], "num_points"
        for number, groups in enumerate(levels):
            if groups > before:
                raise ValueError(f"groups: {groups} centres can not be chosen among {before} points ({name})")
            if isinstance(chosen["neighbours"], int) and chosen["neighbours"] > before:
                raise ValueError(f"neighbours: {before} points ({name}) have no {chosen['neighbours']} nearest ones")
            before, name = groups, f"groups[{number}]"
        self.check(chosen)
        return self

    def check(self, chosen: Preset) -> None:
        """Refuse numbers that do not fit together, with a ValueError."""


class PointNet2Options(PointOptions):
    """Options of `pointclouds/pointnet2`."""

    presets: ClassVar[dict[str, Preset]] = POINTNET2

    groups: Annotated[TwoCounts | None, Field(description="Centres of the two levels.")] = None
    neighbours: Annotated[TwoCounts | None, Field(description="Points in a group of each level.")] = None
    radii: Annotated[Radii | None, Field(description="Radius of a group at each level.")] = None
    widths: Annotated[ThreeWidths | None, Field(description="Layers of the two levels and of the whole.")] = None
    hidden: Annotated[Width | None, Field(description="Width of the layer in front of the pooled vector.")] = None
    dim: Annotated[Width | None, Field(description="Width of the pooled vector.")] = None
    dropout: Annotated[Share | None, Field(description="Of the last two layers, in training.")] = None


class PointBertOptions(PointOptions):
    """Options of `pointclouds/point-bert`."""

    presets: ClassVar[dict[str, Preset]] = POINT_BERT

    groups: Annotated[Count | None, Field(description="Groups of points; each becomes a token.")] = None
    neighbours: Annotated[Count | None, Field(description="Points in a group.")] = None
    token_widths: Annotated[
        Annotated[tuple[Width, Width, Width, Width], BeforeValidator(as_tuple)] | None,
        Field(description="Layers of the small PointNet that makes tokens."),
    ] = None
    width: Annotated[Width | None, Field(description="Of the transformer; the pooled vector is twice as wide.")] = None
    depth: Annotated[Depth | None, Field(description="Blocks of the transformer.")] = None
    heads: Annotated[Count | None, Field(description="Of its attention; they divide the width.")] = None
    drop_path: Annotated[Share | None, Field(description="Share of skipped last blocks, in training.")] = None

    def check(self, chosen: Preset) -> None:
        """Heads divide the width."""
        if chosen["width"] % chosen["heads"]:
            raise ValueError(f"heads: {chosen['heads']} heads do not divide the width {chosen['width']}")


class PointMlpOptions(PointOptions):
    """Options of `pointclouds/pointmlp`."""

    presets: ClassVar[dict[str, Preset]] = POINTMLP

    groups: Annotated[Counts | None, Field(description="Centres of each level.")] = None
    neighbours: Annotated[Count | None, Field(description="Points in a group, at every level.")] = None
    embedding: Annotated[Width | None, Field(description="Channels of the points.")] = None
    widths: Annotated[Widths | None, Field(description="Channels of each level.")] = None
    blocks: Annotated[Depth | None, Field(description="Residual blocks before, and after, a group is pooled.")] = None
    bottleneck: Annotated[
        float | None, Field(gt=0, le=8, description="Inner width of a residual block, relative to its outer one.")
    ] = None
    hidden: Annotated[Width | None, Field(description="Width of the layer in front of the pooled vector.")] = None
    dim: Annotated[Width | None, Field(description="Width of the pooled vector.")] = None
    dropout: Annotated[Share | None, Field(description="Of the last two layers, in training.")] = None

    def check(self, chosen: Preset) -> None:
        """Each level has centres and channels."""
        if len(chosen["groups"]) != len(chosen["widths"]):
            raise ValueError(f"widths: {len(chosen['widths'])} widths for {len(chosen['groups'])} levels of groups")
