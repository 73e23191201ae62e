"""The skeletons of HumanML3D (22 joints, SMPL's order) and KIT (21), in metres, y up.

A skeleton lists its joints, their parents, the five chains that its rotations run along, and which joints tell where
the body faces. Directions, chains and the joints that tell the facing are facts of the two data sets' published
representation (Guo et al. 2022, "Generating Diverse and Natural 3D Human Motions from Text").

`rest` is this project's own average person, for files that hold rotations without bone lengths: SMPL's body model has
a licence of its own and is not used. Lengths follow the segment proportions of Drillis and Contini (1966) for a person
of 1.70 m, standing with the arms held out sideways and facing +z.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vlcli_motion.rotations import Array

SkeletonName = Literal["humanml3d", "kit"]


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A skeleton.

    Attributes:
        name: `humanml3d` or `kit`.
        joints: names; joint 0 is the root.
        parents: of each joint, -1 for the root.
        chains: joints along which rotations follow one another. The arms' chains start at the chest, yet their
            rotations start anew from the root's, as in the published representation.
        directions: unit vectors `[J, 3]` from parent to joint that every rotation starts from.
        rest: vectors `[J, 3]` in metres from parent to joint of the average person.
        mirror: index of each joint's counterpart on the other side; its own index on the middle line.
        facing: hip and hip, shoulder and shoulder, each pair from -x to +x when the body faces +z.
        feet: ankle and toe of the left foot, ankle and toe of the right foot, in the order of the contact features.
        contact_threshold: squared metres a frame below which a foot rests.
        fps: frames a second of the data set's features.
    """

    name: SkeletonName
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    chains: tuple[tuple[int, ...], ...]
    directions: Array
    rest: Array
    mirror: tuple[int, ...]
    facing: tuple[int, int, int, int]
    feet: tuple[int, int, int, int]
    contact_threshold: float
    fps: float

    @property
    def count(self) -> int:
        """How many joints it has."""
        return len(self.joints)

    @property
    def features(self) -> int:
        """How many numbers describe one frame: 263 or 251."""
        return 12 * self.count - 1

    def index(self, joint: str) -> int:
        """The position of a joint by its name."""
        return self.joints.index(joint)

    @property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(parent, joint) for every joint but the root."""
        return tuple((parent, joint) for joint, parent in enumerate(self.parents) if parent >= 0)


def build(
    name: SkeletonName,
    rows: tuple[tuple[str, int, tuple[int, int, int], tuple[float, float, float]], ...],
    chains: tuple[tuple[int, ...], ...],
    facing: tuple[int, int, int, int],
    feet: tuple[int, int, int, int],
    contact_threshold: float,
    fps: float,
) -> Skeleton:
    """A skeleton from rows of (joint, parent, direction, rest)."""
    joints = tuple(row[0] for row in rows)
    swap = {"left": "right", "right": "left"}
    others = [
        f"{swap[side]}_{rest}" if side in swap else joint
        for joint in joints
        for side, _, rest in [joint.partition("_")]
    ]
    directions = np.array([row[2] for row in rows], dtype=np.float64)
    rest = np.array([row[3] for row in rows], dtype=np.float64)
    directions.setflags(write=False)
    rest.setflags(write=False)
    return Skeleton(
        name, joints, tuple(row[1] for row in rows), chains, directions, rest,
        tuple(joints.index(other) for other in others), facing, feet, contact_threshold, fps,
    )  # fmt: skip


HUMANML3D = build(
    "humanml3d",
    (
        ("pelvis", -1, (0, 0, 0), (0.0, 0.0, 0.0)),
        ("left_hip", 0, (1, 0, 0), (0.085, -0.06, 0.0)),
        ("right_hip", 0, (-1, 0, 0), (-0.085, -0.06, 0.0)),
        ("spine1", 0, (0, 1, 0), (0.0, 0.11, -0.02)),
        ("left_knee", 1, (0, -1, 0), (0.0, -0.41, 0.0)),
        ("right_knee", 2, (0, -1, 0), (0.0, -0.41, 0.0)),
        ("spine2", 3, (0, 1, 0), (0.0, 0.13, 0.0)),
        ("left_ankle", 4, (0, -1, 0), (0.0, -0.415, -0.02)),
        ("right_ankle", 5, (0, -1, 0), (0.0, -0.415, -0.02)),
        ("spine3", 6, (0, 1, 0), (0.0, 0.06, 0.02)),
        ("left_foot", 7, (0, 0, 1), (0.02, -0.055, 0.13)),
        ("right_foot", 8, (0, 0, 1), (-0.02, -0.055, 0.13)),
        ("neck", 9, (0, 1, 0), (0.0, 0.21, -0.03)),
        ("left_collar", 9, (1, 0, 0), (0.075, 0.115, -0.015)),
        ("right_collar", 9, (-1, 0, 0), (-0.075, 0.115, -0.015)),
        ("head", 12, (0, 0, 1), (0.0, 0.10, 0.05)),
        ("left_shoulder", 13, (0, -1, 0), (0.105, 0.03, -0.01)),
        ("right_shoulder", 14, (0, -1, 0), (-0.105, 0.03, -0.01)),
        ("left_elbow", 16, (0, -1, 0), (0.285, 0.0, -0.01)),
        ("right_elbow", 17, (0, -1, 0), (-0.285, 0.0, -0.01)),
        ("left_wrist", 18, (0, -1, 0), (0.25, 0.0, 0.0)),
        ("right_wrist", 19, (0, -1, 0), (-0.25, 0.0, 0.0)),
    ),
    chains=((0, 2, 5, 8, 11), (0, 1, 4, 7, 10), (0, 3, 6, 9, 12, 15), (9, 14, 17, 19, 21), (9, 13, 16, 18, 20)),
    facing=(2, 1, 17, 16),
    feet=(7, 10, 8, 11),
    contact_threshold=0.002,
    fps=20.0,
)  # fmt: skip
"""The skeleton of HumanML3D: SMPL's joints without hands."""

