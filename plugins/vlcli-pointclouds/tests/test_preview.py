"""Pictures and page views of shapes."""

from __future__ import annotations

import base64
import io
import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from vlcli_pointclouds.cloud import PointCloud, from_shape
from vlcli_pointclouds.page_view import MOST_TRIANGLES, SCRIPT, view_of
from vlcli_pointclouds.preview import PAPER, cover, preview_png, views_png
from vlcli_pointclouds.shape import Shape

from vlcli.report.page import Card, Grid, Page, render_page

BACKGROUND = np.array(PAPER)


def cloud_of(mesh: trimesh.Trimesh, *, colours: np.ndarray | None = None, points: bool = False) -> PointCloud:
    shape = Shape(np.asarray(mesh.vertices), None if points else np.asarray(mesh.faces), vertex_colours=colours)
    return from_shape(shape)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def drawn(picture: np.ndarray) -> np.ndarray:
    """Where something is drawn."""
    return np.abs(picture - BACKGROUND).sum(axis=2) > 20


SPHERE = trimesh.creation.icosphere(subdivisions=3)


@pytest.mark.parametrize("size", [32, 64, 119, 120, 256, 500])
def test_sizes(size: int) -> None:
    picture = pixels(preview_png(cloud_of(SPHERE), size))
    assert picture.shape == (size, size, 3)
    large = drawn(picture)[: size - size // 4] if size >= 120 else drawn(picture)
    height, width = large.shape
    radius = min(height, width) / 1.08 / 2
    assert abs(large.sum() - np.pi * radius**2) < 0.06 * np.pi * radius**2 + 6 * radius
    if size >= 120:
        strip = drawn(picture)[size - size // 4 :]
        counts = [strip[:, number * (size // 4) : (number + 1) * (size // 4)].sum() for number in range(4)]
        assert min(counts) > 0.5 * (size // 4) ** 2


def test_no_holes_and_shading() -> None:
    """A sphere is drawn closed, bright towards the light, above and left, and dark on the other side."""
    picture = pixels(preview_png(cloud_of(SPHERE), 256))[:192]
    rows, columns = np.nonzero(drawn(picture))
    inside = (rows - 96) ** 2 + (columns - 128) ** 2 < 80**2
    disc = np.hypot(*np.mgrid[-96:96, -128:128]) < 80
    assert inside.sum() >= disc.sum() * 0.999
    brightness = picture.sum(axis=2)
    assert brightness[56, 100] > brightness[136, 156] + 60


def test_colours_are_drawn() -> None:
    red = np.tile([1.0, 0, 0], (len(SPHERE.vertices), 1))
    for points in (False, True):
        picture = pixels(preview_png(cloud_of(SPHERE, colours=red, points=points), 128))
        seen = picture[drawn(picture)]
        assert np.median(seen[:, 0]) > np.median(seen[:, 1]) + 80


def test_the_front_hides_the_back() -> None:
    """A blue wall behind a red one, seen from the front."""
    wall = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    vertices = np.concatenate([wall, wall - [0, 0, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    colours = np.repeat([[1.0, 0, 0], [0, 0, 1]], 4, axis=0)
    picture = pixels(preview_png(from_shape(Shape(vertices, faces, vertex_colours=colours)), 256))
    front = picture[200:248, 8:56].mean(axis=(0, 1))
    back = picture[200:248, 136:184].mean(axis=(0, 1))
    assert front[0] > 3 * front[2] and back[2] > 3 * back[0]


@pytest.mark.parametrize(
    "vertices",
    [[[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 1e-3, 0], [0, 0, 1]], [[-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]],
)
def test_few_points(vertices: list[list[float]]) -> None:
    cloud = from_shape(Shape(np.array(vertices, dtype=np.float64)))
    assert drawn(pixels(preview_png(cloud, 128))).any()
    assert view_of(cloud).data["radius"] > 0


def test_same_picture_each_time() -> None:
    assert preview_png(cloud_of(SPHERE)) == preview_png(cloud_of(SPHERE))


def test_views() -> None:
    box = cloud_of(trimesh.creation.box((1, 0.5, 0.1)))
    picture = pixels(views_png(box, 6, size=64))
    assert picture.shape == (128, 256, 3)
    assert drawn(picture[:64, :64]).any() and not drawn(picture[64:, 128:]).any()


def test_covering_is_even() -> None:
    """Each cell of a square that two triangles make gets its share of points."""
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    painted = cover(square, np.array([[0, 1, 2], [0, 2, 3]], np.int32), None, 6400)
    counts, *_ = np.histogram2d(painted.points[:, 0], painted.points[:, 1], bins=16, range=[[0, 1], [0, 1]])
    assert counts.min() >= 15 and counts.max() <= 35 and np.isclose(painted.area, 1)


def decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def test_view_of_a_small_mesh() -> None:
    cloud = cloud_of(SPHERE, colours=np.tile([0.0, 1, 0], (len(SPHERE.vertices), 1)))
    view = view_of(cloud)
    assert view.script == SCRIPT and set(view.data) == {"vertices", "faces", "colours"}
    vertices = decoded(view.data["vertices"], "<i2").reshape(-1, 3) / 32_000
    faces = decoded(view.data["faces"], "<u2").reshape(-1, 3)
    assert cloud.vertices is not None and cloud.faces is not None
    assert np.allclose(vertices[faces], cloud.vertices[cloud.faces] / max(1, np.abs(cloud.vertices).max()), atol=1e-4)
    assert np.array_equal(decoded(view.data["colours"], "u1").reshape(-1, 3), np.tile([0, 255, 0], (len(faces), 1)))


def test_view_of_points() -> None:
    large = trimesh.creation.icosphere(subdivisions=4)
    assert len(large.faces) > MOST_TRIANGLES
    data = view_of(cloud_of(large)).data
    assert set(data) == {"points", "normals", "radius"}
    points = decoded(data["points"], "<i2").reshape(-1, 3) / 32_000
    normals = decoded(data["normals"], "i1").reshape(-1, 3) / 127
    assert np.allclose(np.abs((points * normals).sum(axis=1)), 1, atol=0.06)
    bare = view_of(cloud_of(large, points=True)).data
    assert set(bare) == {"points", "radius"}


@pytest.mark.parametrize("triangles", [2, 1200, 3000, 40_000])
def test_views_are_small(triangles: int) -> None:
    """A card stays below 60 kB whatever the shape: here triangles that share no vertices, with colours."""
    random = np.random.default_rng(0)
    vertices = random.normal(size=(3 * triangles, 3))
    shape = Shape(vertices, np.arange(3 * triangles).reshape(-1, 3), vertex_colours=random.random((3 * triangles, 3)))
    for cloud in (from_shape(shape), from_shape(Shape(vertices, vertex_colours=shape.vertex_colours))):
        assert len(json.dumps(dict(view_of(cloud).data))) < 60_000


def test_page_holds_the_script_once() -> None:
    view = view_of(cloud_of(SPHERE))
    page = render_page(
        Page("shapes", [Grid([Card("a", "data:,", alt="a", view=view), Card("b", "data:,", view=view)])])
    )
    script = resources.files("vlcli_pointclouds").joinpath("viewer.js").read_text(encoding="utf-8")
    assert page.count(script.strip()) == 1
    assert "http://" not in script and "https://" not in script and "fetch(" not in script and "eval(" not in script


def test_viewer_runs(tmp_path: Path) -> None:
    """The script draws in a browser that is there: pixels appear, and appear elsewhere after keys."""
    import shutil
    import subprocess

    browser = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if browser is None:
        pytest.skip("no browser is installed")
    script = resources.files("vlcli_pointclouds").joinpath("viewer.js").read_text(encoding="utf-8")
    clouds = {
        "mesh": cloud_of(SPHERE),
        "points": cloud_of(SPHERE, points=True),
        "bar": cloud_of(trimesh.creation.box((2, 0.2, 0.2))),
    }
    data = json.dumps({name: dict(view_of(cloud).data) for name, cloud in clouds.items()})
    (
        tmp_path / "page.html"
    ).write_text(f"""<!doctype html><meta charset="utf-8"><body style="color:#222"><pre id="told"></pre><script>
const told = {{}}, starts = []; window.vlcli = {{ viewer: function (start) {{ starts.push(start); }} }};
window.requestAnimationFrame = function (draw) {{ return setTimeout(function () {{ draw(performance.now()); }}, 16); }};
window.onerror = function (message) {{ told.error = message; show(); }};
function show() {{ document.getElementById("told").textContent = JSON.stringify(told); }}
</script><script>{script}</script><script>
const data = {data};
function filled(canvas) {{
  const rows = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0, lowest = canvas.width, highest = 0;
  for (let i = 3; i < rows.length; i += 4) if (rows[i] > 128) {{
    const x = (i >> 2) % canvas.width; count++; lowest = Math.min(lowest, x); highest = Math.max(highest, x); }}
  return [count, highest - lowest];
}}
function key(canvas, name) {{ canvas.dispatchEvent(new KeyboardEvent("keydown", {{ key: name, cancelable: true }})); }}
for (const name of Object.keys(data)) {{
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 200; document.body.append(canvas);
  const running = starts[0](canvas, data[name], true); told[name] = [filled(canvas)];
  setTimeout(function () {{ for (let i = 0; i < 8; i++) key(canvas, "ArrowLeft"); }}, 50);
  setTimeout(function () {{ told[name].push(filled(canvas)); key(canvas, "-"); key(canvas, "-"); }}, 400);
  setTimeout(function () {{ told[name].push(filled(canvas)); running.stop(); show(); }}, 800);
}}
</script>""")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=3000", "--dump-dom", (tmp_path / "page.html").as_uri()]  # fmt: skip
    # The browser's budget of time may end before its first frame on a loaded machine: then it is asked again.
    for _ in range(4):
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if '<pre id="told">{' in result.stdout:
            break
    assert '<pre id="told">{' in result.stdout, f"the viewer told nothing: {result.stderr[-200:]}"
    told = json.loads(result.stdout.split('<pre id="told">')[1].split("</pre>")[0])
    assert "error" not in told
    for name in ("mesh", "points"):
        counts = [count for count, _ in told[name]]
        assert abs(counts[0] - np.pi * 96**2) < 6000 and abs(counts[1] - counts[0]) < 1500
        assert counts[2] < 0.7 * counts[1]
    widths = [width for _, width in told["bar"]]
    assert abs(widths[0] - widths[1]) > 20
