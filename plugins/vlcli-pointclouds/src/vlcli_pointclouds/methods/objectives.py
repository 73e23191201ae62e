"""The losses of ULIP and JM3D: contrasts between points, text and pictures, and how JM3D joins several views.

ULIP (Xue et al., CVPR 2023, section 3.2) contrasts points with text and with one picture. JM3D (Ji et al., ACM MM 2023)
gives the views a place and a kind, weighs them by how well they fit the text, and contrasts points and text with the
joint view. Both are checked against numbers that the released code gave (`tests/golden`).

None of these is registered as an objective: a registered one compares two sides, and these compare three.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.objectives.info_nce import InfoNCE

AZIMUTHS = 30
"""Views are taken every 12 degrees around the up axis."""

KINDS = ("rgb", "depth")
"""What a view shows, in the order of the rows of JM3D's table."""


class TripletContrast(nn.Module):
    """ULIP's loss: points with text and points with pictures, each the mean of its two directions.

    The text-picture term has weight 0 in the paper, because both towers are frozen; here it is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.contrast = InfoNCE()

    def forward(self, points: Tensor, text: Tensor, images: Tensor, scale: Tensor) -> dict[str, Tensor]:
        """The two terms, whose sum is minimised.

        Args:
            points, text, images: unit rows `[B, D]`; row i of all three is one object.
            scale: factor on the cosines, one element.
        """
        return {
            "points_text": self.contrast(points, text, scale),
            "points_images": self.contrast(points, images, scale),
        }


class JointContrast(nn.Module):
    """JM3D's loss: points with text, points with the joint view, text with the joint view.

    The third term keeps what makes the joint view near the text: without it, it could drift wherever the points go.
    """

    def __init__(self) -> None:
        super().__init__()
        self.contrast = InfoNCE()

    def forward(self, points: Tensor, text: Tensor, joint: Tensor, scale: Tensor) -> dict[str, Tensor]:
        """The three terms, whose sum is minimised.

        Args:
            points, text: unit rows `[B, D]`.
            joint: `[B, D]`, what `joint_view` gives: no longer of unit length.
            scale: factor on the products, one element.
        """
        return {
            "points_text": self.contrast(points, text, scale),
            "points_images": self.contrast(points, joint, scale),
            "text_images": self.contrast(text, joint, scale),
        }


class ViewStrengthening(nn.Module):
    """A view's feature with what is known of the view: `LN(i + E_azimuth + E_kind)` (JM3D's SMO).

    Args:
        dim: width of the features.
        azimuths: places around the object. kinds: kinds of views.
        std: of the tables at first. The released code draws them from a standard normal distribution, beside which a
            unit feature of 512 numbers hardly counts.
    """

    def __init__(self, dim: int, azimuths: int = AZIMUTHS, kinds: int = len(KINDS), std: float = 0.02) -> None:
        super().__init__()
        self.azimuth = nn.Embedding(azimuths, dim)
        self.kind = nn.Embedding(kinds, dim)
        self.norm = nn.LayerNorm(dim)
        for table in (self.azimuth, self.kind):
            nn.init.normal_(table.weight, std=std)

    def forward(self, features: Tensor, azimuths: Tensor, kinds: Tensor) -> Tensor:
        """`[B, V, D]` features, `[B, V]` indices of azimuth and kind -> `[B, V, D]`."""
        strengthened: Tensor = self.norm(features + self.azimuth(azimuths) + self.kind(kinds))
        return strengthened


def view_weights(features: Tensor, text: Tensor) -> Tensor:
    """How much each view counts: a softmax over the cosines with the text, without a temperature.

    The features are those of the frozen tower, before they are strengthened.

    Args:
        features: `[B, V, D]`. text: `[B, D]`.

    Returns:
        `[B, V]`, rows that add up to 1.
    """
    cosines = torch.einsum("bvd,bd->bv", functional.normalize(features, dim=-1), functional.normalize(text, dim=-1))
    return cosines.softmax(dim=1)


def joint_view(strengthened: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of the views' unit vectors `[B, V, D]` -> `[B, D]`; not normalised again, as released."""
    return (weights.unsqueeze(-1) * functional.normalize(strengthened, dim=-1)).sum(1)


def class_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Half the cross entropy of the parent category, from the outputs `[B, C]` of a `ClassHead`."""
    return 0.5 * functional.cross_entropy(outputs, labels)


class ClassHead(nn.Module):
    """Points' embedding to parent categories `[B, C]`.

    Args:
        dim: width of the embedding. classes: number of categories.
        official: give the softmax of the ReLU of the linear map, as the released code does. The cross entropy then
            takes a second softmax, so that no category can be told with certainty; by default logits are given.
    """

    def __init__(self, dim: int, classes: int, official: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, classes)
        self.official = official

    def forward(self, embedding: Tensor) -> Tensor:
        """`[B, D]` to logits `[B, C]`, or to probabilities where `official`."""
        logits: Tensor = self.linear(embedding)
        return functional.relu(logits).softmax(dim=1) if self.official else logits


def contrast_accuracy(x: Tensor, y: Tensor) -> float:
    """Share of the rows of `x` whose own row of `y` is the nearest one, for unit rows `[B, D]`."""
    hits = (x @ y.T).argmax(1) == torch.arange(len(x), device=x.device)
    return float(hits.float().mean())
