"""The world of shapes: determinism, counts, splits, texts, and files that the modality reads."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vlcli_pointclouds.cloud import from_shape
from vlcli_pointclouds.data import shapes
from vlcli_pointclouds.data.kind import Kind
from vlcli_pointclouds.data.shapes import COLOURS, KINDS, ShapesDataset, Thing, build, cloud_of, things_of
from vlcli_pointclouds.data_options import ShapesOptions
from vlcli_pointclouds.modality import PointcloudsModality

from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.testing import check_dataset

SUBTYPES = [(kind, subtype) for kind in KINDS for subtype in kind.subtypes]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own."""
    before = os.environ.get("VLCLI_HOME")
    os.environ["VLCLI_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    os.environ.pop("VLCLI_HOME") if before is None else os.environ.__setitem__("VLCLI_HOME", before)


def test_categories_and_names() -> None:
    assert len(KINDS) >= 20
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(len(kind.subtypes) == 3 for kind in KINDS)
    names = [subtype for _, subtype in SUBTYPES]
    assert len(set(names)) == len(names)
    assert not {name for kind, name in SUBTYPES if name == kind.family}
    endings = [ending for kind in KINDS for ending in kind.subtypes.values()]
    assert len(set(endings)) == len(endings)


@pytest.mark.parametrize(("kind", "subtype"), SUBTYPES, ids=[subtype for _, subtype in SUBTYPES])
def test_every_subtype_builds_a_sound_mesh(kind: Kind, subtype: str) -> None:
    heights = []
    for size in kind.builds:
        shape = build(Thing(kind, subtype, 0, size, "red", 5))
        assert shape.faces is not None
        assert np.isfinite(shape.vertices).all()
        assert shape.faces.min() >= 0
        assert shape.faces.max() == len(shape.vertices) - 1
        assert shape.vertex_colours is not None
        assert shape.vertex_colours.shape == shape.vertices.shape
        cloud = from_shape(shape, subtype, 1024)
        assert cloud.colours is not None
        reddish = (cloud.colours[:, 0] > cloud.colours[:, 1:].max(axis=1) + 0.4).mean()
        assert reddish > 0.1, "the named colour is hardly to be seen"
        assert cloud.points.shape == (1024, 3)
        assert np.linalg.norm(cloud.points, axis=1).max() == pytest.approx(1, abs=1e-5)
        heights.append(cloud.points)
    # The two builds differ after scaling to the unit sphere.
    spread = [np.concatenate([points.std(axis=0), np.quantile(np.abs(points), 0.9, axis=0)]) for points in heights]
    assert np.abs(spread[0] - spread[1]).max() > 0.01


def test_subtypes_differ_in_shape() -> None:
    """No two sub-types of a category have the same silhouette statistics."""
    for kind in KINDS:
        clouds = [
            cloud_of(Thing(kind, subtype, 0, kind.builds[0], "red", 0), points=2048).points for subtype in kind.subtypes
        ]
        marks = [np.concatenate([np.sort(points, axis=0)[::64].ravel()]) for points in clouds]
        for one in range(3):
            for other in range(one):
                assert np.abs(marks[one] - marks[other]).max() > 0.05, (kind.name, one, other)


def test_the_world_is_the_same_every_time() -> None:
    one, two = ShapesDataset(size=70, seed=3), ShapesDataset(size=70, seed=3)
    assert one.examples == two.examples
    file = one[0].sources["pointclouds"].path
    assert file is not None
    content = file.read_bytes()
    file.unlink()
    ShapesDataset(size=70, seed=3)
    assert file.read_bytes() == content
    other = ShapesDataset(size=70, seed=4)
    assert not {e.id for e in one.examples} & {e.id for e in other.examples}
    # What the numbers draw is frozen: a change of it needs a new VERSION.
    thing = things_of(KINDS[0], 3, tuple(COLOURS), 0)[0]
    assert thing.name == "0-cube-0000-high-pink"
    assert np.ptp(build(thing).vertices, axis=0) == pytest.approx([0.9413, 1.0863, 1.0549], abs=2e-3)


def test_splits_are_by_object_and_even() -> None:
    data = ShapesDataset(size=630, categories=["chair", "box", "ring"], seed=1)
    check_dataset(data, modalities=["pointclouds", "images"])
    assert Counter(e.split for e in data.examples) == {"train": 438, "val": 96, "test": 96}
    by_subtype = Counter((e.metadata["subtype"], e.split) for e in data.examples)
    assert {by_subtype[subtype, "test"] for kind in data.kinds for subtype in kind.subtypes} <= {10, 11}
    parts = {split: {e.sources["pointclouds"].path for e in data.examples if e.split == split}
             for split in ("train", "val", "test")}  # fmt: skip
    assert not parts["train"] & parts["test"]
    assert not parts["train"] & parts["val"]
    other = ShapesDataset(size=630, categories=["chair", "box", "ring"], seed=1, split_seed=9)
    assert {e.id for e in other.examples} == {e.id for e in data.examples}
    assert {e.id for e in other.examples if e.split == "test"} != {e.id for e in data.examples if e.split == "test"}
    assert len(ShapesDataset(size=630, categories=["chair"], split="val")) == 94


def test_builds_and_colours_are_balanced() -> None:
    things = things_of(KINDS[0], 3 * 18, tuple(COLOURS), 7)
    assert set(Counter((thing.subtype, thing.size) for thing in things).values()) == {9}
    assert set(Counter((thing.subtype, thing.colour) for thing in things).values()) == {2}


def test_unseen_categories_share_no_object_with_a_world_that_trains_on_them() -> None:
    names = ["chair", "box", "ring", "star"]
    hidden = ShapesDataset(size=240, categories=names, unseen=["star", "ring"])
    whole = ShapesDataset(size=240, categories=names)
    counts = Counter((e.label, e.split) for e in hidden.examples)
    assert {split for (label, split) in counts if label in ("star", "ring")} == {"unseen"}
    assert counts["star", "unseen"] == 9
    assert counts["chair", "train"] == 42
    unseen = {e.id for e in hidden.examples if e.split == "unseen"}
    assert unseen == {e.id for e in whole.examples if e.split == "test" and e.label in ("star", "ring")}
    assert len(ShapesDataset(size=240, categories=names, unseen=["star"], split="unseen")) == 9


def test_texts() -> None:
    data = ShapesDataset(size=420)
    captions: dict[str, set[str]] = {}
    for example in data.examples:
        short, dense = example.captions
        assert short == example.metadata["caption"]
        assert dense.startswith(short)
        assert f" {example.metadata['colour']} {example.metadata['subtype']}" in short
        captions.setdefault(short, set()).add(example.metadata["subtype"])
        assert example.label == example.metadata["category"]
        assert example.metadata["hierarchy"].split(" > ") == [
            example.metadata[name] for name in ("family", "category", "subtype")]  # fmt: skip
    assert all(len(subtypes) == 1 for subtypes in captions.values())
    assert ShapesDataset(size=35, captions="short")[0].captions == (ShapesDataset(size=35)[0].captions[0],)
    chair = Thing(next(kind for kind in KINDS if kind.name == "chair"), "armchair", 0, "low", "orange", 0)
    assert chair.caption == "a low orange armchair"
    assert chair.description == "a low orange armchair, a chair, with a deep cushion and two wide arms"
    assert Thing(KINDS[1], "egg", 0, "upright", "red", 0).caption == "an upright red egg"


def test_levels() -> None:
    def labels(level: shapes.Level) -> set[str | None]:
        return {example.label for example in ShapesDataset(size=105, level=level).examples}

    assert labels("category") == {kind.name for kind in KINDS}
    assert labels("family") == {kind.family for kind in KINDS}
    assert labels("subtype") == {subtype for _, subtype in SUBTYPES}


def test_poses() -> None:
    thing = Thing(KINDS[0], "long box", 2, "low", "red", 0)
    aligned, upright, free = (build(thing, pose).vertices for pose in ("aligned", "upright", "any"))
    assert np.ptp(aligned[:, 2]) > 2 * np.ptp(aligned[:, 0])  # long towards the viewer
    assert np.allclose(np.sort(aligned[:, 1]), np.sort(upright[:, 1]))
    assert not np.allclose(aligned, upright)
    assert not np.allclose(np.sort(free[:, 1]), np.sort(aligned[:, 1]))
    lengths = [np.linalg.norm(points - points.mean(axis=0), axis=1) for points in (aligned, upright, free)]
    assert np.allclose(lengths[0], lengths[1])
    assert np.allclose(lengths[0], lengths[2])


def test_files_are_read_by_the_modality() -> None:
    modality = PointcloudsModality()
    mesh = ShapesDataset(size=3, categories=["mug"], pose="aligned")
    for example in mesh.examples:
        cloud = modality.load(example.sources["pointclouds"])
        assert cloud.faces is not None
        assert cloud.colours is not None
        assert len(cloud) == 8192
    points = ShapesDataset(size=3, categories=["mug"], pose="aligned", points=512)
    cloud = modality.load(points[0].sources["pointclouds"])
    assert len(cloud) == 512
    assert cloud.faces is None
    assert cloud.normals is not None
    assert cloud.colours is not None


def test_pictures() -> None:
    data = ShapesDataset(size=3, categories=["car"], views=2)
    assert len(data) == 6
    assert len({example.id for example in data.examples}) == 6
    for example in data.examples:
        path = example.sources["images"].path
        assert path is not None
        with Image.open(path) as picture:
            assert picture.size == (shapes.PICTURE, shapes.PICTURE)
            pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        assert len(np.unique(pixels, axis=0)) > 10
    assert data[0].metadata["azimuth"] != data[1].metadata["azimuth"]


def test_errors() -> None:
    with pytest.raises(VlcliError, match=r"D750.*did you mean 'chair'"):
        ShapesDataset(categories=["chiar"])
    with pytest.raises(VlcliError, match="D750"):
        ShapesDataset(unseen=["unicorn"])
    with pytest.raises(VlcliError, match=r"D751.*did you mean 'orange'"):
        ShapesDataset(colours=["ornage"])
    with pytest.raises(VlcliError, match="D752"):
        ShapesDataset(size=2, split="test")


def test_registered_with_options() -> None:
    registry = load_plugins().registry
    data = registry.build("dataset", "pointclouds/shapes", {"size": 6, "categories": ["box"], "colours": ["red"]})
    assert {example.metadata["colour"] for example in data.examples} == {"red"}
    defaults = ShapesOptions()
    assert len(KINDS) * 20 <= defaults.size
    for name in ("modelnet", "h5", "shapenetpart"):
        with pytest.raises(VlcliError, match="D754"):
            registry.build("dataset", f"pointclouds/{name}", {"path": str(Path("/nowhere/at/all"))})
