"""A body of 22 joints from few numbers a frame: where the pelvis and the toes are, how trunk and arms are bent.

The legs are solved so that the toes stay where they are put (two-bone inverse kinematics); trunk, head and arms are
forward kinematics. Metres, y up, +z where the body faces, +x to its left; joints in SMPL's order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlcli_motion.skeleton import HUMANML3D

Array = NDArray[np.float64]

# The plugin's average person; of the left side where there are two.
REST_BONES = HUMANML3D.rest
HIP = REST_BONES[1]
THIGH, SHIN = float(np.linalg.norm(REST_BONES[4])), float(np.linalg.norm(REST_BONES[7]))
ANKLE_FROM_TOE = np.array([0.0, -REST_BONES[10, 1], -np.hypot(REST_BONES[10, 0], REST_BONES[10, 2])])
SPINE = REST_BONES[[3, 6, 9]]
NECK, HEAD = REST_BONES[12], REST_BONES[15]
COLLAR, SHOULDER = REST_BONES[13], REST_BONES[16]
UPPER_ARM, FOREARM = float(np.linalg.norm(REST_BONES[18])), float(np.linalg.norm(REST_BONES[20]))
STANDING = float(ANKLE_FROM_TOE[1] + SHIN + THIGH - HIP[1]) - 0.004
"""Height of the pelvis of somebody who stands, knees hardly bent."""
STANCE = 0.10
"""How far a foot stands from the middle."""
TRUNK = (0.25, 0.5, 0.75, 1.0)
TWISTS = (0.0, 0.3, 0.65, 1.0)
"""Shares of the trunk's bend, and of its twist, that pelvis and the three spine joints have each turned by."""

# Columns of `Frames.upper`, degrees. The arms are given as two directions each, of the upper arm and of the forearm:
# `raise` lifts it forward and `side` away from the body, both 0 when it hangs.
PITCH, ROLL, TWIST, NOD, LOOK = range(5)
LEFT_ARM, RIGHT_ARM = slice(5, 9), slice(9, 13)
UPPER = 13
REST = np.array([0.0, 0, 0, 0, 0, 2, 9, 12, 6, 2, 9, 12, 6])
"""Somebody who stands at ease."""


@dataclass
class Frames:
    """`n` frames of a movement.

    Attributes:
        root: where the body stands, `[n, 2]` (x, z); the pelvis is above it, moved by `shift`.
        heading: where it faces, `[n]`, radians; 0 is +z, positive turns left.
        drop: how much lower than standing the pelvis is, `[n]`; negative is higher.
        shift: of the pelvis against `root`, `[n, 2]`, to the left and forward.
        toes: `[n, 2, 3]`, left and right.
        yaw: of the feet, `[n, 2]`, radians.
        heel: how far the heels are lifted about the toes, `[n, 2]`, radians.
        upper: trunk, head and arms, `[n, 13]`, degrees.
    """

    root: Array
    heading: Array
    drop: Array
    shift: Array
    toes: Array
    yaw: Array
    heel: Array
    upper: Array

    def __len__(self) -> int:
        return len(self.root)


