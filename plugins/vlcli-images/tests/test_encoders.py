"""The image encoders keep their contracts, and the starter space finds pictures by text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from vlcli_images.encoders import ImageNetEncoder

from vlcli.align import Embedder
from vlcli.api import Source
from vlcli.data.collate import pad_and_stack
from vlcli.plugins import load_plugins
from vlcli.registry import Registry
from vlcli.testing.contracts import check_registered_encoder, check_space


@pytest.fixture(scope="module")
def registry() -> Registry:
    torch.set_num_threads(1)
    return load_plugins().registry


@pytest.fixture(scope="module")
def photographs() -> dict[str, Image.Image]:
    return {name: Image.fromarray(getattr(data, name)()) for name in ("chelsea", "coffee", "rocket")}


@pytest.mark.parametrize("options", [{"size": 64}, {"size": 64, "framing": "crop"}])
def test_efficientnet_keeps_the_contract(
    registry: Registry, photographs: dict[str, Image.Image], options: dict[str, object]
) -> None:
    check_registered_encoder(registry, "images/efficientnet-lite0", list(photographs.values()), options)


def test_tokens_are_the_grid_and_pooled_is_their_mean(photographs: dict[str, Image.Image]) -> None:
    encoder = ImageNetEncoder().eval()
    inputs = pad_and_stack([encoder.preprocess(photographs["chelsea"])])
    with torch.inference_mode():
        encoded = encoder(inputs)
    assert encoded.tokens is not None and encoded.tokens.shape == (1, 49, 1280)
    torch.testing.assert_close(encoded.pooled, encoded.tokens.mean(1))


def test_crop_takes_the_middle() -> None:
    picture = np.zeros((100, 300, 3), np.uint8)
    picture[:, 100:200] = 255
    encoder = ImageNetEncoder(size=64, framing="crop")
    assert int(encoder.preprocess(Image.fromarray(picture))["pixels"].min()) == 255
    squashed = ImageNetEncoder(size=64).preprocess(Image.fromarray(picture))["pixels"]
    assert squashed.shape == (3, 64, 64) and int(squashed.min()) == 0


def test_starter_finds_photographs_by_text(registry: Registry, photographs: dict[str, Image.Image]) -> None:
    space = check_space(registry, "images/starter", {"text": [Source(id="1", value="a cat")]})
    assert space.license and sorted(space.modalities) == ["images", "text"]
    inputs = pad_and_stack([space.preprocess("images", picture) for picture in photographs.values()])
    with torch.inference_mode():
        pictures = space.embed("images", inputs).numpy()
    texts = Embedder(space, registry).embed_texts(["a cat", "a cup of coffee", "a rocket launch"])
    assert (texts @ pictures.T).argmax(1).tolist() == [0, 1, 2]


def test_starter_image_side_keeps_the_contract(registry: Registry, photographs: dict[str, Image.Image]) -> None:
    check_registered_encoder(registry, "images/starter", list(photographs.values())[:2])
