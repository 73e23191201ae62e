"""Options of ULIP, JM3D and JM3D-LLM (no torch here: recipes are checked without it)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from vlcli_pointclouds.methods.prompts import TEMPLATES, NameLevel
from vlcli_pointclouds.options import Options, as_tuple

Kind = Literal["rgb", "depth"]
Kinds = Annotated[tuple[Kind, ...], BeforeValidator(as_tuple), Field(min_length=1)]
Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple)]


class AlignmentOptions(Options):
    """What ULIP and JM3D share."""

    names: NameLevel = Field("label", description="The text of an object: its label and that one's synonyms, its finer "
                             "name, or its captions.")  # fmt: skip
    templates: int = Field(len(TEMPLATES), ge=1, le=len(TEMPLATES), description="Sentences that a name's vector is "
                           "averaged over.")  # fmt: skip
    kinds: Kinds = Field(("rgb", "depth"), description="Kinds of views that points are aligned with.")
    view_size: int = Field(0, ge=0, le=1024, description="Side of a rendered view; 0: what the image tower takes.")
    uninformative: float = Field(0.0, ge=0, lt=1, description="Share of the views that are left blank, always the same "
                                 "ones (to try what becomes of such views).")  # fmt: skip
    augment: bool = Field(True, description="ULIP's augmentation of points: dropout, scale, shift, turns.")
    unseen: Names = Field((), description="Labels whose objects the alignment never sees; the test tells them apart "
                          "all the same.")  # fmt: skip
    image_text_share: float = Field(0.0, ge=0, lt=1, description="Share of the run's steps that trains the image and "
                                    "text towers before they are frozen; 0: they are a space already.")  # fmt: skip
    image_text_lr_scale: float = Field(1.0, gt=0, description="Multiplies the learning rate of that stage.")
    image_text_kinds: Kinds = Field(("rgb",), description="Kinds of views in that stage.")
    finetune_share: float = Field(0.0, ge=0, lt=1, description="Share of the run's steps that trains a copy of the "
                                  "point encoder with a class head on few labels at the end.")  # fmt: skip
    finetune_labels: int = Field(5, ge=1, description="Labelled objects of each class in that stage.")
    finetune_lr_scale: float = Field(1.0, gt=0, description="Multiplies the learning rate of that stage.")
    pairs: Literal["own", "shuffled"] = Field("own", description="shuffled: every object gets another one's text and "
                                              "views, a negative control.")  # fmt: skip
    baseline: Literal["none", "views", "scratch"] = Field(
        "none", description="views: no point encoder is trained, depth maps go through the image tower (PointCLIP); "
        "scratch: nothing is trained before the fine-tuning.")  # fmt: skip


class UlipOptions(AlignmentOptions):
    """Options of the method `pointclouds/ulip`."""


class Jm3dOptions(AlignmentOptions):
    """Options of the method `pointclouds/jm3d`."""

    names: NameLevel = Field("subtype", description="The text that points are contrasted with; the class head learns "
                             "the label.")  # fmt: skip
    views: int = Field(2, ge=1, le=60, description="Views of a step at neighbouring angles, their kinds taking turns; "
                       "released: one rgb and one depth.")  # fmt: skip
    class_head: bool = Field(True, description="Also learn the labels from the points' embedding.")
    official_class_head: bool = Field(False, description="Give the class loss probabilities, which it takes a second "
                                      "softmax of, as released.")  # fmt: skip


class Jm3dLlmOptions(Jm3dOptions):
    """Options of the method `pointclouds/jm3d-llm`."""

    names: NameLevel = Field("captions", description="The text that points are contrasted with before the adapter is "
                             "trained.")  # fmt: skip
    align_share: float = Field(0.0, ge=0, lt=1, description="Share of the run's steps that trains the point tower by "
                               "JM3D first; 0: the tower is that of a space.")  # fmt: skip
    language_model: str = Field("", description="A causal language model: a folder that save_pretrained wrote, or a "
                                "hub name; it stays frozen. Empty: train a small one on the captions.")  # fmt: skip
    language_share: float = Field(0.3, gt=0, lt=1, description="Share of the run's steps that trains the small "
                                  "language model, before it is frozen.")  # fmt: skip
    language_lr_scale: float = Field(1.0, gt=0, description="Multiplies the learning rate of that stage.")
    adapter_lr_scale: float = Field(1.0, gt=0, description="Multiplies the learning rate of the adapter.")
    vocabulary: int = Field(2000, ge=16, description="Words of the small language model at most.")
    width: int = Field(128, ge=8, description="Width of the small language model.")
    layers: int = Field(2, ge=1, description="Its layers.")
    heads: int = Field(4, ge=1, description="Its attention heads; they divide the width.")
    tokens: int = Field(8, ge=1, le=1024, description="Points' tokens that the language model reads.")
    prompt: str = Field("", description="Words between the points and the caption.")
    train_points: bool = Field(False, description="Train the point encoder along with the adapter, as released.")
    points: Literal["own", "blank", "shuffled"] = Field(
        "own", description="blank: the adapter sees zeros in place of the points, in training and testing; shuffled: "
        "it learns the captions of other objects.")  # fmt: skip
    slots: Names = Field(("category", "colour", "size"), description="Columns of the examples whose words a caption is "
                         "searched for.")  # fmt: skip
    longest: int = Field(48, ge=1, le=4096, description="Tokens of a caption at most.")
