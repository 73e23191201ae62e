"""The features of HumanML3D (263 numbers a frame) and KIT (251): from joints, and back to joints.

Source: Guo et al. (2022), "Generating Diverse and Natural 3D Human Motions from Text", section 4 and its released
processing. With J joints, a frame has 12 J - 1 numbers; `LAYOUT` says where each part lies:

| part | numbers | what |
|---|---|---|
| `turn` | 1 | half the angle in radians that the root turns about y until the next frame (the quaternion's angle) |
| `velocity` | 2 | x and z of the root's step to the next frame, in metres, seen from the next frame's heading |
| `height` | 1 | y of the root |
| `positions` | 3 (J - 1) | the other joints, the root at x = z = 0, turned so that the body faces +z |
| `rotations` | 6 (J - 1) | the joints' rotations along the chains, first two columns of each matrix |
| `velocities` | 3 J | each joint's step to the next frame, seen from this frame's heading |
| `contacts` | 4 | 1 where left ankle, left toe, right ankle, right toe rest |

The heading is smoothed over time (a Gaussian of 20 frames) before anything is turned by it; frame 0 counts as facing
+z. T frames of joints give T - 1 frames of features, because every frame looks at the next one.

What differs from the released code: the sign of `turn` where the heading passes ±180° (there the released code turns
back by what the body turned on; `official=True` does so too), and frames without any heading keep their neighbours',
where the released code gives NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from vlcli_motion.rotations import Array, about_y, between, from_six, rotate, to_six, unit, wrap
from vlcli_motion.skeleton import HUMANML3D, KIT, Skeleton, skeleton_of

SMOOTHING = 20.0
"""Standard deviation, in frames, of the Gaussian that smooths the heading."""


@dataclass(frozen=True)
class Layout:
    """Where each part of a frame's features lies."""

    turn: slice
    velocity: slice
    height: slice
    positions: slice
    rotations: slice
    velocities: slice
    contacts: slice

    @property
    def width(self) -> int:
        """How many numbers a frame has."""
        return int(self.contacts.stop)


def layout_of(joints: int) -> Layout:
    """The layout for a number of joints."""
    slices, start = [], 0
    for width in (1, 2, 1, 3 * (joints - 1), 6 * (joints - 1), 3 * joints, 4):
        slices.append(slice(start, start + width))
        start += width
    return Layout(*slices)


LAYOUT = layout_of(HUMANML3D.count)
KIT_LAYOUT = layout_of(KIT.count)


def facing(joints: Array, skeleton: Skeleton) -> Array:
    """The horizontal direction `[T, 3]` in which the body faces, not of length 1: up × (left to right).

    Left to right is the sum over hips and shoulders.
    """
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.facing
    side = joints[:, right_hip] - joints[:, left_hip] + joints[:, right_shoulder] - joints[:, left_shoulder]
    return np.cross(np.array([0.0, 1.0, 0.0]), unit(side))


def released_facing(joints: Array, skeleton: Skeleton) -> Array:
    """As `facing`, with the hips taken right to left: the released inverse kinematics reads them in that order.

    It turns the heading of a twisted body a little. Every published feature file is made with it, so it is part of the
    representation.
    """
    right_hip, left_hip, right_shoulder, left_shoulder = skeleton.facing
    side = joints[:, left_hip] - joints[:, right_hip] + joints[:, right_shoulder] - joints[:, left_shoulder]
    return np.cross(np.array([0.0, 1.0, 0.0]), unit(side))


def angles_of(directions: Array) -> Array:
    """Angles `[T]` in radians about y from +z to horizontal directions `[T, 3]`, towards +x positive.

    A frame without a direction takes that of the nearest frame before it that has one, the first ones that after.
    """
    known = np.linalg.norm(directions[:, [0, 2]], axis=1) > 1e-6
    if not known.any():
        return np.zeros(len(directions))
    latest = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    chosen = directions[np.where(latest < 0, int(known.argmax()), latest)]
    return np.arctan2(chosen[:, 0], chosen[:, 2])


def headings(joints: Array, skeleton: Skeleton = HUMANML3D) -> Array:
    """Angles `[T]` in radians about y between +z and the direction in which the body faces, towards +x positive."""
    return angles_of(facing(joints, skeleton))


def root_angles(joints: Array, skeleton: Skeleton) -> Array:
    """Angles `[T]` about y of the representation's root: they turn the smoothed heading to +z, and are 0 in frame 0.

    Frame 0 counts as facing +z whatever the smoothed heading says there, as in the published files; what is left out
    there is in the first frame's `turn`.
    """
    from scipy.ndimage import gaussian_filter1d

    smoothed = gaussian_filter1d(released_facing(joints, skeleton), SMOOTHING, axis=0, mode="nearest")
    angles = -angles_of(smoothed)
    angles[0] = 0.0
    return angles


def place(joints: Array, skeleton: Skeleton = HUMANML3D) -> Array:
    """The same motion `[T, J, 3]` on the floor, its root at x = z = 0 and facing +z in frame 0."""
    placed = np.asarray(joints, dtype=np.float64)
    placed = placed - [placed[0, 0, 0], placed[..., 1].min(), placed[0, 0, 2]]
    return rotate(about_y(-headings(placed[:1], skeleton)[0]), placed)


