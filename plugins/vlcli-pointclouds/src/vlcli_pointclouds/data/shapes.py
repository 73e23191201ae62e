"""`pointclouds/shapes`: a procedural world of small coloured objects, three sub-types to a category, with descriptions.

Everything is drawn from numbers that the option `seed` and an object's own name decide, so every machine has the same
objects. The objects, their names and their texts are this project's own and free for any use (CC0-1.0).

What a text says can be seen: sizes are proportions (`thick`, `low`), because a cloud is scaled to the unit sphere
before anything else happens to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlcli.api import Source, VlcliError
from vlcli.data.dataset import Example
from vlcli.errors import did_you_mean
from vlcli.runtime.files import atomic_path
from vlcli.runtime.paths import cache_dir
from vlcli_pointclouds.cloud import PointCloud, from_shape
from vlcli_pointclouds.data import furniture, household, outdoors, solids, vehicles
from vlcli_pointclouds.data.kind import Choice, Kind
from vlcli_pointclouds.shape import Shape
from vlcli_pointclouds.writers import ply_bytes

Level = Literal["family", "category", "subtype"]
Pose = Literal["aligned", "upright", "any"]
Texts = Literal["all", "short", "dense"]

KINDS: tuple[Kind, ...] = (
    *solids.KINDS, *furniture.KINDS, *vehicles.KINDS, *household.KINDS, *outdoors.KINDS,
)  # fmt: skip
COLOURS = {
    "red": (0.84, 0.16, 0.16),
    "orange": (0.95, 0.52, 0.12),
    "yellow": (0.93, 0.82, 0.18),
    "green": (0.20, 0.66, 0.27),
    "blue": (0.18, 0.36, 0.86),
    "purple": (0.55, 0.22, 0.72),
    "pink": (0.95, 0.55, 0.72),
    "white": (0.93, 0.93, 0.91),
    "black": (0.13, 0.13, 0.15),
}
PAINTS = {
    "wood": (0.56, 0.39, 0.23),
    "metal": (0.66, 0.68, 0.71),
    "dark": (0.23, 0.23, 0.26),
    "pale": (0.84, 0.79, 0.69),
    "white": (0.94, 0.94, 0.92),
    "glass": (0.55, 0.75, 0.86),
}
SHARES = {"test": 0.15, "val": 0.15}
VERSION = 2
"""Part of the cache folder's name; raise it when objects change."""
PICTURE = 128
"""Pixels a side of the rendered pictures."""


@dataclass(frozen=True)
class Thing:
    """One object: what it is, before it is built.

    Attributes:
        kind: its category.
        subtype: one of the category's.
        number: counts within the sub-type.
        size: one of the category's two builds.
        colour: of the part that is named by it.
        seed: of the world.
    """

    kind: Kind
    subtype: str
    number: int
    size: str
    colour: str
    seed: int

    @property
    def name(self) -> str:
        """Tells it from all others: `0-armchair-0003-low-red`."""
        return f"{self.seed}-{self.subtype.replace(' ', '_')}-{self.number:04d}-{self.size}-{self.colour}"

    @property
    def caption(self) -> str:
        """`a low red armchair`."""
        return f"{article(self.size)} {self.size} {self.colour} {self.subtype}"

    @property
    def description(self) -> str:
        """`a low red armchair, a kind of chair, with a deep cushion and two wide arms`."""
        kind = "" if self.subtype == self.kind.name else f", {article(self.kind.name)} {self.kind.name}"
        return f"{self.caption}{kind}, {self.kind.subtypes[self.subtype]}"

    @property
    def hierarchy(self) -> str:
        """`furniture > chair > armchair`."""
        return f"{self.kind.family} > {self.kind.name} > {self.subtype}"

    def label(self, level: Level) -> str:
        """The name at a level of the hierarchy."""
        return {"family": self.kind.family, "category": self.kind.name, "subtype": self.subtype}[level]


def article(word: str) -> str:
    """`a` or `an`."""
    return "an" if word[0] in "aeiou" else "a"


