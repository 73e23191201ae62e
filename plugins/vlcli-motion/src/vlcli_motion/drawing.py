"""Pictures of motions: strips of stick figures, animated GIFs, and the data of the view that plays in a page.

The person's left limbs are blue and the right ones orange; what is farther away is paler. The line on the ground is
where the body went.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vlcli.runtime.files import write_atomic
from vlcli_motion.motion import Motion

PAPER, GROUND, PATH = (252, 251, 248), (226, 224, 217), (150, 148, 142)
LEFT, RIGHT, MIDDLE = (36, 99, 196), (221, 105, 28), (66, 66, 72)
TURN, TILT = -48.0, 12.0
"""Degrees from which a motion is seen: from its front right, a little from above."""
SUPERSAMPLE = 3
VIEW_FPS, VIEW_BYTES = 10.0, 60_000
MOST_GIF_FRAMES = 400
"""A longer motion is drawn with fewer frames a second."""
LONG_WAY = 4.0
"""Metres; who goes farther is followed by the camera of an animation."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A parallel projection.

    Attributes:
        scale: pixels a metre.
        across, down: where the point `centre` on the ground comes to lie, pixels.
        centre: (x, z) in metres.
        turn, tilt: degrees.
    """

    scale: float
    across: float
    down: float
    centre: tuple[float, float] = (0.0, 0.0)
    turn: float = TURN
    tilt: float = TILT

    def project(self, points: NDArray[Any]) -> tuple[Floats, Floats]:
        """Points `[..., 3]` to pixels `[..., 2]`, and how near they are `[...]` in metres, larger is nearer."""
        yaw, tilt = np.radians(self.turn), np.radians(self.tilt)
        x, y, z = np.moveaxis(np.asarray(points, float), -1, 0)
        x, z = x - self.centre[0], z - self.centre[1]
        # The camera stands at the angle `turn` from +z towards +x, so with 0 the person's left is at the right.
        side, near = np.cos(yaw) * x - np.sin(yaw) * z, np.sin(yaw) * x + np.cos(yaw) * z
        height = np.cos(tilt) * y - np.sin(tilt) * near
        return np.stack([self.across + self.scale * side, self.down - self.scale * height], -1), near


def colour_of(joint: str) -> tuple[int, int, int]:
    """The colour of the bone that ends in a joint of this name."""
    return LEFT if joint.startswith("left") else RIGHT if joint.startswith("right") else MIDDLE


def paler(colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """A colour on its way to the paper's."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, PAPER, strict=True))
    return red, green, blue


def draw_figure(draw: ImageDraw.ImageDraw, motion: Motion, frame: int, camera: Camera, fade: float = 0.0) -> None:
    """One pose with its shadow, the farthest bones first."""
    joints = motion.joints[frame]
    points, near = camera.project(joints)
    flat = joints.copy()
    flat[:, 1] = 0
    shadow, _ = camera.project(flat)
    width = max(1.0, camera.scale * 0.035)
    for parent, joint in motion.bones.bones:
        draw.line([tuple(shadow[parent]), tuple(shadow[joint])], paler(GROUND, fade), round(width * 1.4))
    reach = max(0.25, float(np.ptp(near)) / 2)
    middle = float(near.mean())
    order = sorted(motion.bones.bones, key=lambda bone: near[bone[0]] + near[bone[1]])
    for parent, joint in order:
        depth = float((near[parent] + near[joint]) / 2 - middle) / reach
        shade = min(0.85, max(0.0, 0.18 - 0.2 * depth) + fade)
        fill = paler(colour_of(motion.bones.joints[joint]), shade)
        thick = width * (1.0 + 0.18 * depth)
        draw.line([tuple(points[parent]), tuple(points[joint])], fill, max(1, round(thick)))
        for end in (points[parent], points[joint]):
            disc(draw, end, thick / 2, fill)
    head = head_of(motion)
    neck = motion.bones.parents[head]
    up = joints[neck] - joints[0]
    crown = (joints[head] + joints[neck]) / 2 + 0.13 * up / max(float(np.linalg.norm(up)), 1e-6)
    centre, _ = camera.project(crown)
    disc(draw, centre, camera.scale * 0.1, paler(MIDDLE, 0.12 + fade))


def head_of(motion: Motion) -> int:
    """The joint that carries the head."""
    names = motion.bones.joints
    return names.index("head" if "head" in names else "upper_neck")


