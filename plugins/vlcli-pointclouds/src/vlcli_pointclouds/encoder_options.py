"""Options of this plugin's encoders (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vlcli_pointclouds.options import Options, as_tuple

Channels = Literal["xyz", "normals", "colours"]
Size = Literal["paper", "small"]
EXTRA_CHANNELS: dict[str, int] = {"xyz": 0, "normals": 3, "colours": 3}
Count = Annotated[int, Field(ge=1, le=65_536)]
Radius = Annotated[float, Field(gt=0, le=10)]
Width = Annotated[int, Field(ge=4, le=8192)]
Counts = Annotated[tuple[Count, Count], BeforeValidator(as_tuple)]
Radii = Annotated[tuple[Radius, Radius], BeforeValidator(as_tuple)]
Widths = Annotated[tuple[Width, ...], BeforeValidator(as_tuple), Field(min_length=1, max_length=16)]


class PointOptions(Options):
    """What all encoders of points share. A number that is not given comes from `size`."""

    size: Annotated[Size, Field(description="The paper's network, or one that trains on a CPU in minutes.")] = "small"
    channels: Annotated[Channels, Field(description="What is read beside the coordinates.")] = "xyz"
    num_points: Annotated[
        int | None, Field(ge=8, le=65_536, description="Points that are read; fewer are repeated.")
    ] = None
    dim: Annotated[int | None, Field(ge=4, le=8192, description="Width of the pooled vector.")] = None
    dropout: Annotated[float | None, Field(ge=0, lt=1, description="Of the last layers, in training.")] = None


class PointNet2Options(PointOptions):
    """Options of `pointclouds/pointnet2`."""

    groups: Annotated[Counts | None, Field(description="Centres of the two levels.")] = None
    neighbours: Annotated[Counts | None, Field(description="Points in a group of each level.")] = None
    radii: Annotated[Radii | None, Field(description="Radius of a group at each level.")] = None
    widths: Annotated[
        Annotated[tuple[Widths, Widths, Widths], BeforeValidator(as_tuple)] | None,
        Field(description="Layers of the two levels and of the whole cloud."),
    ] = None
    hidden: Annotated[Width | None, Field(description="Width of the layer in front of the pooled vector.")] = None


def with_preset(preset: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The preset, with what was given in place of its numbers."""
    return preset | {name: value for name, value in given.items() if value is not None}
