"""ALIGN: a plain dual encoder, a softmax contrast with label smoothing and a learned temperature, and noisy data.

Jia et al., "Scaling up visual and vision-language representation learning with noisy text supervision", ICML 2021:

    L = mean over both directions of CE(cos(x, t) / sigma, own pair), targets smoothed by 0.1, sigma learned from 1.0

The authors published no code; `transformers.AlignModel` states the same loss and is what the tests compare with. The
thresholds of the filters are quoted from memory of the paper's section 3, and so is the LAMB schedule, which is not
built here: recipes use AdamW. `compose_queries` is the image + text search of section 5.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vlcli.align.logit_scale import Temperature
from vlcli.align.objectives.info_nce import InfoNCE
from vlcli.data.dataset import Example
from vlcli.train.batches import Batch, embed_side
from vlcli.train.method import Method, Setup, StepState

if TYPE_CHECKING:
    from vlcli.align.space import Space

Floats = npt.NDArray[np.float32]


class Align(Method):
    """The dual encoder over the recipe's towers.

    Args:
        temperature: sigma at the start.
        label_smoothing: share of each target spread over the batch.
    """

    space: Space

    def __init__(self, temperature: float = 1.0, label_smoothing: float = 0.1) -> None:
        super().__init__()
        self.temperature = Temperature(temperature)
        self.objective = InfoNCE(label_smoothing=label_smoothing)

    def build(self, setup: Setup) -> None:
        """Take the recipe's space."""
        self.space = setup.require_space("images/align", "images", "text")
        # The temperature stands in for the space's own scale, which is set from it after each step.
        self.space.logit_scale.requires_grad_(False)
        self.space.logit_scale.stays_frozen = True  # type: ignore[attr-defined]

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Unit vectors of both sides."""
        return {name: embed_side(self.space, batch, name) for name in ("images", "text")}

    def loss(self, encoded: dict[str, Tensor], batch: Batch, state: StepState) -> dict[str, Tensor]:
        """The contrast of the batch; equal captions are not told apart, as in the paper."""
        return {"contrastive": self.objective(encoded["images"], encoded["text"], self.temperature())}

    @torch.no_grad()
    def after_step(self, state: StepState) -> None:
        """Keep sigma positive, and the space's scale equal to 1 / sigma."""
        self.temperature.clamp_()
        self.space.logit_scale.fill_(-math.log(float(self.temperature.value)))

    def result_space(self) -> Space:
        """The trained space."""
        return self.space


def compose_queries(image: Floats, text: Floats, weight: float = 1.0) -> Floats:
    """`norm(image + weight * text)` of unit rows `[N, D]`: search by a picture and a change in words (section 5)."""
    mixed = image + weight * text
    composed: Floats = mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)
    return composed


class TextFilter:
    """ALIGN's text filters, over the whole training split.

    Args:
        max_images_per_text: a text that more pictures share is boilerplate.
        min_words, max_words: length in words.
        vocabulary: how many of the corpus's most frequent words and word pairs count as known; a text with a word or
            pair outside is dropped. 0 switches this off: a small corpus has no tail to speak of.
    """

    def __init__(
        self, max_images_per_text: int = 10, min_words: int = 3, max_words: int = 20, vocabulary: int = 0
    ) -> None:
        self.max_images_per_text = max_images_per_text
        self.min_words, self.max_words = min_words, max_words
        self.vocabulary = vocabulary

    def __call__(self, examples: Sequence[Example]) -> list[Example]:
        """The examples whose first caption passes."""
        texts = [normalise(example.captions[0]) if example.captions else "" for example in examples]
        shared = Counter(texts)
        known = self.known_grams(texts)
        return [
            example
            for example, text in zip(examples, texts, strict=True)
            if shared[text] <= self.max_images_per_text
            and self.min_words <= len(text.split()) <= self.max_words
            and (known is None or all(gram in known for gram in grams(text)))
        ]

    def known_grams(self, texts: Iterable[str]) -> set[str] | None:
        """The most frequent words and pairs, or None when that filter is off."""
        if not self.vocabulary:
            return None
        counts = Counter(gram for text in texts for gram in grams(text))
        ranked = sorted(counts, key=lambda gram: (-counts[gram], gram))
        return set(ranked[: self.vocabulary])


class ImageFilter:
    """ALIGN's picture filters that need no other model: the shorter side and the aspect ratio.

    Args:
        min_side: shorter side in pixels; smaller pictures are dropped.
        max_aspect: longer over shorter side; pictures at or above it are dropped.
    """

    def __init__(self, min_side: int = 200, max_aspect: float = 3.0) -> None:
        self.min_side, self.max_aspect = min_side, max_aspect

    def __call__(self, examples: Sequence[Example]) -> list[Example]:
        """The examples whose picture passes; a file that can not be read is left for loading to refuse."""
        return [example for example in examples if self.passes(example)]

    def passes(self, example: Example) -> bool:
        """Whether one example's picture is large and square enough, by its header alone."""
        size = header_size(example.sources["images"].path)
        return size is None or (min(size) > self.min_side and max(size) / min(size) < self.max_aspect)


def header_size(path: Path | None) -> tuple[int, int] | None:
    """Width and height from a picture's header; None when there is no readable one."""
    from PIL import Image, UnidentifiedImageError

    if path is None:
        return None
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


def normalise(text: str) -> str:
    """Lower case with single spaces."""
    return " ".join(text.lower().split())


def grams(text: str) -> list[str]:
    """Words and pairs of words."""
    words = text.split()
    return words + [f"{first} {second}" for first, second in itertools.pairwise(words)]
