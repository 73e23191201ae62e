"""The small tower: shapes, options, augmentation, and vectors that do not depend on the batch."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from vlcli_images.encoder_options import SmallCNNOptions
from vlcli_images.small_cnn import SmallCNN


def picture(seed: int = 0, size: tuple[int, int] = (32, 32)) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("side", [16, 24, 32])
def test_shapes(side: int) -> None:
    encoder = SmallCNN(side, 8, 12).eval()
    inputs = {"pixels": torch.stack([encoder.preprocess(picture(size=(50, 30)))["pixels"]] * 2)}
    assert inputs["pixels"].shape == (2, 3, side, side) and inputs["pixels"].abs().max() <= 1
    encoded = encoder(inputs)
    assert encoded.pooled.shape == (2, 12) and encoded.tokens is not None
    assert encoded.tokens.shape == (2, (side // 8) ** 2, 16)


def test_options_refuse_what_does_not_fit() -> None:
    for wrong in ({"side": 36}, {"width": 12}, {"side": 8}, {"depth": 1}):
        with pytest.raises(ValidationError):
            SmallCNNOptions.model_validate(wrong)


def test_a_vector_does_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    encoder = SmallCNN(32, 8, 12)  # in training mode, too
    rows = torch.stack([encoder.preprocess(picture(seed))["pixels"] for seed in range(4)])
    together = encoder({"pixels": rows}).pooled
    alone = torch.cat([encoder({"pixels": row[None]}).pooled for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_places_survive() -> None:
    torch.manual_seed(0)
    encoder = SmallCNN(32, 8, 12).eval()
    left = Image.new("RGB", (32, 32))
    left.paste((255, 255, 255), (2, 12, 10, 20))
    right = left.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    with torch.no_grad():
        one, two = (encoder({"pixels": encoder.preprocess(image)["pixels"][None]}).pooled for image in (left, right))
    assert (one - two).abs().max() > 1e-3


def test_augmentation_is_a_small_shift_drawn_by_its_generator() -> None:
    encoder, image = SmallCNN(), picture(3)
    first, second = (np.asarray(encoder.augment(image, random.Random(5))) for _ in range(2))
    assert np.array_equal(first, second)
    moved = {np.asarray(encoder.augment(image, random.Random(seed))).tobytes() for seed in range(20)}
    assert len(moved) > 10
    middle = np.asarray(image)[8:24, 8:24]
    found = [np.array_equal(first[8 + y : 24 + y, 8 + x : 24 + x], middle) for y in range(-2, 3) for x in range(-2, 3)]
    assert sum(found) == 1
