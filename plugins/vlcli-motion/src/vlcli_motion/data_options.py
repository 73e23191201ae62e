"""Options of this plugin's data sets (nothing heavy here: recipes are checked without numpy)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from vlcli_motion.options import Options, as_tuple

Split = Annotated[Literal["train", "val", "test"] | None, Field(description="Only this split; all when left out.")]


class ProceduralOptions(Options):
    """Options of `motion/procedural`."""

    size: Annotated[int, Field(ge=2, le=1_000_000, description="Training clips.")] = 2000
    held_out: Annotated[int, Field(ge=2, le=5000, description="Clips of each of validation and test.")] = 200
    seed: Annotated[int, Field(ge=0, description="Of the training clips.")] = 0
    split: Split = None
    movements: Annotated[int, Field(ge=1, le=3, description="At most so many movements in one clip.")] = 3
    order_pairs: Annotated[bool, Field(description="Pairs of movements come in both orders, where possible.")] = True
    styles: Annotated[bool, Field(description="Some clips are tired, proud, happy, sad, angry or old.")] = True
    modifiers: Annotated[bool, Field(description="Movements may be slow, quick or repeated.")] = True
    mirrored: Annotated[bool, Field(description="Add the mirror image of every training clip.")] = False
    static: Annotated[bool, Field(description="Every clip is one of its poses, held still.")] = False
    captions: Annotated[int, Field(ge=1, le=12, description="At most so many captions a clip.")] = 4
    min_seconds: Annotated[float, Field(ge=1, le=20, description="Length of the shortest clips.")] = 2.0
    max_seconds: Annotated[float, Field(ge=2, le=60, description="Length of the longest clips.")] = 6.0
    actions: Annotated[
        tuple[str, ...], BeforeValidator(as_tuple), Field(description="Only these: walk, turn, wave, jump …")
    ] = ()


class BandaiOptions(Options):
    """Options of `motion/bandai`."""

    path: Annotated[str, Field(description="The folder of BVH files, searched with its sub-folders.")] = ""
    by: Annotated[Literal["style", "clip"], Field(description="Test on styles, or on clips, that training lacks.")] = (
        "style"
    )
    split: Split = None
    captions: Annotated[int, Field(ge=1, le=8, description="At most so many captions a clip.")] = 4
    say: Annotated[Literal["style", "content"], Field(description="Captions tell content and style, or content.")] = (
        "style"
    )
    styles: Annotated[list[str], Field(default_factory=list, description="The styles held out for the test.")]


class HumanML3DOptions(Options):
    """Options of `motion/humanml3d`."""

    path: Annotated[str, Field(description="The folder with new_joint_vecs, texts and the lists of the splits.")]
    split: Split = None
    mirrored: Annotated[bool, Field(description="Also the mirrored clips, whose names begin with M.")] = True
    min_frames: Annotated[int, Field(ge=1, description="Shorter clips are left out.")] = 40
    max_frames: Annotated[int, Field(ge=1, description="Longer clips are left out.")] = 199
    limit: Annotated[int | None, Field(ge=1, description="At most so many examples of each split.")] = None