KIT = build(
    "kit",
    (
        ("root", -1, (0, 0, 0), (0.0, 0.0, 0.0)),
        ("pelvis", 0, (0, 1, 0), (0.0, 0.06, 0.0)),
        ("thorax", 1, (0, 1, 0), (0.0, 0.32, 0.0)),
        ("lower_neck", 2, (0, 1, 0), (0.0, 0.12, 0.0)),
        ("upper_neck", 3, (0, 1, 0), (0.0, 0.12, 0.0)),
        ("left_shoulder", 3, (1, 0, 0), (-0.18, -0.03, 0.0)),
        ("left_elbow", 5, (0, -1, 0), (-0.285, 0.0, 0.0)),
        ("left_wrist", 6, (0, -1, 0), (-0.25, 0.0, 0.0)),
        ("right_shoulder", 3, (-1, 0, 0), (0.18, -0.03, 0.0)),
        ("right_elbow", 8, (0, -1, 0), (0.285, 0.0, 0.0)),
        ("right_wrist", 9, (0, -1, 0), (0.25, 0.0, 0.0)),
        ("left_hip", 0, (1, 0, 0), (-0.085, -0.06, 0.0)),
        ("left_knee", 11, (0, -1, 0), (0.0, -0.41, 0.0)),
        ("left_ankle", 12, (0, -1, 0), (0.0, -0.415, -0.02)),
        ("left_heel", 13, (0, 0, 1), (0.0, -0.05, 0.02)),
        ("left_foot", 14, (0, 0, 1), (0.0, -0.01, 0.13)),
        ("right_hip", 0, (-1, 0, 0), (0.085, -0.06, 0.0)),
        ("right_knee", 16, (0, -1, 0), (0.0, -0.41, 0.0)),
        ("right_ankle", 17, (0, -1, 0), (0.0, -0.415, -0.02)),
        ("right_heel", 18, (0, 0, 1), (0.0, -0.05, 0.02)),
        ("right_foot", 19, (0, 0, 1), (0.0, -0.01, 0.13)),
    ),
    chains=((0, 11, 12, 13, 14, 15), (0, 16, 17, 18, 19, 20), (0, 1, 2, 3, 4), (3, 5, 6, 7), (3, 8, 9, 10)),
    facing=(11, 16, 5, 8),
    feet=(19, 20, 14, 15),
    contact_threshold=0.002,
    fps=12.5,
)  # fmt: skip
"""The skeleton of KIT-ML: the Master Motor Map's joints as in Guo et al. (2022).

Its published coordinates are left-handed: when the body faces +z, the person's left is towards -x.
"""

SKELETONS: dict[str, Skeleton] = {"humanml3d": HUMANML3D, "kit": KIT}


def skeleton_of(motion_or_joints: int | str) -> Skeleton:
    """A skeleton by its name, its number of joints (22, 21) or the width of its features (263, 251).

    Raises:
        KeyError: for anything else.
    """
    for skeleton in SKELETONS.values():
        if motion_or_joints in (skeleton.name, skeleton.count, skeleton.features):
            return skeleton
    raise KeyError(motion_or_joints)


def forward(skeleton: Skeleton, rotations: Array, roots: Array, offsets: Array | None = None) -> Array:
    """Joints `[T, J, 3]` of local rotations `[T, J, 3, 3]` and root positions `[T, 3]`: plain forward kinematics.

    A joint's rotation turns the bones that leave it, as in BVH and SMPL; rotations of the ends have no effect.

    Args:
        offsets: vectors `[J, 3]` from parent to joint; the average person's by default.
    """
    bones = skeleton.rest if offsets is None else offsets
    joints = np.empty((len(roots), skeleton.count, 3))
    world = np.empty_like(rotations)
    joints[:, 0], world[:, 0] = roots, rotations[:, 0]
    for parent, joint in skeleton.bones:
        joints[:, joint] = joints[:, parent] + world[:, parent] @ bones[joint]
        world[:, joint] = world[:, parent] @ rotations[:, joint]
    return joints