def build(thing: Thing, pose: Pose = "aligned") -> Shape:
    """The object's mesh, y up, coloured by vertex.

    Args:
        thing: what to build.
        pose: `aligned` faces the viewer (+z; vehicles and animals +x), `upright` is turned about the up axis, `any`
            about any axis. Turns are drawn from the thing's name.
    """
    random = generator(thing.seed, thing.subtype, thing.number, "build")
    first = thing.size == thing.kind.builds[0]
    # The two builds leave a gap between them, so that they can be told apart.
    share = float(random.uniform(0.0, 0.25) if first else random.uniform(0.75, 1.0))
    parts = thing.kind.make(Choice(thing.subtype, share, random))
    vertices = np.concatenate([part.vertices for part in parts])
    low, high = thing.kind.stretch
    vertices = vertices * np.array([random.uniform(0.95, 1.05), low + (high - low) * share, random.uniform(0.95, 1.05)])
    starts = np.cumsum([0, *[len(part.vertices) for part in parts[:-1]]])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)])
    jitter = random.uniform(-0.05, 0.05, 3)
    paints = {**PAINTS, "main": COLOURS[thing.colour]}
    colours = np.concatenate([np.tile(np.clip(np.array(paints[part.paint]) + jitter, 0, 1), (len(part.vertices), 1))
                              for part in parts])  # fmt: skip
    turned = vertices @ pose_of(thing, pose).T
    return Shape(turned, faces.astype(np.int64), vertex_colours=colours, format="procedural")