def disc(draw: ImageDraw.ImageDraw, centre: NDArray[Any], radius: float, fill: tuple[int, int, int]) -> None:
    """A filled circle."""
    x, y = float(centre[0]), float(centre[1])
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill)


def draw_path(draw: ImageDraw.ImageDraw, motion: Motion, until: int, camera: Camera) -> None:
    """Where the root went, on the ground, up to a frame."""
    ground = motion.joints[: until + 1, 0].astype(float)
    ground[:, 1] = 0
    points, _ = camera.project(ground)
    if len(points) > 1:
        draw.line([tuple(point) for point in points], PATH, max(1, round(camera.scale * 0.014)), joint="curve")


def frames_of_strip(motion: Motion, poses: int) -> list[int]:
    """Frames at equal steps, first and last among them."""
    count = min(poses, motion.frames)
    return [round(value) for value in np.linspace(0, motion.frames - 1, count)] if count > 1 else [0]


def strip(motion: Motion, size: int = 256, poses: int = 0, rows: int = 1) -> Image.Image:
    """Poses side by side in the order of time, like words on a page.

    Args:
        motion: what is drawn.
        size: width in pixels; the height is at most the same.
        poses: how many; by default as many as are legible, at most 8 a row.
        rows: of the picture.
    """
    columns = -(-poses // rows) if poses else max(3, min(8, size // 52))
    frames = frames_of_strip(motion, poses or columns * rows)
    rows = -(-len(frames) // columns)
    side = size * SUPERSAMPLE
    cell = side / min(columns, len(frames))
    # A person with arms stretched out takes 1.3 m of width; a tall pose is kept inside too.
    flat = motion.joints - motion.joints[:, :1] * np.array([1, 0, 1], np.float32)
    spread, _ = Camera(1.0, 0.0, 0.0).project(flat[frames])
    wide = max(1.05, float(np.quantile(np.abs(spread[..., 0]).max(-1), 0.9)) * 2 * 1.04)
    top, bottom = float(-spread[..., 1].min()) + 0.27, float(max(0.0, spread[..., 1].max())) + 0.12
    scale = min(cell / wide, side / rows / (top + bottom))
    tall = round((top + bottom) * scale)
    image = Image.new("RGB", (side, tall * rows), PAPER)
    draw = ImageDraw.Draw(image)
    for number, frame in enumerate(frames):
        row, column = divmod(number, columns)
        base = tall * row + top * scale
        if column == 0:
            draw.rectangle((0, base + 0.02 * scale, side, base + 0.03 * scale), GROUND)
        root = motion.joints[frame, 0]
        camera = Camera(scale, cell * (column + 0.5), base, (float(root[0]), float(root[2])))
        # A path that is long ends at the edge of its own part of the picture.
        part = (round(cell * column), tall * row, round(cell * (column + 1)), tall * (row + 1))
        pane = image.copy()
        draw_path(ImageDraw.Draw(pane), motion, frame, camera)
        image.paste(pane.crop(part), part[:2])
        draw_figure(draw, motion, frame, camera)
    return image.resize((size, max(1, round(tall * rows / SUPERSAMPLE))), Image.Resampling.LANCZOS)


def strip_png(motion: Motion, size: int = 256, poses: int = 0, rows: int = 1) -> bytes:
    """A strip as PNG, `size` pixels wide and at most as high."""
    return png(strip(motion, size, poses, rows))


def preview_png(motion: Motion, size: int = 256) -> bytes:
    """Six poses in two rows as PNG, at most `size` pixels a side: it fills the square of a card."""
    return strip_png(motion, size, 6, 2)


def png(image: Image.Image) -> bytes:
    """A picture as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def animation_step(motion: Motion, fps: float) -> int:
    """Every how many frames are drawn: by `fps`, and fewer where there would be too many."""
    return max(1, round(motion.fps / fps), -(-motion.frames // MOST_GIF_FRAMES))


def animation_frames(motion: Motion, size: int = 240, fps: float = 10.0) -> list[Image.Image]:
    """The frames of an animation, `size` pixels square.

    The camera stands still and sees all of the way; where that is too long, it goes along with the root.
    """
    side = size * 2
    follows = bool(np.ptp(motion.joints[..., [0, 2]].reshape(-1, 2), axis=0).max() > LONG_WAY)
    roots = motion.joints[:, 0] * np.array([1, 0, 1], np.float32) if follows else np.zeros((motion.frames, 3))
    spread, _ = Camera(1.0, 0.0, 0.0).project(motion.joints - roots[:, None])
    low = spread.reshape(-1, 2).min(0) - np.array([0.15, 0.32])
    high = spread.reshape(-1, 2).max(0) + 0.15
    scale = side / float(max(high - low))
    across, down = side / 2 - scale * (low + high) / 2
    images = []
    for frame in range(0, motion.frames, animation_step(motion, fps)):
        x, z = float(roots[frame, 0]), float(roots[frame, 2])
        camera = Camera(scale, float(across), float(down), (x, z))
        image = Image.new("RGB", (side, side), PAPER)
        draw = ImageDraw.Draw(image)
        around = motion.joints[frame, 0, [0, 2]] if follows else motion.joints[..., [0, 2]].reshape(-1, 2)
        draw_grid(draw, ground_corners(around, 2.0 if follows else 0.3), camera)
        draw_path(draw, motion, frame, camera)
        draw_figure(draw, motion, frame, camera)
        images.append(image.resize((size, size), Image.Resampling.LANCZOS))
    return images


def ground_corners(places: NDArray[Any], margin: float) -> tuple[int, int, int, int]:
    """Half metres around places `[..., 2]` (x, z): least and largest x, least and largest z."""
    flat = places.reshape(-1, 2)
    low, high = np.floor((flat.min(0) - margin) * 2), np.ceil((flat.max(0) + margin) * 2)
    return int(low[0]), int(high[0]), int(low[1]), int(high[1])


def draw_grid(draw: ImageDraw.ImageDraw, corners: tuple[int, int, int, int], camera: Camera) -> None:
    """Lines on the ground, half a metre apart."""
    left, right, back, front = corners
    lines = [((x, back), (x, front)) for x in range(left, right + 1)]
    lines += [((left, z), (right, z)) for z in range(back, front + 1)]
    for ends in lines:
        points, _ = camera.project(np.array([[x / 2, 0, z / 2] for x, z in ends]))
        draw.line([tuple(point) for point in points], paler(GROUND, 0.35), max(1, round(camera.scale * 0.006)))


def gif_palette() -> Image.Image:
    """One palette for all frames, so that colours do not flicker: the colours of drawing, in steps to the paper's."""
    colours = [paler(colour, step / 20) for colour in (LEFT, RIGHT, MIDDLE, PATH, GROUND) for step in range(20)]
    image = Image.new("P", (1, 1))
    # What is left of the 256 repeats the paper.
    image.putpalette([value for colour in colours for value in colour] + list(PAPER) * (256 - len(colours)))
    return image


def animation_gif(motion: Motion, path: Path | None = None, size: int = 240, fps: float = 10.0) -> bytes:
    """A looped GIF; also written to `path` when one is given.

    Args:
        motion: what is drawn.
        path: where the file goes.
        size: of its side in pixels.
        fps: frames a second; GIF counts in hundredths, so 10 and 20 are exact.
    """
    images = animation_frames(motion, size, fps)
    palette = gif_palette()
    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = io.BytesIO()
    step = animation_step(motion, fps)
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], loop=0, optimize=False,
                   duration=max(20, round(100 * step / motion.fps) * 10), disposal=1)  # fmt: skip
    if path is not None:
        write_atomic(path, buffer.getvalue())
    return buffer.getvalue()


def view_data(motion: Motion) -> dict[str, Any]:
    """What `viewer.js` plays: joints as 16-bit millimetres at 10 frames a second, at most some 60 kB.

    A longer motion is shown with fewer frames a second.
    """
    step = max(1, round(motion.fps / VIEW_FPS))
    most = VIEW_BYTES * 3 // 4 // (6 * motion.joints.shape[1]) - 1
    step = max(step, -(-motion.frames // most))
    joints = motion.joints[::step]
    millimetres = np.clip(np.rint(joints * 1000), -32767, 32767).astype("<i2")
    names: Sequence[str] = motion.bones.joints
    sides = [-1 if name.startswith("left") else int(name.startswith("right")) for name in names]
    return {
        "joints": base64.b64encode(millimetres.tobytes()).decode("ascii"),
        "count": len(names),
        "fps": round(motion.fps / step, 4),
        "parents": list(motion.bones.parents),
        "sides": sides,
        "head": head_of(motion),
    }
