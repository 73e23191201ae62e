"""JM3D: points learn from several views and a two-level text, joined into one target.

Ji et al., "JM3D & JM3D-LLM: Elevating 3D Representation with Joint Multi-modal Cues" (ACM MM 2023; extended 2023).
SMO: views at neighbouring angles, each with its angle and kind added; the contrast takes the finer name, a class head
the parent category. JMA: views are weighed by how well they fit the text in the frozen image-text model, and points and
text are contrasted with the weighted view. Differs from the released code in: the class head gives logits
(`official_class_head` gives the released probabilities), the tables of angles and kinds start small, and views are
drawn by a rasteriser of our own. The released soft labels are left out: current torch computes NaN for them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vlcli.train.method import Setup
from vlcli_pointclouds.methods.alignment import PointAlignment
from vlcli_pointclouds.methods.material import neighbouring_views, of_prefix, one_by_one, with_prefix
from vlcli_pointclouds.methods.objectives import (
    AZIMUTHS,
    KINDS,
    ClassHead,
    JointContrast,
    ViewStrengthening,
    class_loss,
    joint_view,
    view_weights,
)
from vlcli_pointclouds.methods.options import Jm3dOptions
from vlcli_pointclouds.methods.prompts import names_of

if TYPE_CHECKING:
    from vlcli.data.dataset import Example


class Jm3d(PointAlignment):
    """The method. Options: `Jm3dOptions`."""

    name = "pointclouds/jm3d"
    options: Jm3dOptions
    options_model: ClassVar[type[Jm3dOptions]] = Jm3dOptions

    def __init__(self, **options: Any) -> None:
        super().__init__(self.options_model(**options))
        self.joint = JointContrast()

    def build(self, setup: Setup) -> None:
        """The towers, the module that strengthens views, and the class head."""
        super().build(setup)
        self.strengthening = ViewStrengthening(self.space.dim)
        wanted = self.options.class_head and len(self.labels) > 1
        self.class_head = (
            ClassHead(self.space.dim, len(self.labels), self.options.official_class_head) if wanted else None
        )

    def own_parameters(self) -> tuple[str, ...]:
        """Beside the point tower the view module and the class head train."""
        return ("strengthening.*", "class_head.*")

    def collate_targets(self, rows: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """Views at neighbouring angles, a name and the label of every example."""
        options = self.options
        views = [neighbouring_views(rng, options.kinds, options.views) for _ in rows]
        pictures = self.pictures(rows, views)
        count = next(iter(pictures.values())).shape[1]
        found = with_prefix("images", pictures) | self.drawn_names(rows, rng)
        # A picture that an example brings by itself counts as seen from the front, in colour.
        places = views if count == options.views else [[(0, KINDS[0])] * count for _ in rows]
        found["azimuths"] = torch.tensor([[azimuth for azimuth, _ in chosen] for chosen in places])
        found["kinds"] = torch.tensor([[KINDS.index(kind) for _, kind in chosen] for chosen in places])
        if self.class_head is not None:
            found["labels"] = torch.tensor([self.labels.index(str(row.label)) for row in rows])
        return found

    def align(self, points: dict[str, Tensor], inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Points, text and the joint view against each other, and the parent category."""
        embedded = self.space.embed("pointclouds", points)
        with torch.no_grad():
            features = self.view_features(of_prefix("images", inputs))
            scale = self.space.logit_scale.exp()
        text = self.drawn_text(inputs)
        strong = self.strengthening(features, inputs["azimuths"], inputs["kinds"])
        terms: dict[str, Tensor] = self.joint(embedded, text, joint_view(strong, view_weights(features, text)), scale)
        if self.class_head is not None:
            terms["class"] = class_loss(self.class_head(embedded), inputs["labels"])
        return terms

    def view_features(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Features `[B, V, D]` of pictures `[B, V, …]`, as the image tower gives them."""
        batch, views = next(iter(inputs.values())).shape[:2]
        features: Tensor = self.space.tower("images")(one_by_one(inputs)).float()
        return features.reshape(batch, views, -1)

    def measure(self, split: str) -> dict[str, float]:
        """Zero-shot accuracies, and, where views are blank on purpose, how well the weights find them."""
        found = super().measure(split)
        examples = [row for row in self.setup.examples(split) if "pointclouds" in row.sources]
        if self.options.uninformative and examples and self.options.baseline == "none":
            training = self.training
            self.eval()
            found[f"{split}/view_weight_auc"] = self.weight_auc(examples)
            self.train(training)
        return found

    @torch.no_grad()
    def weight_auc(self, examples: Sequence[Example]) -> float:
        """How often an informative view has a greater weight than a blank one, over all 60 views of every object.

        The area under the ROC curve of the weights, over the views of all objects together.
        """
        views = [(azimuth, kind) for kind in self.options.kinds for azimuth in range(AZIMUTHS)]
        weights, informative = [], []
        for example in examples:
            rows = self.material.view_rows([example], [views])
            features = self.view_features({name: value.to(self.space.device) for name, value in rows.items()})
            text = self.name_vectors(names_of(example, self.options.names)[:1])
            weights += view_weights(features, text)[0].tolist()
            informative += [not self.material.is_blank(example, view) for view in views]
        return area_under_curve(np.array(weights), np.array(informative))


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """Share of the pairs in which the positive one scores higher, ties counting half; 0.5 where there are no pairs."""
    from scipy.stats import rankdata

    count, other = int(positive.sum()), int((~positive).sum())
    if not count or not other:
        return 0.5
    return float((rankdata(scores)[positive].sum() - count * (count + 1) / 2) / (count * other))
