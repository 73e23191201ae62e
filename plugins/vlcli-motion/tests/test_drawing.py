"""Pictures of motions: what is on them, their sizes, and the view that plays in a page."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vlcli_motion import drawing
from vlcli_motion.data.kinematics import act
from vlcli_motion.data.scripts import Move, Script
from vlcli_motion.motion import Motion
from vlcli_motion.skeleton import KIT

from vlcli.api import View
from vlcli.report.page import Card, Grid, Page, data_uri, render_page

PRESSES = """
const canvas = document.querySelector("canvas"), told = {};
canvas.setPointerCapture = function () {};
// Frames by a clock of its own: a browser without a screen draws them when it likes.
let clock = 0;
window.requestAnimationFrame = act => setTimeout(() => act(clock += 50), 10);
window.cancelAnimationFrame = clearTimeout;
const pixels = () => canvas.getContext("2d").getImageData(0, 0, 300, 300).data;
const look = () => pixels().join();
const wait = ms => new Promise(done => setTimeout(done, ms));
const press = key => canvas.dispatchEvent(new KeyboardEvent("keydown", { key: key }));
const point = (kind, x, y) => canvas.dispatchEvent(new PointerEvent(kind, { clientX: x, clientY: y }));
async function changed(act, ms = 60) { const before = look(); act(); await wait(ms); return look() !== before; }
(async function () {
  const place = canvas.getBoundingClientRect(), x = place.left, y = place.top;
  const running = start(canvas, DATA, true), all = pixels();
  let left = 0, right = 0;
  for (let i = 0; i < all.length; i += 4) {
    if (all[i + 2] - all[i] > 60) left++;
    if (all[i] - all[i + 2] > 60) right++;
  }
  told.left = left > 100; told.right = right > 100;
  told.waits = !(await changed(() => {}));
  told.next = await changed(() => press("ArrowRight"));
  told.turned = await changed(() => press("ArrowUp"));
  told.dragged = await changed(() => {
    point("pointerdown", x + 150, y + 100);
    point("pointermove", x + 200, y + 110);
    point("pointerup", x + 200, y + 110);
  }) && !(await changed(() => {}));
  told.scrubbed = await changed(() => {
    point("pointerdown", x + 60, y + 292); point("pointerup", x + 60, y + 292);
  }) && !(await changed(() => {}));
  point("pointerdown", x + 150, y + 100); point("pointerup", x + 150, y + 100);
  told.plays = await changed(() => {}, 300);
  press(" ");
  told.stops = !(await changed(() => {}));
  running.stop();
  document.querySelector("pre").textContent = JSON.stringify(told);
})();
"""


@pytest.fixture(scope="module")
def motion() -> Motion:
    return Motion(act(Script((Move("walk", "forward"), Move("wave", "right"))), 1))


def picture(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def inked(image: Image.Image) -> np.ndarray:
    """Where something darker than paper and ground is."""
    return np.asarray(image.convert("RGB")).min(-1) < 170


@pytest.mark.parametrize("size", [64, 256, 900])
def test_strips_have_the_size_asked_for(motion: Motion, size: int) -> None:
    image = picture(drawing.strip_png(motion, size))
    assert image.width == size and 10 < image.height <= size
    square = picture(drawing.preview_png(motion, size))
    assert square.width == size and 0.5 * size < square.height <= size


def test_every_pose_of_a_strip_is_drawn(motion: Motion) -> None:
    ink = inked(picture(drawing.strip_png(motion, 800, poses=8)))
    for column in range(8):
        assert ink[:, column * 100 : (column + 1) * 100].sum() > 150
    rows = picture(drawing.strip_png(motion, 400, poses=6, rows=3))
    assert rows.height > 2 * picture(drawing.strip_png(motion, 400, poses=6)).height


def test_sides_have_their_colours(motion: Motion) -> None:
    pixels = np.asarray(drawing.strip(motion, 600, 4)).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0]) > 80
    orange = (pixels[..., 0] - pixels[..., 2]) > 80
    assert blue.sum() > 200 and orange.sum() > 200
    mirrored = Motion(motion.joints[:, list(motion.bones.mirror)] * np.array([-1, 1, 1], np.float32))
    assert not np.array_equal(np.asarray(drawing.strip(mirrored, 600, 4)), pixels)


def test_poses_of_one_frame_and_of_other_skeletons() -> None:
    still = Motion(act(Script((Move("bow"),)), 1)[:1])
    assert inked(drawing.strip(still, 200)).any()
    joints = np.zeros((3, KIT.count, 3))
    for parent, joint in KIT.bones:
        joints[:, joint] = joints[:, parent] + KIT.rest[joint]
    joints[..., 1] -= joints[..., 1].min()
    kit = Motion(joints.astype(np.float32), 12.5, "kit")
    assert inked(drawing.strip(kit, 200)).any()
    assert drawing.view_data(kit)["count"] == 21
    assert drawing.animation_gif(kit)[:4] == b"GIF8"


def test_gifs_are_looped_and_keep_time(motion: Motion, tmp_path: Path) -> None:
    data = drawing.animation_gif(motion, tmp_path / "a.gif", size=120)
    assert (tmp_path / "a.gif").read_bytes() == data and len(data) < 200_000
    image = picture(data)
    frames = getattr(image, "n_frames", 1)
    assert image.size == (120, 120) and image.info["loop"] == 0
    seconds = frames * image.info["duration"] / 1000
    assert seconds == pytest.approx(motion.seconds, abs=0.15)
    shots = []
    for frame in (0, frames // 2, frames - 1):
        image.seek(frame)
        shots.append(np.asarray(image.convert("RGB")).copy())
    assert not np.array_equal(shots[0], shots[1]) and not np.array_equal(shots[1], shots[2])
    for shot in shots:
        assert ((shot[..., 2].astype(int) - shot[..., 0]) > 100).sum() > 20, "blue stays blue"
        ink = shot.min(-1) < 170
        assert ink.any() and not ink[0].any() and not ink[:, 0].any(), "all of the body is inside"


def test_gifs_of_long_motions_and_long_ways(motion: Motion) -> None:
    steps = np.zeros((3000, 1, 3), np.float32)
    steps[:, 0, 2] = np.linspace(0, 90, 3000)
    far = Motion(np.resize(motion.joints, (3000, 22, 3)) + steps)
    frames = drawing.animation_frames(far, 48)
    assert 300 < len(frames) <= 400
    heights = [np.ptp(np.nonzero(inked(frame).any(1))[0]) for frame in (frames[0], frames[-1])]
    assert min(heights) > 20, "the camera goes along: the figure is as tall at the end"
    assert drawing.animation_step(motion, 10) == 2 and drawing.animation_step(far, 10) == 8


def test_view_data_are_the_joints_in_millimetres(motion: Motion) -> None:
    data = drawing.view_data(motion)
    values = np.frombuffer(base64.b64decode(data["joints"]), "<i2").reshape(-1, data["count"], 3)
    assert np.abs(values / 1000 - motion.joints[::2]).max() < 6e-4
    assert data["fps"] == 10 and data["parents"][0] == -1
    assert [side for side in data["sides"] if side] and data["sides"][1] == -1 and data["sides"][2] == 1
    assert json.loads(json.dumps(data)) == data


def test_view_data_of_long_motions_stay_small(motion: Motion) -> None:
    long = Motion(np.tile(motion.joints, (40, 1, 1)))
    data = drawing.view_data(long)
    assert len(json.dumps(data)) < 62_000
    shown = len(base64.b64decode(data["joints"])) / 6 / data["count"] / data["fps"]
    assert shown == pytest.approx(long.seconds, rel=0.05)


def test_a_browser_plays_the_view(motion: Motion, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium is installed: the viewer was not run")
    card = Card("walk", data_uri(drawing.preview_png(motion, 128), "image/png"), alt="walk",
                view=View("vlcli_motion:viewer.js", drawing.view_data(motion)))  # fmt: skip
    page = tmp_path / "page.html"
    page.write_text(render_page(Page("x", [Grid([card])])))
    options = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=4000", "--window-size=500,500"]  # fmt: skip

    def show(pattern: str) -> tuple[re.Match[str] | None, str]:
        # The browser's budget of time may end before its first frame on a loaded machine: then it is asked again.
        for _ in range(4):
            shown = subprocess.run(
                [*options, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
            ).stdout
            found = re.search(pattern, shown, re.DOTALL)
            if found is not None:
                break
        return found, shown

    canvas, _ = show(r"<canvas[^>]*>")
    assert canvas is not None and 'title="Click or space' in canvas[0] and 'aria-label="walk"' in canvas[0]
    # The viewer by itself, on a page that presses its keys and tells how the picture changed.
    viewer = resources.files("vlcli_motion").joinpath("viewer.js").read_text()
    page.write_text(
        "<canvas width=300 height=300></canvas><pre></pre><script>let start; const vlcli = { viewer: f => start = f };"
        f"</script><script>{viewer}</script><script>{PRESSES.replace('DATA', json.dumps(drawing.view_data(motion)))}"
        "</script>"
    )
    told, shown = show(r"<pre>(.+?)</pre>")
    assert told is not None, shown[:2000]
    assert json.loads(html.unescape(told[1])) == {
        "left": True, "right": True, "waits": True, "next": True, "turned": True, "dragged": True, "scrubbed": True,
        "plays": True, "stops": True,
    }  # fmt: skip
