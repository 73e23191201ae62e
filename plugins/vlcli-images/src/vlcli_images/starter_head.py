"""The heads of the starter image-text space: classifier outputs and MiniLM sentence vectors to one 384-d space.

No image-caption pair was used to make them. ``starter_build`` fits one linear map by ridge regression between the
MiniLM vectors of captions that were written by hand for the ImageNet classes and those classes. The baseline is ConSE
(Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic Embeddings", arXiv:1312.5650).

Image side: dense logits ``[B, L, 1000]`` (``EfficientNetLite0.dense_logits``) -> ``StarterHead`` -> ``[B, 384]``.
Text side: normalised MiniLM sentence vectors ``[B, 384]`` -> ``StarterTextHead`` -> ``[B, 384]``.
Both outputs have unit length; their dot product is the score.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

DIM = 384
NUM_CLASSES = 1000
# The image head was chosen with whole photos squashed to this size (``efficientnet.squash``): a 9 x 9 map of logits.
STARTER_IMAGE_SIZE = 288
ASSET = Path(__file__).parent / "assets" / "starter_head.safetensors"


def class_evidence(dense_logits: Tensor) -> Tensor:
    """What the classifier sees, as one unit vector over classes: ``[B, L, C] -> [B, C]``.

    Three views are added, each a square root of class probabilities (so with unit length): the mean over locations of
    the local softmax (small objects), the softmax of the mean logits (the whole scene), and the same at temperature 2
    (the runners-up). The square root keeps one confident class from hiding the rest.
    """
    logits = dense_logits.float()
    pooled = logits.mean(1)
    local = logits.softmax(-1).mean(1).sqrt()
    scene = pooled.softmax(-1).sqrt()
    soft = (pooled / 2.0).softmax(-1).sqrt()
    return functional.normalize(local + scene + soft, dim=-1)


class StarterHead(nn.Module):
    """Image head: dense logits ``[B, L, 1000]`` (or pooled logits ``[B, 1000]``) to unit vectors ``[B, 384]``."""

    weight: Tensor

    def __init__(self, weight: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(NUM_CLASSES, DIM) if weight is None else weight.float())

    def forward(self, dense_logits: Tensor) -> Tensor:
        """``[B, L, 1000] -> [B, 384]``."""
        dense = dense_logits if dense_logits.ndim == 3 else dense_logits[:, None]
        return functional.normalize(class_evidence(dense) @ self.weight, dim=-1)


class StarterTextHead(nn.Module):
    """Text head: a unit MiniLM vector less the mean caption, unit length again: ``[B, 384] -> [B, 384]``."""

    mean: Tensor

    def __init__(self, mean: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(DIM) if mean is None else mean.float())

    def forward(self, sentences: Tensor) -> Tensor:
        """``[B, 384] -> [B, 384]``."""
        return functional.normalize(functional.normalize(sentences.float(), dim=-1) - self.mean, dim=-1)


def conse(logits: Tensor, class_embeddings: Tensor, top_k: int | None = None) -> Tensor:
    """Plain ConSE: the class-name vectors weighted by class probability, unit length.

    ``logits`` ``[B, C]`` (dense ``[B, L, C]`` are averaged over L first), ``class_embeddings`` ``[C, D]``
    -> ``[B, D]``.
    ``top_k`` keeps only the most probable classes, with their probabilities rescaled to sum to one.
    """
    pooled = logits.mean(1) if logits.ndim == 3 else logits
    probabilities = pooled.float().softmax(-1)
    if top_k is not None:
        best = probabilities.topk(top_k, dim=-1)
        kept = torch.zeros_like(probabilities).scatter_(-1, best.indices, best.values)
        probabilities = kept / kept.sum(-1, keepdim=True)
    return functional.normalize(probabilities @ class_embeddings.float(), dim=-1)


def load_starter_heads(path: Path = ASSET) -> tuple[StarterHead, StarterTextHead]:
    """The image head and the text head from ``starter_head.safetensors``, in evaluation mode."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    return StarterHead(tensors["image.weight"]).eval(), StarterTextHead(tensors["text.mean"]).eval()


def load_class_embeddings(path: Path = ASSET) -> Tensor:
    """MiniLM vectors of the 1,000 class names ``[1000, 384]``, for ``conse``."""
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = load_file(path)
    return tensors["conse.class_embeddings"].float()
