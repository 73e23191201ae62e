"""What the alignment methods feed to the towers: points, rendered views and sentences of examples, kept in memory."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.train.batches import derive_seed, load_modality
from vlcli_pointclouds.methods.objectives import AZIMUTHS, KINDS
from vlcli_pointclouds.methods.options import Kind

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.data.dataset import Example
    from vlcli.registry import Registry
    from vlcli_pointclouds.cloud import PointCloud

DEFAULT_SIDE = 224
"""Of a view where the image tower does not say what it takes: that of CLIP."""

SMALL_SIDE = 64
"""Up to this size all views of an object are drawn at once and kept on disk."""
KEPT_BYTES = 2**29
"""Views in memory."""

Pixels = NDArray[np.uint8]
Value = TypeVar("Value")
View = tuple[int, Kind]
"""Azimuth index and kind."""


class Kept(Generic[Value]):
    """The values used last, up to a number of them."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.values: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made where it is not kept."""
        if key in self.values:
            self.values.move_to_end(key)
            return self.values[key]
        value = make()
        self.values[key] = value
        if len(self.values) > self.limit:
            self.values.popitem(last=False)
        return value


class Material:
    """Inputs of a space's towers for the examples of a data set.

    Args:
        space: with the towers `pointclouds`, `images` and `text`.
        registry: for the modalities.
        side: of rendered views; 0 takes what the image tower wants.
        uninformative: share of the views that are blank; which ones depends on the example and the view alone.
    """

    def __init__(self, space: Space, registry: Registry, side: int = 0, uninformative: float = 0.0) -> None:
        self.space = space
        self.modalities = {name: load_modality(registry, name) for name in ("pointclouds", "images", "text")}
        images = space.tower("images").encoder if "images" in space.towers else None
        self.side = side or int(getattr(images, "min_side", DEFAULT_SIDE))
        self.uninformative = uninformative
        self.clouds: Kept[PointCloud] = Kept(2000)
        self.points: Kept[dict[str, Tensor]] = Kept(20_000)
        views = len(KINDS) * AZIMUTHS if self.side <= SMALL_SIDE else 1
        self.drawn: Kept[Pixels] = Kept(max(64, KEPT_BYTES // (3 * views * self.side**2)))

    def cloud(self, example: Example) -> PointCloud:
        """An example's points.

        Raises:
            VlcliError: T107 when it has none, D codes when they are refused.
        """
        if "pointclouds" not in example.sources:
            raise VlcliError("T107", example.id, "has no points", f"it has: {', '.join(example.sources) or 'nothing'}")
        source = example.sources["pointclouds"]
        return self.clouds.get(source.id, lambda: self.modalities["pointclouds"].load(source))

    def point_rows(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Collated inputs of the point tower `[B, …]`."""
        rows = [self.points.get(example.id, partial(self.prepared, example)) for example in examples]
        return self.modalities["pointclouds"].collate(rows)

    def prepared(self, example: Example) -> dict[str, Tensor]:
        """Inputs of the point tower for one example."""
        return self.space.preprocess("pointclouds", self.cloud(example))

    def is_blank(self, example: Example, view: View) -> bool:
        """Whether a view shows nothing."""
        if not self.uninformative:
            return False
        return random.Random(derive_seed("blank", example.id, *view)).random() < self.uninformative

    def view(self, example: Example, view: View, blank: bool = True) -> Pixels:
        """A rendered view `[side, side, 3]`; where `blank`, the views that are to show nothing show the background."""
        from vlcli_pointclouds.views import all_views, render_views

        key, (azimuth, kind) = example.sources["pointclouds"].id, view
        if self.side <= SMALL_SIDE:
            every = self.drawn.get(key, lambda: all_views(self.cloud(example), self.side))
            pixels = every[KINDS.index(kind), azimuth]
        else:
            drawn = self.drawn.get((key, view), lambda: render_views(self.cloud(example), [azimuth], [kind], self.side))
            pixels = drawn[0]
        return np.broadcast_to(pixels[:1, :1], pixels.shape) if blank and self.is_blank(example, view) else pixels

    def view_rows(
        self, examples: Sequence[Example], views: Sequence[Sequence[View]], blank: bool = True
    ) -> dict[str, Tensor]:
        """Inputs of the image tower `[B, V, …]`: the chosen views of every example."""
        chosen = [(example, view) for example, some in zip(examples, views, strict=True) for view in some]
        pixels = [self.view(example, view, blank) for example, view in chosen]
        return self.picture_rows([Image.fromarray(np.ascontiguousarray(one)) for one in pixels], len(examples))

    def depth_rows(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Inputs of the image tower `[B, 6, …]`: the depth from the six sides of a cube, as PointCLIP projects."""
        from vlcli_pointclouds.views import depth_maps

        maps = [one for example in examples for one in depth_maps(self.cloud(example).points, self.side)]
        return self.picture_rows([Image.fromarray(one).convert("RGB") for one in maps], len(examples))

    def own_picture_rows(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Inputs of the image tower `[B, 1, …]`: the picture that every example brings."""
        pictures = [self.modalities["images"].load(example.sources["images"]) for example in examples]
        return self.picture_rows(pictures, len(examples))

    def picture_rows(self, pictures: Sequence[Image.Image], examples: int) -> dict[str, Tensor]:
        """Pictures of some examples, equally many of each, as inputs `[B, V, …]`."""
        rows = self.modalities["images"].collate([self.space.preprocess("images", one) for one in pictures])
        return {
            key: value.reshape(examples, len(pictures) // examples, *value.shape[1:]) for key, value in rows.items()
        }

    def text_rows(self, sentences: Sequence[str]) -> dict[str, Tensor]:
        """Collated inputs of the text tower `[B, T]`."""
        text = self.modalities["text"]
        encoder = self.space.tower("text").encoder
        return text.collate(encoder.preprocess_many([text.load(Source(id=one, value=one)) for one in sentences]))


def has_picture(example: Example) -> bool:
    """Whether an example brings a picture of its own."""
    return "images" in example.sources


def random_view(rng: random.Random, kinds: Sequence[Kind]) -> View:
    """One of the 30 azimuths, one of the kinds."""
    return rng.randrange(AZIMUTHS), rng.choice(list(kinds))


def neighbouring_views(rng: random.Random, kinds: Sequence[Kind], count: int) -> list[View]:
    """Views at neighbouring azimuths from a random one on, the kinds taking turns (JM3D's continuous views)."""
    first, turn = rng.randrange(AZIMUTHS), rng.randrange(len(kinds))
    return [((first + index) % AZIMUTHS, kinds[(turn + index) % len(kinds)]) for index in range(count)]


def with_prefix(prefix: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Inputs of one tower under names of their own, so that one batch holds those of several."""
    return {f"{prefix}/{name}": value for name, value in inputs.items()}


def of_prefix(prefix: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `with_prefix` named."""
    start = f"{prefix}/"
    return {name.removeprefix(start): value for name, value in inputs.items() if name.startswith(start)}


def one_by_one(inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """`[B, V, …]` as `[B * V, …]`."""
    return {name: torch.flatten(value, 0, 1) for name, value in inputs.items()}
