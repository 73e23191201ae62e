"""ULIP: points learn to lie where a frozen image-text model puts the picture and the name of the same object.

Xue et al., "ULIP: Learning a Unified Representation of Language, Images, and Point Clouds for 3D Understanding" (CVPR
2023). One picture is drawn for every object and step, from 30 azimuths and the kinds RGB and depth; one of its names is
drawn and averaged over 64 templates, normalised before and after. Points are contrasted with both; everything that the
image-text model holds is frozen, its temperature included. Differs from the released code in: views are drawn from the
cloud or mesh itself by a rasteriser of our own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vlcli_pointclouds.methods.alignment import PointAlignment
from vlcli_pointclouds.methods.material import of_prefix, one_by_one, random_view, with_prefix
from vlcli_pointclouds.methods.objectives import TripletContrast
from vlcli_pointclouds.methods.options import UlipOptions

if TYPE_CHECKING:
    from vlcli.data.dataset import Example


class Ulip(PointAlignment):
    """The method. Options: `UlipOptions`."""

    name = "pointclouds/ulip"

    def __init__(self, **options: Any) -> None:
        super().__init__(UlipOptions(**options))
        self.triplets = TripletContrast()

    def collate_targets(self, rows: list[Example], rng: random.Random) -> dict[str, Tensor]:
        """One picture and one name of every example."""
        pictures = self.pictures(rows, [[random_view(rng, self.options.kinds)] for _ in rows])
        return with_prefix("images", pictures) | self.drawn_names(rows, rng)

    def align(self, points: dict[str, Tensor], inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Points against text and against pictures."""
        embedded = self.space.embed("pointclouds", points)
        with torch.no_grad():
            images = self.space.embed("images", one_by_one(of_prefix("images", inputs)))
            scale = self.space.logit_scale.exp()
        terms: dict[str, Tensor] = self.triplets(embedded, self.drawn_text(inputs), images, scale)
        return terms
