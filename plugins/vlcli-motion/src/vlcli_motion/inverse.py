"""Inverse kinematics: rotations of a hierarchy whose joints come to lie where they were.

A joint from which one bone leaves is turned the shortest way from where its parent left it, so that nothing twists. A
joint from which several leave (hips, chest) is turned so that all of them fit best (Kabsch 1976).
"""

from __future__ import annotations

import numpy as np

from vlcli_motion.features import bone_lengths
from vlcli_motion.rotations import Array, between, unit
from vlcli_motion.skeleton import Skeleton


def best_rotation(start: Array, end: Array) -> Array:
    """The rotations `[T, 3, 3]` that turn vectors `start` `[K, 3]` nearest to vectors `end` `[T, K, 3]`."""
    left, _, right = np.linalg.svd(np.einsum("tki,kj->tij", end, start))
    flip = np.ones(left.shape[:-1])
    flip[:, 2] = np.sign(np.linalg.det(left @ right))
    return np.asarray((left * flip[:, None, :]) @ right)


def children_of(skeleton: Skeleton) -> list[list[int]]:
    """For each joint those whose parent it is."""
    children: list[list[int]] = [[] for _ in skeleton.joints]
    for parent, joint in skeleton.bones:
        children[parent].append(joint)
    return children


def fitted_offsets(joints: Array, skeleton: Skeleton) -> Array:
    """Offsets `[J, 3]` of the person in `[T, J, 3]`: mean lengths, in the average person's pose with arms held out.

    Where several bones leave a joint, the angles between them are the clip's own, averaged in the joint's frame.
    """
    lengths = bone_lengths(joints, skeleton).mean(0)
    offsets = unit(skeleton.rest) * lengths[:, None]
    for joint, ends in enumerate(children_of(skeleton)):
        if len(ends) > 1:
            bones = joints[:, ends] - joints[:, joint : joint + 1]
            for _ in range(2):
                turned = best_rotation(offsets[ends], bones)
                mean = np.einsum("tji,tkj->ki", turned, bones) / len(bones)
                offsets[ends] = unit(mean) * lengths[ends][:, None]
    return np.asarray(offsets)


def local_rotations(joints: Array, offsets: Array, skeleton: Skeleton) -> Array:
    """Rotations `[T, J, 3, 3]`, each seen from its parent's, that bring `offsets` `[J, 3]` to joints `[T, J, 3]`.

    `vlcli_motion.skeleton.forward` gives the joints back, as far as bones keep their lengths and angles. Where they do
    not, each bone aims from where its start came to lie at where its end should be, so that errors do not add up.
    """
    children = children_of(skeleton)
    world = np.tile(np.eye(3), (*joints.shape[:2], 1, 1))
    local = world.copy()
    reached = np.array(joints)
    for joint, ends in enumerate(children):
        parent = skeleton.parents[joint]
        before = world[:, parent] if parent >= 0 else np.tile(np.eye(3), (len(joints), 1, 1))
        bones = joints[:, ends] - reached[:, joint : joint + 1]
        if len(ends) > 1:
            world[:, joint] = best_rotation(offsets[ends], bones)
        elif ends:
            aim = unit(bones[:, 0])
            now = before @ unit(offsets[ends[0]])
            aim = np.where(np.abs(aim).sum(1, keepdims=True) > 0, aim, now)
            world[:, joint] = between(now, aim) @ before
        else:
            world[:, joint] = before
        local[:, joint] = np.swapaxes(before, 1, 2) @ world[:, joint]
        for end in ends:
            reached[:, end] = reached[:, joint] + world[:, joint] @ offsets[end]
    return local
