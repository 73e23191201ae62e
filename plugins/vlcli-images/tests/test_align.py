"""ALIGN: its loss against transformers' model, its filters on planted boilerplate, its composed queries."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from vlcli_images.methods.align import Align, ImageFilter, TextFilter, compose_queries

from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.space import Space, Tower
from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.registry import Registry
from vlcli.train.method import Setup, Stage, StepState

STATE = StepState(Stage(), 0, 0, 1, 0, 1, torch.Generator())
NO_BATCH: Any = None


class Given(Encoder):
    """Stands for a tower; its vectors are given."""

    dim = 12

    def forward(self, inputs: dict[str, torch.Tensor]) -> Encoded:
        return Encoded(inputs["x"])


def method(**options: float) -> Align:
    found = Align(**options)
    space = Space("demo", {name: Tower(Given(), name=f"x/{name}") for name in ("images", "text")})
    found.build(Setup(space, Registry(), 0, 10, list))
    return found


def tiny() -> Any:
    transformers = pytest.importorskip("transformers")
    text = {"vocab_size": 40, "hidden_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 16}  # fmt: skip
    vision = {"image_size": 32, "hidden_dim": 12, "depth_divisor": 4, "in_channels": [32, 8], "out_channels": [8, 12],
              "kernel_sizes": [3, 3], "strides": [1, 2], "num_block_repeats": [1, 1], "expand_ratios": [1, 2],
              "width_coefficient": 1.0, "depth_coefficient": 1.0, "depthwise_padding": []}  # fmt: skip
    torch.manual_seed(0)
    config = transformers.AlignConfig(text_config=text, vision_config=vision, projection_dim=12,
                                      temperature_init_value=0.5)  # fmt: skip
    return transformers.AlignModel(config).eval()


def test_the_loss_is_that_of_transformers() -> None:
    """Same embeddings, same loss, same gradients, the temperature's included."""
    model = tiny()
    generator = torch.Generator().manual_seed(0)
    output = model(
        input_ids=torch.randint(1, 40, (7, 6), generator=generator),
        pixel_values=torch.randn(7, 3, 32, 32, generator=generator), return_loss=True,
    )  # fmt: skip
    sides = {"images": output.image_embeds.detach(), "text": output.text_embeds.detach()}
    ours = method(temperature=0.5, label_smoothing=0.1)
    loss = ours.loss(sides, NO_BATCH, STATE)["contrastive"]
    output.loss.backward()
    loss.backward()
    # transformers adds the two directions and halves them, with smoothing 0.1
    torch.testing.assert_close(loss.detach(), output.loss.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.temperature.value.grad, model.temperature.grad, atol=1e-5, rtol=1e-5)


def test_the_loss_by_its_definition() -> None:
    x, y = (functional.normalize(torch.randn(9, 12), dim=-1) for _ in range(2))
    logits = x @ y.T / 0.3
    target = torch.arange(9)
    expected = sum(functional.cross_entropy(side, target, label_smoothing=0.1) for side in (logits, logits.T)) / 2
    loss = method(temperature=0.3).loss({"images": x, "text": y}, NO_BATCH, STATE)["contrastive"]
    torch.testing.assert_close(loss.detach(), expected, atol=1e-5, rtol=0)
    plain = method(temperature=0.3, label_smoothing=0.0).loss({"images": x, "text": y}, NO_BATCH, STATE)["contrastive"]
    assert float(plain.detach()) != pytest.approx(float(expected))


def test_the_space_follows_the_temperature() -> None:
    ours = method(temperature=0.2)
    ours.after_step(STATE)
    assert float(ours.space.logit_scale.exp()) == pytest.approx(5.0)
    with torch.no_grad():
        ours.temperature.value.fill_(-1.0)
    ours.after_step(STATE)
    assert float(ours.temperature.value) > 0 and np.isfinite(float(ours.space.logit_scale))


BOILERPLATE = (
    "image may be subject to copyright notice",
    "click here to enlarge this picture",
    "photo of the day gallery",
)
THINGS = ("dog", "boat", "tree", "house", "child", "train", "horse", "bridge", "lamp", "garden")
PLACES = ("beach", "street", "forest", "kitchen", "station", "field", "river", "yard", "hill", "market")


def corpus() -> tuple[list[Example], set[str]]:
    """1,000 good pairs and 400 bad ones: shared boilerplate, file names, keyword heaps; gives the bad ones' ids."""
    draw = random.Random(0)
    examples, bad = [], set()

    def add(text: str, is_bad: bool) -> None:
        name = f"{len(examples)}"
        examples.append(Example(name, {}, (text,)))
        if is_bad:
            bad.add(name)

    for _ in range(1000):
        first, second, place = draw.choice(THINGS), draw.choice(THINGS), draw.choice(PLACES)
        add(f"a {first} beside {draw.randrange(2, 9)} {second}s at the {place}", False)
    for number in range(400):
        kind = number % 4
        if kind < 2:
            add(draw.choice(BOILERPLATE).upper() if kind else f"  {draw.choice(BOILERPLATE)}", True)
        elif kind == 2:
            add(f"IMG_{draw.randrange(10**6)}.jpg", True)
        else:
            add(" ".join(draw.choice(THINGS) for _ in range(30)), True)
    draw.shuffle(examples)
    return examples, bad


def test_text_filters_remove_boilerplate_and_keep_the_rest() -> None:
    examples, bad = corpus()
    kept = {example.id for example in TextFilter()(examples)}
    assert len(bad - kept) >= 0.9 * len(bad)
    good = {example.id for example in examples} - bad
    assert len(good & kept) >= 0.95 * len(good)
    assert [e.id for e in TextFilter()(examples)] == [e.id for e in examples if e.id in kept]  # the order stays


def test_rare_words_are_dropped_when_asked() -> None:
    common = [Example(str(n), {}, (f"a red ball number {n % 3}",)) for n in range(12)]
    odd = Example("odd", {}, ("a red zyzzyva number 1",))
    everything = TextFilter(max_images_per_text=100)([*common, odd])
    known = TextFilter(max_images_per_text=100, vocabulary=13)([*common, odd])
    assert odd in everything and odd not in known and len(known) == 12


def test_image_filters(tmp_path: Path) -> None:
    sizes = {"good": (320, 240), "small": (300, 200), "long": (900, 300), "nearly": (890, 300)}
    examples = []
    for name, size in sizes.items():
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
        examples.append(Example(name, {"images": Source(id=name, path=tmp_path / f"{name}.png")}, ("x",)))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    examples.append(Example("broken", {"images": Source(id="broken", path=tmp_path / "broken.png")}, ("x",)))
    # Strictly larger than 200, strictly below 3; what can not be read is refused later, by name.
    assert [example.id for example in ImageFilter()(examples)] == ["good", "nearly", "broken"]


def test_composed_queries_are_unit_vectors_between_the_two() -> None:
    generator = np.random.default_rng(0)
    image, text = (generator.normal(size=(5, 8)).astype(np.float32) for _ in range(2))
    image, text = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in (image, text))
    mixed = compose_queries(image, text)
    np.testing.assert_allclose(np.linalg.norm(mixed, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((mixed * image).sum(1), (mixed * text).sum(1), atol=1e-6)
    np.testing.assert_allclose(compose_queries(image, text, 0.0), image, atol=1e-6)
    assert ((compose_queries(image, text, 3.0) * text).sum(1) > (mixed * text).sum(1)).all()
