"""Options of this plugin's data sets (nothing heavy here: recipes are checked without numpy)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from vlcli_pointclouds.options import Options, as_tuple

Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class ShapesOptions(Options):
    """Options of `pointclouds/shapes`."""

    size: Annotated[int, Field(ge=1, le=1_000_000, description="Objects in all.")] = 720
    categories: Annotated[Names, Field(description="Only these; all when left out.")] = ()
    seed: Annotated[int, Field(ge=0, description="Of the objects.")] = 0
    split_seed: Annotated[int, Field(ge=0, description="Of the split into training, validation and test.")] = 0
    pose: Annotated[
        Literal["aligned", "upright", "any"],
        Field(description="All face the viewer, are turned about the up axis, or about any axis."),
    ] = "upright"
    colours: Annotated[Names, Field(description="Only these; all when left out.")] = ()
    level: Annotated[Literal["family", "category", "subtype"], Field(description="Of the label.")] = "category"
    unseen: Annotated[
        Names,
        Field(description="Categories that only the split `unseen` has: their test objects; the rest is left out."),
    ] = ()
    captions: Annotated[Literal["all", "short", "dense"], Field(description="Which texts.")] = "all"
    points: Annotated[int, Field(ge=0, le=1_000_000, description="Clouds of so many points; 0 for meshes.")] = 0
    views: Annotated[int, Field(ge=0, le=30, description="Pictures of each object, each an example; 0 for none.")] = 0
    split: Annotated[
        Literal["train", "val", "test", "unseen"] | None, Field(description="Only this split; all when left out.")
    ] = None


Share = Annotated[float, Field(ge=0, lt=1, description="Share of the training objects that become the split `val`.")]
Classes = Annotated[Names, Field(description="Only these; all when left out.")]
Split = Annotated[Literal["train", "val", "test"] | None, Field(description="Only this split; all when left out.")]


class ModelNetOptions(Options):
    """Options of `pointclouds/modelnet`."""

    path: Annotated[str, Field(description="The folder: CLASS/train/*.off, or the resampled clouds with their lists.")]
    val: Share = 0.1
    classes: Classes = ()
    split: Split = None
    version: Annotated[Literal[10, 40] | None, Field(description="Which lists of the resampled clouds.")] = None


class H5Options(Options):
    """Options of `pointclouds/h5`."""

    path: Annotated[str, Field(description="An HDF5 file, or a folder of some.")]
    names: Annotated[Names, Field(description="Of the labels in order; found beside the file when left out.")] = ()
    foreground: Annotated[
        bool, Field(description="Leave out the points that ScanObjectNN's mask calls background.")
    ] = False
    val: Share = 0.1
    classes: Classes = ()
    split: Split = None


class ShapeNetPartOptions(Options):
    """Options of `pointclouds/shapenetpart`."""

    path: Annotated[str, Field(description="The folder with synsetoffset2category.txt.")]
    names: Annotated[str | None, Field(description="A folder of JM3D's lists of names on two levels.")] = None
    classes: Classes = ()
    split: Split = None
