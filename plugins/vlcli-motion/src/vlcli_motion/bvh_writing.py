"""Writing a `Motion` as a Biovision hierarchy, in centimetres, with names that character tools know.

The bones are the clip's own, with their mean lengths; the rest pose stands with the arms held out. Rotations come from
`vlcli_motion.inverse`. KIT's mirrored coordinates are mirrored back, because BVH's are right-handed.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from vlcli.runtime.files import write_atomic
from vlcli_motion.inverse import children_of, fitted_offsets, local_rotations
from vlcli_motion.motion import Motion
from vlcli_motion.rotations import Array, unit
from vlcli_motion.skeleton import Skeleton

CENTIMETRES = 100.0
ORDER = "ZXY"
_LIMBS = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
          "elbow": "ForeArm", "wrist": "Hand", "heel": "Heel"}  # fmt: skip
_MIDDLE = {"pelvis": "Hips", "root": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2",
           "thorax": "Spine1", "lower_neck": "Neck", "upper_neck": "Head", "neck": "Neck", "head": "Head"}  # fmt: skip
_ENDS = {"Head": (0.0, 10.0, 0.0), "LeftHand": (8.0, 0.0, 0.0), "RightHand": (-8.0, 0.0, 0.0)}


def name_of(joint: str, skeleton: Skeleton) -> str:
    """A joint's name in the file: `left_hip` becomes `LeftUpLeg`."""
    side, _, part = joint.partition("_")
    if side in ("left", "right"):
        return side.capitalize() + _LIMBS[part]
    return "Spine" if (skeleton.name, joint) == ("kit", "pelvis") else _MIDDLE[joint]


def bvh_text(motion: Motion) -> str:
    """The content of the file."""
    from scipy.spatial.transform import Rotation

    skeleton = motion.bones
    mirror = [-1.0, 1.0, 1.0] if skeleton.name == "kit" else [1.0, 1.0, 1.0]
    joints = motion.joints.astype(np.float64) * mirror * CENTIMETRES
    offsets = fitted_offsets(joints, skeleton)
    rotations = local_rotations(joints, offsets, skeleton)
    children = children_of(skeleton)
    order = depth_first(children)
    lines = ["HIERARCHY"]
    write_joint(lines, 0, 0, skeleton, offsets, children)
    lines += ["MOTION", f"Frames: {motion.frames}", f"Frame Time: {1 / motion.fps:.9g}"]
    with warnings.catch_warnings():
        # At a gimbal lock one of two angles is free; scipy says so and takes 0, which is as right as any.
        warnings.simplefilter("ignore", UserWarning)
        angles = Rotation.from_matrix(rotations[:, order].reshape(-1, 3, 3)).as_euler(ORDER, degrees=True)
    angles = np.unwrap(angles.reshape(motion.frames, -1), period=360.0, axis=0)
    for row in np.concatenate([joints[:, 0], angles], axis=1):
        lines.append(" ".join(f"{value:.6g}" for value in row + 0.0))
    return "\n".join(lines) + "\n"


def depth_first(children: list[list[int]]) -> list[int]:
    """The joints in the order in which a file lists them."""
    order, waiting = [], [0]
    while waiting:
        joint = waiting.pop()
        order.append(joint)
        waiting.extend(reversed(children[joint]))
    return order


def write_joint(
    lines: list[str], joint: int, depth: int, skeleton: Skeleton, offsets: Array, children: list[list[int]]
) -> None:
    """Add the lines of a joint and of all that hangs on it; the last joint of a limb ends in an End Site."""
    space = "  " * depth
    name = name_of(skeleton.joints[joint], skeleton)
    x, y, z = offsets[joint]
    lines += [f"{space}{'JOINT' if depth else 'ROOT'} {name}", space + "{", f"{space}  OFFSET {x:.6f} {y:.6f} {z:.6f}"]
    turns = " ".join(f"{axis}rotation" for axis in ORDER)
    if not depth:
        lines.append(f"{space}  CHANNELS 6 Xposition Yposition Zposition {turns}")
    else:
        lines.append(f"{space}  CHANNELS 3 {turns}")
    for child in children[joint]:
        write_joint(lines, child, depth + 1, skeleton, offsets, children)
    if not children[joint]:
        x, y, z = _ENDS.get(name, tuple(unit(offsets[joint]) * 4.0))
        lines += [f"{space}  End Site", f"{space}  {{", f"{space}    OFFSET {x:.6f} {y:.6f} {z:.6f}", f"{space}  }}"]
    lines.append(space + "}")


def write_bvh(path: Path, motion: Motion) -> None:
    """Write a motion as BVH, whole or not at all.

    Raises:
        VlcliError: X-codes when the file can not be written.
    """
    write_atomic(path, bvh_text(motion).encode("ascii"))