def concatenate(parts: list[Frames]) -> Frames:
    """Movements one after another."""
    names = ("root", "heading", "drop", "shift", "toes", "yaw", "heel", "upper")
    return Frames(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def turned(yaw: Array, vector: Array) -> Array:
    """Vectors `[..., 3]` turned about the vertical by `[...]` radians, positive to the left."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    x, y, z = np.moveaxis(np.broadcast_to(vector, (*np.shape(yaw), 3)), -1, 0)
    return np.stack([cosine * x + sine * z, y, cosine * z - sine * x], -1)


def turned_flat(yaw: Array, vector: Array) -> Array:
    """The same for vectors on the ground, `[..., 2]` (x, z)."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    x, z = np.moveaxis(np.broadcast_to(vector, (*np.shape(yaw), 2)), -1, 0)
    return np.stack([cosine * x + sine * z, cosine * z - sine * x], -1)


def rotations(yaw: Array, pitch: Array, roll: Array) -> Array:
    """Rotation matrices `[n, 3, 3]`: roll about z first, then pitch about x (forward positive), then yaw about y."""
    cy, sy, cp, sp, cr, sr = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    rows = [
        [cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, sy * cp],
        [cp * sr, cp * cr, -sp],
        [-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def direction(forward: Array, side: Array, left: bool) -> Array:
    """Unit vectors `[n, 3]` of a bone that hangs at 0, 0 (degrees)."""
    a, b = np.radians(forward), np.radians(side)
    return np.stack([(1 if left else -1) * np.sin(b) * np.cos(a), -np.cos(b) * np.cos(a), np.sin(a)], -1)


def ankles_of(frames: Frames) -> Array:
    """`[n, 2, 3]`: behind and above the toes, higher when the heel is lifted."""
    up, back = ANKLE_FROM_TOE[1], ANKLE_FROM_TOE[2]
    cosine, sine = np.cos(frames.heel), np.sin(frames.heel)
    offset = np.stack([np.zeros_like(cosine), up * cosine - back * sine, up * sine + back * cosine], -1)
    return frames.toes + turned(frames.yaw, offset)


def smoothed(values: Array, width: int = 5) -> Array:
    """Moving average with a Hann window over time, the ends repeated."""
    window = np.hanning(width + 2)[1:-1]
    window /= window.sum()
    half = width // 2
    index = np.clip(np.arange(-half, len(values) + half), 0, len(values) - 1)
    padded = values[index]
    found = np.zeros_like(values)
    for number, weight in enumerate(window):
        found += weight * padded[number : number + len(values)]
    return found


def pose(frames: Frames) -> NDArray[np.float32]:
    """The joints `[n, 22, 3]`, float32.

    The pelvis is lowered where a leg would not reach its foot otherwise.
    """
    count = len(frames)
    upper = np.radians(frames.upper)
    pitch, roll, twist = upper[:, PITCH], upper[:, ROLL], upper[:, TWIST]
    turns = [rotations(frames.heading + share_of_twist * twist, share * pitch, share * roll)
             for share, share_of_twist in zip(TRUNK, TWISTS, strict=True)]  # fmt: skip
    joints = np.empty((count, 22, 3))
    ankles = ankles_of(frames)
    hips = np.stack([turns[0] @ HIP, turns[0] @ (HIP * [-1, 1, 1])], 1)
    ground = frames.root + turned_flat(frames.heading, frames.shift)
    flat = ankles[..., [0, 2]] - ground[:, None] - hips[..., [0, 2]]
    reach = (0.995 * (THIGH + SHIN)) ** 2 - (flat**2).sum(-1)
    highest = ankles[..., 1] - hips[..., 1] + np.sqrt(np.maximum(reach, 0.2**2))
    wanted = STANDING - frames.drop
    height = np.minimum(wanted, highest.min(1))
    height = np.minimum(smoothed(height), highest.min(1))
    pelvis = np.stack([ground[:, 0], height, ground[:, 1]], -1)
    joints[:, 0] = pelvis
    hips += pelvis[:, None]
    joints[:, [1, 2]] = hips
    joints[:, [4, 5]] = knees_of(hips, ankles, frames)
    joints[:, [7, 8]] = ankles
    joints[:, [10, 11]] = frames.toes
    joints[:, 3] = pelvis + turns[0] @ SPINE[0]
    joints[:, 6] = joints[:, 3] + turns[1] @ SPINE[1]
    joints[:, 9] = joints[:, 6] + turns[2] @ SPINE[2]
    chest = turns[3]
    joints[:, 12] = joints[:, 9] + chest @ NECK
    head = rotations(frames.heading + twist + upper[:, LOOK], pitch + upper[:, NOD], roll)
    joints[:, 15] = joints[:, 12] + head @ HEAD
    for left, collar, columns in ((True, 13, LEFT_ARM), (False, 14, RIGHT_ARM)):
        mirror = np.array([1.0 if left else -1.0, 1.0, 1.0])
        arm = frames.upper[:, columns]
        lift = np.clip((np.abs(arm[:, 1]) + np.maximum(arm[:, 0], 0) - 60) / 120, 0, 1)
        shoulder = (SHOULDER * mirror) + np.stack([np.zeros(count), 0.05 * lift, np.zeros(count)], -1)
        shoulder *= np.linalg.norm(SHOULDER) / np.linalg.norm(shoulder, axis=-1, keepdims=True)
        joints[:, collar] = joints[:, 9] + chest @ (COLLAR * mirror)
        joints[:, collar + 3] = joints[:, collar] + in_frame(chest, shoulder)
        joints[:, collar + 5] = joints[:, collar + 3] + UPPER_ARM * in_frame(
            chest, direction(arm[:, 0], arm[:, 1], left)
        )
        joints[:, collar + 7] = joints[:, collar + 5] + FOREARM * in_frame(chest, direction(arm[:, 2], arm[:, 3], left))
    return joints.astype(np.float32)


def in_frame(matrices: Array, vectors: Array) -> Array:
    """`[n, 3, 3]` times `[n, 3]`."""
    found: Array = (matrices @ vectors[..., None])[..., 0]
    return found


def knees_of(hips: Array, ankles: Array, frames: Frames) -> Array:
    """`[n, 2, 3]`: the knees bend to where the feet point, halfway to where the body faces.

    An ankle that is out of reach is pulled in, so that thigh and shin always keep their lengths.
    """
    line = ankles - hips
    distance = np.linalg.norm(line, axis=-1, keepdims=True)
    short = np.clip(distance, 0.15, 0.9995 * (THIGH + SHIN))
    ankles[...] = hips + line / distance * short
    line = ankles - hips
    along = (THIGH**2 - SHIN**2 + short**2) / (2 * short)
    out = np.sqrt(np.maximum(THIGH**2 - along**2, 0))
    facing = frames.heading[:, None] + 0.5 * (frames.yaw - frames.heading[:, None])
    forward = turned(facing, np.array([0.0, 0.12, 1.0]))
    unit = line / short
    normal = forward - (forward * unit).sum(-1, keepdims=True) * unit
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    knees: Array = hips + unit * along + normal * out
    return knees
