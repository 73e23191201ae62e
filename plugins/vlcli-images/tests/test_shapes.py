"""The shapes world: what is in it, how it is split, what noise does, and that it is always the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vlcli_images.shapes import COLORS, SIDE, ShapesDataset, all_things, split_things


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path))


def test_things_are_split_and_no_thing_is_in_two_splits() -> None:
    parts = split_things()
    assert {name: len(part) for name, part in parts.items()} == {"train": 216, "val": 72, "test": 144}
    assert len({thing for part in parts.values() for thing in part}) == len(all_things()) == 432
    for part in parts.values():
        # Of every colour and shape the same share.
        assert len(set(Counter((thing.color, thing.shape) for thing in part).values())) == 1


def test_the_data_set_holds_what_it_says() -> None:
    data = ShapesDataset(size=40)
    examples = [data[index] for index in range(len(data))]
    assert Counter(example.split for example in examples) == {"train": 40, "val": 72, "test": 144}
    assert len({example.id for example in examples}) == len(examples)
    trained = {example.captions for example in examples if example.split == "train"}
    assert not trained & {example.captions for example in examples if example.split == "test"}
    for example in examples[:5]:
        path = example.sources["images"].path
        assert path is not None and Image.open(path).size == (SIDE, SIDE)
        assert example.label in example.captions[0] and not example.metadata["mismatched"]


@pytest.mark.parametrize(("noise", "wrong"), [(0.0, 0), (0.3, 60), (1.0, 200)])
def test_noise_moves_captions_and_keeps_their_distribution(noise: float, wrong: int) -> None:
    clean, noisy = ShapesDataset(size=200), ShapesDataset(size=200, noise=noise)
    pairs = [(clean[index], noisy[index]) for index in range(200)]
    assert all(one.id == two.id for one, two in pairs)
    changed = sum(one.captions != two.captions for one, two in pairs)
    # A caption may be moved to a picture of the same thing, which it then still fits.
    assert wrong * 0.95 <= changed <= wrong
    assert changed == sum(bool(two.metadata["mismatched"]) for _, two in pairs)
    assert Counter(one.captions for one, _ in pairs) == Counter(two.captions for _, two in pairs)


def test_seeds_change_the_training_pictures_alone() -> None:
    def captions(seed: int, split: str) -> list[tuple[str, ...]]:
        data = ShapesDataset(size=30, seed=seed)
        return [data[index].captions for index in range(len(data)) if data[index].split == split]

    assert captions(0, "train") == captions(0, "train") != captions(1, "train")
    assert captions(0, "test") == captions(1, "test")


def test_domains_divide_the_colours() -> None:
    colors = {
        domain: {data[index].metadata["color"] for index in range(len(data))}
        for domain, data in ((name, ShapesDataset(size=60, domain=name)) for name in ("old", "new", "all"))
    }
    assert not colors["old"] & colors["new"] and colors["old"] | colors["new"] == colors["all"] == set(COLORS)


def test_pictures_are_drawn_the_same_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ShapesDataset(size=3)[0].sources["images"].path
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "another"))
    second = ShapesDataset(size=3)[0].sources["images"].path
    assert first is not None and second is not None and first != second
    assert np.array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(second)))


def test_a_picture_shows_its_colour() -> None:
    data = ShapesDataset(size=60)
    for index in range(60):
        example = data[index]
        pixels = np.asarray(Image.open(example.sources["images"].path), np.float32).reshape(-1, 3)
        brightest = pixels[np.argsort(pixels.max(1))[-20:]].mean(0)
        distance = {name: np.abs(brightest - np.array(color)).sum() for name, color in COLORS.items()}
        assert sorted(distance, key=distance.__getitem__).index(str(example.metadata["color"])) < 2