def chain_rotations(joints: Array, skeleton: Skeleton, towards: Array) -> Array:
    """Inverse kinematics: rotations `[T, J, 3, 3]` along the chains, each from the one before it.

    Args:
        joints: `[T, J, 3]`.
        towards: `[T, 3, 3]`, the root's: it turns the body's heading to +z. It is the start of every chain.
    """
    bones = np.zeros_like(joints)
    before = np.zeros(skeleton.count, dtype=np.int64)
    for chain in skeleton.chains:
        for number, (parent, joint) in enumerate(pairwise(chain)):
            bones[:, joint] = joints[:, joint] - joints[:, parent]
            before[joint] = parent if number else 0
    # A bone without length has no direction: it stays as it is at rest.
    bones = unit(bones)
    turned = between(
        skeleton.directions, np.where(np.abs(bones).sum(-1, keepdims=True) > 0, bones, skeleton.directions)
    )
    turned[:, 0] = towards
    local = np.swapaxes(turned[:, before], -1, -2) @ turned
    local[:, 0] = towards
    return local


def chain_joints(rotations: Array, roots: Array, lengths: Array, skeleton: Skeleton) -> Array:
    """Forward kinematics of `chain_rotations`: joints `[T, J, 3]`.

    Args:
        rotations: `[T, J, 3, 3]`.
        roots: `[T, 3]`.
        lengths: of the bones that end at each joint, `[J]`.
    """
    joints = np.empty((*rotations.shape[:2], 3))
    joints[:, 0] = roots
    for chain in skeleton.chains:
        world = rotations[:, 0]
        for parent, joint in pairwise(chain):
            world = world @ rotations[:, joint]
            joints[:, joint] = joints[:, parent] + world @ (skeleton.directions[joint] * lengths[joint])
    return joints


def joints_to_features(joints: np.ndarray, *, official: bool = False) -> np.ndarray:
    """Features `[T - 1, 263]` (or 251) float32 of joints `[T, 22, 3]` (or 21) in metres, y up, T ≥ 2.

    The motion is first placed (`place`), so features do not depend on where it happens and where it heads.

    Args:
        official: reproduce the released code's sign error where the heading passes ±180°.

    Raises:
        KeyError: for another number of joints.
        ValueError: for fewer than two frames.
    """
    skeleton = skeleton_of(joints.shape[1])
    if len(joints) < 2:
        raise ValueError("features need at least two frames, because each looks at the next one")
    placed = place(joints, skeleton)
    angles = root_angles(placed, skeleton)
    towards = about_y(angles)
    steps = placed[1:] - placed[:-1]
    half = wrap(np.diff(angles)) / 2
    if official:
        half = np.arcsin(np.clip(np.sin(np.diff(angles) / 2), -1, 1))
    local = (placed - placed[:, :1] * [1.0, 0.0, 1.0])[:-1, 1:]
    rotations = chain_rotations(placed, skeleton, towards)[:-1, 1:]
    feet = list(skeleton.feet)
    parts = (
        half[:, None],
        rotate(towards[1:], steps[:, 0])[:, [0, 2]],
        placed[:-1, 0, 1:2],
        rotate(towards[:-1, None], local),
        to_six(rotations),
        rotate(towards[:-1, None], steps),
        (steps[:, feet] ** 2).sum(-1) < skeleton.contact_threshold,
    )
    return np.concatenate([part.reshape(len(steps), -1) for part in parts], axis=1).astype(np.float32)


def root_path(features: Array) -> tuple[Array, Array]:
    """The root's angles `[T]` (they turn the body's heading to +z; 0 in frame 0) and positions `[T, 3]`."""
    layout = layout_of(skeleton_of(features.shape[1]).count)
    angles = np.concatenate([[0.0], 2 * np.cumsum(features[:-1, layout.turn.start])])
    steps = np.zeros((len(features), 3))
    steps[1:, [0, 2]] = features[:-1, layout.velocity]
    positions = np.cumsum(rotate(about_y(-angles), steps), axis=0)
    positions[:, 1] = features[:, layout.height.start]
    return angles, positions


def features_to_joints(
    features: np.ndarray, source: Literal["positions", "rotations"] = "positions", *, closing: bool = False
) -> np.ndarray:
    """Joints `[T, 22, 3]` (or 21) float32 of features `[T, 263]` (or 251), which no mean and deviation normalise.

    The root's path is the sum of its steps and turns; the other joints come from `positions`, or from `rotations` with
    the mean bone lengths of `positions`. Frame 0 faces +z.

    Args:
        closing: also give the frame that the last `velocities` lead to, `[T + 1, 22, 3]`: then nothing of the joints
            that gave the features is lost. The released code leaves it out.

    Raises:
        KeyError: for another width.
    """
    numbers = np.asarray(features, dtype=np.float64)
    skeleton = skeleton_of(numbers.shape[1])
    layout = layout_of(skeleton.count)
    angles, roots = root_path(numbers)
    back = about_y(-angles)
    local = numbers[:, layout.positions].reshape(len(numbers), -1, 3)
    others = rotate(back[:, None], local) + (roots * [1.0, 0.0, 1.0])[:, None]
    joints = np.concatenate([roots[:, None], others], axis=1)
    if source == "rotations":
        lengths = bone_lengths(joints, skeleton).mean(0)
        six = numbers[:, layout.rotations].reshape(len(numbers), -1, 6)
        rotations = np.concatenate([about_y(angles)[:, None], from_six(six)], axis=1)
        joints = chain_joints(rotations, roots, lengths, skeleton)
    if closing:
        steps = numbers[-1, layout.velocities].reshape(-1, 3)
        joints = np.concatenate([joints, (joints[-1] + rotate(back[-1], steps))[None]])
    return joints.astype(np.float32)


def bone_lengths(joints: Array, skeleton: Skeleton) -> Array:
    """Lengths `[T, J]` of the bones that end at each joint; 0 for the root."""
    lengths = np.zeros(joints.shape[:2])
    for parent, joint in skeleton.bones:
        lengths[:, joint] = np.linalg.norm(joints[:, joint] - joints[:, parent], axis=-1)
    return lengths