def pose_of(thing: Thing, pose: Pose) -> NDArray[np.float64]:
    """The rotation `[3, 3]` of a thing."""
    random = generator(thing.seed, thing.subtype, thing.number, "pose")
    if pose == "aligned":
        return np.eye(3)
    if pose == "upright":
        angle = random.uniform(0, 2 * np.pi)
        cosine, sine = np.cos(angle), np.sin(angle)
        return np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]])
    # A unit quaternion of four normal numbers is uniform over rotations.
    quaternion = random.normal(size=4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def generator(*key: object) -> np.random.Generator:
    """A generator seeded by words and numbers, the same on every machine."""
    digest = hashlib.sha256("/".join(str(part) for part in key).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def choose_kinds(names: Sequence[str]) -> tuple[Kind, ...]:
    """The categories of these names, all for none.

    Raises:
        VlcliError: D750 for an unknown name.
    """
    known = {kind.name: kind for kind in KINDS}
    for name in names:
        if name not in known:
            raise VlcliError("D750", "pointclouds/shapes", f"has no category '{name}'",
                             did_you_mean(name, sorted(known)) or f"it has {', '.join(sorted(known))}")  # fmt: skip
    return tuple(known[name] for name in dict.fromkeys(names)) if names else KINDS


def choose_colours(names: Sequence[str]) -> tuple[str, ...]:
    """The colours of these names, all for none.

    Raises:
        VlcliError: D751 for an unknown name.
    """
    for name in names:
        if name not in COLOURS:
            raise VlcliError("D751", "pointclouds/shapes", f"has no colour '{name}'",
                             did_you_mean(name, sorted(COLOURS)) or f"it has {', '.join(COLOURS)}")  # fmt: skip
    return tuple(dict.fromkeys(names)) or tuple(COLOURS)


def things_of(kind: Kind, count: int, colours: Sequence[str], seed: int) -> list[Thing]:
    """`count` things of a category: its sub-types in turn, each with both builds and all colours equally often."""
    things = []
    for index in range(count):
        subtype = tuple(kind.subtypes)[index % len(kind.subtypes)]
        number = index // len(kind.subtypes)
        # Builds and colours come in shuffled rounds, so that small worlds are balanced as well.
        round_of = generator(seed, subtype, number // (2 * len(colours)), "round").permutation(2 * len(colours))
        drawn = int(round_of[number % (2 * len(colours))])
        things.append(Thing(kind, subtype, number, kind.builds[drawn % 2], colours[drawn // 2], seed))
    return things


def split_of(things: Sequence[Thing], seed: int) -> dict[Thing, str]:
    """A split for each thing of one category: 0.7 train, 0.15 val, 0.15 test, of every sub-type alike."""
    by_subtype: dict[str, list[Thing]] = {}
    for thing in things:
        by_subtype.setdefault(thing.subtype, []).append(thing)
    turns: list[tuple[int, int, Thing]] = []
    for number, (subtype, members) in enumerate(by_subtype.items()):
        order = generator("split", seed, subtype).permutation(len(members))
        turns += [(turn, number, members[int(place)]) for turn, place in enumerate(order)]
    ordered = [thing for *_, thing in sorted(turns, key=lambda entry: entry[:2])]
    splits = dict.fromkeys(ordered, "train")
    start = 0
    for split, share in SHARES.items():
        count = round(len(ordered) * share)
        splits.update(dict.fromkeys(ordered[start : start + count], split))
        start += count
    return splits


class ShapesDataset:
    """The world of shapes.

    Args:
        size: objects in all, the categories in turn.
        categories: only these.
        seed: of the objects; another seed gives other objects of the same categories.
        split_seed: of the split, by object, stratified by sub-type.
        pose: `aligned`, `upright` (turned about the up axis) or `any`.
        colours: only these.
        level: of the label: `family`, `category` or `subtype`.
        unseen: categories that training does not see. Their test objects are the split `unseen`, the others are left
            out; so no object that is tested there is in the training data of a world without this option.
        captions: `short`, `dense` or both.
        points: write clouds of so many points instead of meshes; 0 for meshes.
        views: pictures of each object, each an example of its own with a further source `images`; 0 for none.
        split: only this split.

    Raises:
        VlcliError: D750 an unknown category, D751 an unknown colour, D752 nothing is left.
    """

    def __init__(
        self,
        size: int = 720,
        categories: Sequence[str] = (),
        seed: int = 0,
        split_seed: int = 0,
        pose: Pose = "upright",
        colours: Sequence[str] = (),
        level: Level = "category",
        unseen: Sequence[str] = (),
        captions: Texts = "all",
        points: int = 0,
        views: int = 0,
        split: str | None = None,
    ) -> None:
        self.kinds = choose_kinds(categories)
        hidden = {kind.name for kind in choose_kinds(unseen)} if unseen else set()
        self.pose, self.level, self.texts, self.points = pose, level, captions, points
        palette = choose_colours(colours)
        self.things: list[tuple[Thing, str]] = []
        for number, kind in enumerate(self.kinds):
            count = size // len(self.kinds) + (number < size % len(self.kinds))
            for thing, part in split_of(things_of(kind, count, palette, seed), split_seed).items():
                part = ("unseen" if part == "test" else "") if kind.name in hidden else part
                if part and split in (None, part):
                    self.things.append((thing, part))
        if not self.things:
            what = f"has no objects in split '{split}'" if split else "has no objects"
            raise VlcliError("D752", "pointclouds/shapes", what, "raise size, or name another split")
        self.examples = [example for thing, part in self.things for example in self.make(thing, part, views)]

    def make(self, thing: Thing, split: str, views: int) -> list[Example]:
        """The examples of a thing; its files are written when the cache lacks them."""
        path = object_file(thing, self.pose, self.points)
        texts = {"short": (thing.caption,), "dense": (thing.description,),
                 "all": (thing.caption, thing.description)}[self.texts]  # fmt: skip
        metadata = {"category": thing.kind.name, "subtype": thing.subtype, "family": thing.kind.family,
                    "size": thing.size, "colour": thing.colour, "hierarchy": thing.hierarchy,
                    "caption": thing.caption, "description": thing.description}  # fmt: skip
        source = Source(id=thing.name, path=path)
        label = thing.label(self.level)
        if not views:
            return [Example(thing.name, {"pointclouds": source}, texts, label, split, metadata)]
        examples = []
        for view, azimuth in enumerate(
            generator(thing.seed, thing.subtype, thing.number, "views").permutation(30)[:views]
        ):
            picture = Source(id=f"{thing.name}/{azimuth}", path=picture_file(path, int(azimuth)))
            name = thing.name if views == 1 else f"{thing.name}/{view}"
            sources = {"pointclouds": source, "images": picture}
            examples.append(Example(name, sources, texts, label, split, {**metadata, "azimuth": int(azimuth)}))
        return examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


def cloud_of(thing: Thing, pose: Pose = "aligned", points: int = 8192) -> PointCloud:
    """The object as a cloud, without a file."""
    return from_shape(build(thing, pose), thing.name, points)


def object_file(thing: Thing, pose: Pose, points: int) -> Path:
    """The PLY file of a thing, written once: its mesh, or a cloud of so many points with normals."""
    folder = cache_dir("pointclouds", f"shapes-v{VERSION}", thing.kind.name)
    path = folder / f"{thing.name}-{pose}{f'-{points}' if points else ''}.ply"
    if not path.exists():
        shape = build(thing, pose)
        if points:
            cloud = from_shape(shape, thing.name, points)
            normals, colours = (
                None if values is None else values.astype(np.float64) for values in (cloud.normals, cloud.colours)
            )
            shape = Shape(cloud.points.astype(np.float64), normals=normals, vertex_colours=colours)
        # Atomic but not synced: a file that is lost is written again.
        with atomic_path(path, sync=False) as temporary:
            temporary.write_bytes(ply_bytes(shape))
    return path


def picture_file(path: Path, azimuth: int) -> Path:
    """The PNG file of an object seen from an azimuth (index 0…29), drawn once."""
    from vlcli_pointclouds.modality import PointcloudsModality
    from vlcli_pointclouds.views import render_views

    picture = path.with_name(f"{path.stem}-view{azimuth:02d}-{PICTURE}.png")
    if not picture.exists():
        from PIL import Image

        cloud = PointcloudsModality().load(Source(id=path.name, path=path))
        pixels = render_views(cloud, [azimuth], ["rgb"], PICTURE)[0]
        with atomic_path(picture, sync=False) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG")
    return picture
