"""A small world to run commands on: pictures with captions, a recipe that trains on them, a trained space."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from harness.commands import Commands, Ended

PICTURES = 40
COLORS = {"red": (210, 40, 40), "green": (50, 170, 60), "blue": (60, 90, 220), "white": (240, 240, 240)}
RECIPE = """schema = 1
name = "small"
seed = 7
device = "cpu"
threads = 1

[data]
use = "pictures/captions.csv"

[towers.images]
use = "images/small-cnn"
options = { side = 16, width = 8, dim = 16 }
head = { use = "linear", dim = 16 }
trainable = ["*"]

[towers.text]
use = "text/small-gru"
options = { vocabulary_size = 32, width = 8, dim = 16 }
head = { use = "linear", dim = 16 }
trainable = ["*"]

[objective]
use = "core/info-nce"

[optim]
lr = 1e-2

[train]
steps = 12
batch_size = 8
checkpoint_every = 2
log_every = 1
keep_inputs = true
"""


@dataclass(frozen=True)
class World:
    """A folder with `pictures`, `small.toml`, and after `train` the space in `space`."""

    folder: Path

    @property
    def pictures(self) -> Path:
        """The folder of pictures with its captions.csv."""
        return self.folder / "pictures"

    @property
    def space(self) -> Path:
        """A trained space."""
        return self.folder / "space"

    def embed(self, store: Path, backend: str = "sqlite", pictures: str = "pictures") -> list[str]:
        """The command that embeds all pictures."""
        return ["embed", str(self.folder / pictures / "captions.csv"), "--modality", "images", "--space",
                str(self.space), "--store", str(store), "--backend", backend, "--json"]  # fmt: skip

    def add_pictures(self, name: str) -> None:
        """Another folder of pictures: the same."""
        shutil.copytree(self.pictures, self.folder / name)

    def change_pictures(self, name: str) -> None:
        """Draw eight of them anew and add eight."""
        draw_pictures(self.folder / name, range(PICTURES - 8, PICTURES + 8), seed=1)

    def search(self, store: Path) -> list[str]:
        """The command that asks the store, which builds its cache."""
        return ["search", str(store), "a red square", "--json"]

    def index(self, store: Path, kind: str) -> list[str]:
        """The command that writes what searches go faster by: the cache (`exact`), or the approximate index (`ann`)."""
        return ["store", "index", str(store), "--kind", kind, "--json"]

    def train(self, run: Path) -> list[str]:
        """The command that begins a training run."""
        return ["run", str(self.folder / "small.toml"), "--out", str(run)]


def make_world(folder: Path) -> World:
    """Draw the pictures and write the recipe."""
    folder.mkdir(parents=True)
    world = World(folder)
    world.pictures.mkdir()
    draw_pictures(world.pictures, range(PICTURES), seed=0)
    (folder / "small.toml").write_text(RECIPE, encoding="utf-8")
    return world


def draw_pictures(folder: Path, numbers: range, seed: int) -> None:
    """Draw pictures and write the table of all that there are then."""
    random = np.random.default_rng(seed)
    for number in numbers:
        picture = Image.fromarray(random.integers(0, 60, (16, 16, 3), dtype=np.uint8))
        draw = ImageDraw.Draw(picture)
        color, shape = appearance(number)
        (draw.rectangle if shape == "square" else draw.ellipse)((3, 3, 12, 12), fill=COLORS[color])
        picture.save(folder / f"{number:02d}.png")
    with (folder / "captions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["image", "caption", "split"])
        writer.writeheader()
        for number in range(max(numbers) + 1):
            split = ("train", "train", "train", "val", "test")[number % 5]
            caption = "a {} {} number {}".format(*appearance(number), number)
            writer.writerow({"image": f"{number:02d}.png", "caption": caption, "split": split})


def appearance(number: int) -> tuple[str, str]:
    """Color and shape of a picture."""
    return list(COLORS)[number % 4], ("square", "circle")[number // 4 % 2]


def trained_world(folder: Path, commands: Commands) -> World:
    """A world with a trained space."""
    world = make_world(folder)
    ended = commands.run(*world.train(folder / "first"), cwd=folder)
    expect_success(ended)
    shutil.copytree(folder / "first" / "space", world.space)
    return world


def expect_success(ended: Ended) -> None:
    """Fail with what the command said, when it did not end well."""
    assert ended.code == 0, f"exit code {ended.code}\n{ended.stdout}\n{ended.stderr}"
