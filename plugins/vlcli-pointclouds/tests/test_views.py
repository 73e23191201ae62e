"""Views: what they show, from where, and that the cache gives back what was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vlcli_pointclouds import views
from vlcli_pointclouds.cloud import PointCloud, from_shape
from vlcli_pointclouds.data.parts import block, lathe
from vlcli_pointclouds.shape import Shape


def cloud_of(points: np.ndarray, colours: np.ndarray | None = None) -> PointCloud:
    """A cloud as it stands, neither centred nor scaled."""
    return PointCloud(points.astype(np.float32), colours=None if colours is None else colours.astype(np.float32))


def spots() -> PointCloud:
    """Red in front (+z), green to the right (+x), blue above."""
    places = np.array([[0, 0, 0.8], [0.8, 0, 0], [0, 0.8, 0]])
    random = np.random.default_rng(0)
    points = np.concatenate([place + 0.03 * random.normal(size=(200, 3)) for place in places])
    return cloud_of(points, np.repeat(np.eye(3), 200, axis=0))


def middle_of(picture: np.ndarray, channel: int) -> tuple[float, float]:
    """Column and row, 0…1, of the pixels in which a channel is much stronger than the others."""
    others = np.delete(picture.astype(int), channel, axis=2).max(axis=2)
    rows, columns = np.nonzero(picture[:, :, channel].astype(int) > others + 40)
    return float(columns.mean()) / len(picture), float(rows.mean()) / len(picture)


def test_azimuths_go_round() -> None:
    front, quarter, back = views.render_views(spots(), [0, 7, 15], ["rgb"] * 3, 96, elevation=0)
    for picture, channel, column, row in ((front, 0, 0.5, 0.5), (front, 1, 0.88, 0.5), (front, 2, 0.5, 0.12),
                                          (back, 1, 0.12, 0.5)):  # fmt: skip
        assert middle_of(picture, channel) == pytest.approx((column, row), abs=0.04)
    # From 84 degrees, nearly the right, the green spot is in front and the red one on the left.
    assert middle_of(quarter, 0)[0] < 0.2
    assert middle_of(quarter, 1)[0] == pytest.approx(0.54, abs=0.05)
    assert np.array_equal(views.render_views(spots(), [-7, 30], ["rgb"] * 2, 32),
                          views.render_views(spots(), [23, 0], ["rgb"] * 2, 32))  # fmt: skip


def test_elevation_lifts_the_camera() -> None:
    low, high = (views.render_views(spots(), [0], ["rgb"], 96, elevation=lift)[0] for lift in (0, 60))
    assert middle_of(high, 0)[1] > middle_of(low, 0)[1] + 0.2


def test_nearer_points_hide_others() -> None:
    random = np.random.default_rng(1)
    sheet = random.uniform(-0.6, 0.6, (4000, 2))
    points = np.concatenate([np.column_stack([sheet, np.full(4000, z)]) for z in (-0.5, 0.5)])
    colours = np.repeat([[1.0, 0, 0], [0, 0, 1.0]], 4000, axis=0)
    order = random.permutation(8000)
    shown = cloud_of(points[order], colours[order])
    picture = views.render_views(shown, [0], ["rgb"], 64, elevation=0)[0]
    assert (picture[28:36, 28:36, 2] > picture[28:36, 28:36, 0]).all()
    behind = views.render_views(shown, [15], ["rgb"], 64, elevation=0)[0]
    assert (behind[28:36, 28:36, 0] > behind[28:36, 28:36, 2]).all()


def test_depth_is_bright_where_near() -> None:
    points = np.array([[-0.5, 0, 0.8], [0.5, 0, -0.8]])
    depth = views.render_views(cloud_of(points), [0], ["depth"], 64, elevation=0)[0]
    assert (depth == depth[:, :, :1]).all()
    assert depth[:, :32].max() > 220
    assert 60 <= depth[:, 32:].max() < 90
    assert (depth[:10] == 0).all()


def test_kinds_are_paired_with_azimuths() -> None:
    cloud = spots()
    pictures = views.render_views(cloud, [3, 3], ["rgb", "depth"], 32)
    assert pictures.shape == (2, 32, 32, 3)
    assert pictures.dtype == np.uint8
    assert np.array_equal(pictures[1], views.render_views(cloud, [3], ["depth"], 32)[0])
    assert views.render_views(cloud, [], [], 32).shape == (0, 32, 32, 3)
    with pytest.raises(ValueError, match="one kind a view"):
        views.render_views(cloud, [1, 2], ["rgb"])
    with pytest.raises(ValueError, match="unknown kind"):
        views.render_views(cloud, [1], ["normals"])  # type: ignore[list-item]


def test_surfaces_are_closed_and_shaded() -> None:
    part = block(1, 1, 1)
    cube = from_shape(Shape(part.vertices, part.faces))
    picture = views.render_views(cube, [4], ["rgb"], 64)[0].astype(int)
    ground = (picture == np.array(views.GROUND)).all(axis=2)
    rows = [np.nonzero(~row)[0] for row in ground]
    holes = sum(row[-1] - row[0] + 1 - len(row) for row in rows if len(row))
    assert holes == 0
    tones = np.unique(picture[~ground][:, 0] // 12)
    assert len(tones) >= 3  # three sides of a cube differ
    plain = PointCloud(cube.points)
    assert len(np.unique(views.render_views(plain, [4], ["rgb"], 64)[0][~ground][:, 0])) > 3


def test_depth_maps_show_the_six_sides() -> None:
    part = lathe([(0, 0), (1, 0), (0, 2)])
    cone = from_shape(Shape(part.vertices, part.faces))
    maps = views.depth_maps(cone.points, 64)
    assert maps.shape == (6, 64, 64)
    assert maps.dtype == np.uint8
    widths = [(picture > 0).any(axis=0).sum() for picture in maps]
    assert max(widths) - min(widths) <= 2
    for side in maps[:4]:
        # A triangle, as from the side: its rows grow from the tip down.
        rows = [count for count in (side > 0).sum(axis=1) if count]
        assert rows[0] <= 4
        assert rows[-2] > 20
        assert rows[len(rows) // 2] == pytest.approx(rows[-2] / 2, abs=4)
    top, bottom = maps[4:]
    assert int(top[32, 32]) > int(top[32, 12])  # the tip is nearest
    flat = bottom[bottom > 0].astype(int)
    assert flat.max() - np.median(flat) <= 3  # the base is a plane


def test_points_beyond_the_picture_are_left_out() -> None:
    maps = views.depth_maps(np.array([[50.0, 0, 0], [-50, 0, 0], [0, 0, 0.5]]), 32)
    assert (maps[0][:, :8] == 0).all()
    assert (maps[0][:, -8:] == 0).all()
    assert maps[0].max() > 0


def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path))
    cloud = spots()
    drawn = views.all_views(cloud, 16)
    assert drawn.shape == (2, 30, 16, 16, 3)
    assert np.array_equal(drawn[1, 4], views.render_views(cloud, [4], ["depth"], 16)[0])
    (file,) = tmp_path.rglob("*.npz")
    monkeypatch.setattr(views, "render_views", lambda *_: pytest.fail("drawn again"))
    assert np.array_equal(views.all_views(cloud, 16), drawn)
    monkeypatch.undo()
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path))
    for damage in (b"", b"PK\x03\x04 cut short", file.read_bytes()[:300]):
        file.write_bytes(damage)
        assert np.array_equal(views.all_views(cloud, 16), drawn)
    assert len(list(tmp_path.rglob("*.npz"))) == 1
