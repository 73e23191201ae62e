"""`images/shapes`: a procedural world of one shape on a dark ground, with a caption; for claims at laptop scale.

Four shapes × six colours × two sizes × nine places make 432 things. Things, not pictures, are split: a test picture
shows a combination that training never saw. `noise` gives a share of the training pictures the caption of another one,
so that the captions stay plausible and only the pairing is wrong.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.runtime.files import atomic_path
from vlcli.runtime.paths import cache_dir

SHAPES = ("circle", "square", "triangle", "cross")
COLORS = {
    "red": (214, 46, 46),
    "green": (54, 176, 68),
    "blue": (58, 92, 222),
    "yellow": (228, 206, 52),
    "purple": (150, 62, 190),
    "orange": (238, 138, 38),
}
DOMAINS = {"all": tuple(COLORS), "old": ("red", "green", "blue"), "new": ("yellow", "purple", "orange")}
GROUNDS = {"dark": (8, 40), "grey": (120, 150), "bright": (200, 248)}
"""Range of each colour channel of the ground."""
SIZES = {"small": 4.0, "large": 6.5}
"""Half the width of a shape in pixels."""
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "center", "right")
SIDE = 32
SUPERSAMPLE = 4
VERSION = 1
"""Part of the cache folder's name; raise it when the pictures change."""


@dataclass(frozen=True)
class Thing:
    """What a picture shows."""

    size: str
    color: str
    shape: str
    row: str
    column: str

    @property
    def caption(self) -> str:
        """`a small red circle at the top left`."""
        return f"a {self.size} {self.color} {self.shape} at the {self.row} {self.column}"


def all_things() -> list[Thing]:
    """All 432 things in a fixed order."""
    return [Thing(*parts) for parts in itertools.product(SIZES, COLORS, SHAPES, ROWS, COLUMNS)]


def split_things() -> dict[str, list[Thing]]:
    """Things of each split: of every shape and colour the same share, chosen once for all seeds."""
    parts: dict[str, list[Thing]] = {"train": [], "val": [], "test": []}
    shuffled = all_things()
    random.Random(0).shuffle(shuffled)
    counts: dict[tuple[str, str], int] = {}
    for thing in shuffled:
        key = (thing.color, thing.shape)
        number = counts.get(key, 0)
        counts[key] = number + 1
        parts["test" if number < 6 else "val" if number < 9 else "train"].append(thing)
    return parts


def render(thing: Thing, rng: np.random.Generator, ground: str = "dark") -> Image.Image:
    """A picture of a thing: jittered place, size and colour, and pixel noise."""
    scale = SIDE * SUPERSAMPLE
    image = Image.new("RGB", (scale, scale), tuple(int(v) for v in rng.integers(*GROUNDS[ground], 3)))
    draw = ImageDraw.Draw(image)
    center_x = (COLUMNS.index(thing.column) * 10 + 6 + rng.uniform(-1.2, 1.2)) * SUPERSAMPLE
    center_y = (ROWS.index(thing.row) * 10 + 6 + rng.uniform(-1.2, 1.2)) * SUPERSAMPLE
    half = SIZES[thing.size] * rng.uniform(0.9, 1.1) * SUPERSAMPLE
    color = tuple(int(np.clip(v + rng.integers(-22, 23), 0, 255)) for v in COLORS[thing.color])
    left, right, top, bottom = center_x - half, center_x + half, center_y - half, center_y + half
    if thing.shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=color)
    elif thing.shape == "square":
        draw.rectangle((left, top, right, bottom), fill=color)
    elif thing.shape == "triangle":
        draw.polygon([(center_x, top), (right, bottom), (left, bottom)], fill=color)
    else:
        arm = half / 3
        draw.rectangle((center_x - arm, top, center_x + arm, bottom), fill=color)
        draw.rectangle((left, center_y - arm, right, center_y + arm), fill=color)
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    noisy = pixels + rng.normal(0, 12, pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


class ShapesDataset:
    """The shapes world.

    Args:
        size: training pictures; validation and test have one picture for each of their things.
        noise: share of training pictures whose caption is another picture's.
        domain: `all` colours, or the `old` or `new` three.
        ground: `dark`, `grey` or `bright`; the same things look different on them.
        seed: of the training pictures and the noise; validation and test are the same for every seed.
    """

    def __init__(
        self, size: int = 2000, noise: float = 0.0, domain: str = "all", ground: str = "dark", seed: int = 0
    ) -> None:
        self.ground = ground
        colors = DOMAINS[domain]
        things = {name: [thing for thing in part if thing.color in colors] for name, part in split_things().items()}
        self.examples: list[Example] = []
        rng = random.Random(f"shapes/{seed}/{domain}")
        drawn = [rng.choice(things["train"]) for _ in range(size)]
        captions = [thing.caption for thing in drawn]
        wrong = rng.sample(range(size), round(size * noise))
        # Rotating the chosen captions among themselves keeps their distribution and moves every one of them.
        for index, other in zip(wrong, wrong[1:] + wrong[:1], strict=True):
            captions[index] = drawn[other].caption
        for number, (thing, caption) in enumerate(zip(drawn, captions, strict=True)):
            self.add("train", f"{seed}-{number}", thing, caption)
        for split in ("val", "test"):
            for number, thing in enumerate(things[split]):
                self.add(split, str(number), thing, thing.caption)

    def add(self, split: str, number: str, thing: Thing, caption: str) -> None:
        """Append an example; its picture is drawn when it is not in the cache."""
        mark = "" if self.ground == "dark" else f"{self.ground}-"
        name = f"{mark}{split}-{number}-{thing.size}-{thing.color}-{thing.shape}-{thing.row}-{thing.column}"
        path = picture(name, thing, self.ground)
        metadata = {
            "shape": thing.shape,
            "color": thing.color,
            "size": thing.size,
            "mismatched": caption != thing.caption,
        }
        source = Source(id=name, path=path)
        self.examples.append(Example(name, {"images": source}, (caption,), thing.shape, split, metadata))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


def picture(name: str, thing: Thing, ground: str) -> Path:
    """The file of a picture, drawn once; its noise depends on its name alone."""
    folder = cache_dir("shapes", f"v{VERSION}")
    path = folder / f"{name}.png"
    if not path.exists():
        digest = hashlib.sha256(name.encode()).digest()
        image = render(thing, np.random.default_rng(int.from_bytes(digest[:8], "big")), ground)
        # Atomic but not synced: a picture that is lost is drawn again.
        with atomic_path(path, sync=False) as temporary:
            image.save(temporary, format="PNG")
    return path
