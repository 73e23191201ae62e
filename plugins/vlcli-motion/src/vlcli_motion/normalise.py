"""From joints as a file holds them to a `Motion`: units, the axis that points up, 20 frames a second, place."""

from __future__ import annotations

import numpy as np

from vlcli.errors import VlcliError
from vlcli_motion.features import bone_lengths, place
from vlcli_motion.motion import Motion
from vlcli_motion.rotations import Array
from vlcli_motion.skeleton import Skeleton

FPS = 20.0
MOST_FRAMES = 36_000
"""Half an hour at 20 frames a second, five minutes at 120."""
SLOWEST, FASTEST = 1.0, 1000.0
LARGEST = 1e7
UNITS = ((1.0, "metres"), (0.01, "centimetres"), (0.001, "millimetres"), (0.0254, "inches"), (0.056444, "CMU's units"))
"""Metres a unit. CMU's is 1 / 0.45 inches, as its documentation of ASF files says."""
LIKELY, POSSIBLE = (1.1, 2.3), (0.3, 5.0)
"""Heights in metres: of people, and of what may still be one (a child, a giant of a game)."""


def check_finite(values: np.ndarray, where: str, what: str) -> None:
    """Refuse numbers that no motion holds.

    Raises:
        VlcliError: D804.
    """
    if not np.isfinite(values).all():
        frame = int(np.argmin(np.isfinite(values.reshape(len(values), -1)).all(1)))
        raise VlcliError("D804", where, f"{what} of frame {frame + 1} are not all finite numbers", "mend or cut it")
    if values.size and float(np.abs(values).max()) > LARGEST:
        raise VlcliError("D804", where, f"{what} reach {float(np.abs(values).max()):.3g}, which no motion does")


def check_frames(count: int, where: str) -> None:
    """Refuse clips that are too short or too long.

    Raises:
        VlcliError: D802 too many frames, D813 fewer than two.
    """
    if count > MOST_FRAMES:
        raise VlcliError("D802", where, f"has {count:,} frames, more than the limit of {MOST_FRAMES:,}", "cut it")
    if count < 2:
        raise VlcliError("D813", where, f"has {count} frame{'s' * (count != 1)}; a motion needs two")


def check_rate(fps: float, where: str) -> float:
    """A number of frames a second that is possible.

    Raises:
        VlcliError: D806.
    """
    if not SLOWEST <= fps <= FASTEST:
        raise VlcliError("D806", where, f"has {fps:g} frames a second, not {SLOWEST:g} to {FASTEST:g}")
    return fps


def frame_times(count: int, fps: float, target: float = FPS) -> Array:
    """Where frames at the target rate lie, counted in frames of the source: from the first up to at most the last."""
    if abs(fps - target) < 0.005 * target:
        return np.arange(count).astype(np.float64)
    number = int((count - 1) / fps * target + 1e-6) + 1
    return np.asarray(np.minimum(np.arange(number) * (fps / target), count - 1))


def resample(values: Array, times: Array) -> Array:
    """Values `[T, …]` at fractional frames, linearly between neighbours."""
    before = np.minimum(times.astype(np.int64), len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    share = (times - before).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[before] * (1 - share) + values[after] * share)


def height_of(joints: Array, skeleton: Skeleton) -> float:
    """How tall the person of `[T, J, 3]` is, in the joints' unit: along leg, spine and head, plus the crown.

    Lengths of bones do not change with the pose, so somebody who crouches is not taken for a child.
    """
    lengths = np.median(bone_lengths(joints, skeleton), axis=0)
    head = skeleton.index("head" if skeleton.name == "humanml3d" else "upper_neck")
    ankle = skeleton.index("left_ankle")
    total = 0.0
    for joint in (head, ankle):
        while joint > 0:
            total += float(lengths[joint])
            joint = skeleton.parents[joint]
    return total * 1.12


def scale_of(height: float, where: str) -> tuple[float, str]:
    """Metres a unit for a person of this height in the file's unit, and the unit's name.

    Raises:
        VlcliError: D808 when no unit makes it a person.
    """
    for low, high in (LIKELY, POSSIBLE):
        for scale, unit in UNITS:
            if low <= height * scale <= high:
                return scale, unit
    if height > 0:
        return 1.7 / height, f"units of {1.7 / height:.3g} metres"
    raise VlcliError("D808", where, "all its joints lie in one point", "is it a motion of a whole body?")


def turn_up(joints: Array, up: str) -> Array:
    """Joints with the named axis upwards turned so that y is: x stays where it is."""
    return np.stack([joints[..., 0], joints[..., 2], -joints[..., 1]], axis=-1) if up == "z" else joints


def motion_of(
    joints: np.ndarray,
    fps: float,
    skeleton: Skeleton,
    notes: tuple[str, ...] = (),
    *,
    up: str = "y",
    where: str = "motion",
) -> Motion:
    """A `Motion` of joints `[T, J, 3]` in any usual unit: scaled to metres, 20 frames a second, placed.

    Positions between frames are taken linearly. What was changed is noted.

    Args:
        fps: of the joints.
        up: axis that points upwards, `y` or `z`.
        where: what messages call it.

    Raises:
        VlcliError: D802, D804, D806, D808 or D813 when it can not be a motion.
    """
    check_frames(len(joints), where)
    check_rate(fps, where)
    check_finite(joints, where, "the joints")
    said = list(notes)
    points = turn_up(np.asarray(joints, dtype=np.float64), up)
    scale, unit = scale_of(height_of(points, skeleton), where)
    if scale != 1.0:
        points = points * scale
        said.append(f"{unit} turned into metres")
    times = frame_times(len(points), fps)
    if len(times) < 2:
        raise VlcliError("D813", where, f"lasts {(len(points) - 1) / fps:.3g} seconds, too short for {FPS:g} frames a "
                         "second")  # fmt: skip
    if len(times) != len(points) or not np.array_equal(times, np.arange(len(points))):
        points = resample(points, times)
        said.append(f"{fps:.4g} frames a second turned into {FPS:g}")
    if up != "y":
        said.append(f"{up} was up")
    elif (lying := lies_along(points, skeleton)) is not None:
        said.append(f"the body lies along {lying} throughout: if that axis is up, say VLCLI_MOTION=up={lying}")
    return Motion(frozen(place(points, skeleton)), FPS, skeleton.name, tuple(said))


def lies_along(joints: Array, skeleton: Skeleton) -> str | None:
    """`z` when hips to neck points along z, upwards or downwards, throughout the clip; else None."""
    neck = skeleton.index("neck" if skeleton.name == "humanml3d" else "lower_neck")
    trunk = joints[:, neck] - joints[:, 0]
    share = np.abs(trunk) / np.maximum(np.linalg.norm(trunk, axis=1, keepdims=True), 1e-9)
    return "z" if len(share) and float(np.quantile(share[:, 2], 0.1)) > 0.8 else None


def frozen(joints: Array) -> np.ndarray:
    """The joints as 32-bit numbers that nobody can write to."""
    fixed = np.ascontiguousarray(joints, dtype=np.float32)
    fixed.setflags(write=False)
    return fixed
