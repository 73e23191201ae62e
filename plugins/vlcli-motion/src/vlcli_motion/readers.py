"""Files to `Motion`: BVH, arrays of joints or features (NPY, NPZ), and AMASS-style NPZ with rotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vlcli.data.files import check_file
from vlcli.data.names import printable
from vlcli.errors import VlcliError
from vlcli_motion.arrays import Archive, open_archive, read_array, told
from vlcli_motion.features import features_to_joints, layout_of
from vlcli_motion.motion import Motion
from vlcli_motion.normalise import check_finite, check_frames, check_rate, frame_times, motion_of, resample
from vlcli_motion.reading_options import ReadingOptions, environment_options
from vlcli_motion.rotations import slerp
from vlcli_motion.skeleton import HUMANML3D, SKELETONS, forward, skeleton_of

RATES = ("fps", "mocap_framerate", "mocap_frame_rate", "framerate", "frame_rate")
JOINTS = ("joints", "positions", "joint_positions", "keypoints3d", "joints3d", "xyz", "arr_0")
FEATURES = ("features", "motion", "vecs")
JOINT_COUNTS = {21: "kit", 22: "humanml3d", 24: "humanml3d", 52: "humanml3d", 55: "humanml3d"}
"""SMPL has 24 joints, SMPL-H 52, SMPL-X 55; the first 22 of each are HumanML3D's."""
BODY = 3 * HUMANML3D.count
AVERAGE = "bones of the average person instead of SMPL's body model"


def read_motion(path: Path, options: ReadingOptions | None = None) -> Motion:
    """The motion in a file.

    Args:
        options: what the file does not say; those of the environment variable `VLCLI_MOTION` by default.

    Raises:
        VlcliError: D111-D115 for the file itself, D801-D813 for what it holds, U801 for the environment variable.
    """
    from vlcli_motion.bvh import bvh_motion, read_bvh

    chosen = environment_options() if options is None else options
    where = printable(path)
    check_file(path)
    suffix = path.suffix.lower()
    if suffix == ".bvh":
        return bvh_motion(read_bvh(path), where, chosen.up or "y")
    if suffix == ".npy":
        with path.open("rb") as stream:
            values = read_array(stream, path.stat().st_size, where)
        return array_motion(values, where, chosen)
    if suffix == ".npz":
        with open_archive(path, where) as archive:
            return archive_motion(archive, where, chosen)
    raise VlcliError("D801", where, "is none of .bvh, .npy and .npz", "convert it to one of them")


def array_motion(values: np.ndarray, where: str, options: ReadingOptions, fps: float | None = None) -> Motion:
    """A `Motion` of one array: features `[T, 263]` or `[T, 251]`, joints `[T, J, 3]` or `[J, 3, T]`.

    Raises:
        VlcliError: D802-D813.
    """
    notes: tuple[str, ...] = ()
    shape = values.shape
    if shape[:1] == (1,) and (len(shape) == 4 or (len(shape) == 3 and shape[2] in (263, 251))):
        values = values[0]
    if values.ndim == 3 and values.shape[0] in JOINT_COUNTS and values.shape[1] == 3 != values.shape[2]:
        values, notes = np.moveaxis(values, 2, 0), ("frames were the last axis",)
    if values.ndim == 3 and values.shape[2] == 3 and values.shape[1] in JOINT_COUNTS:
        skeleton = SKELETONS[JOINT_COUNTS[values.shape[1]]]
        if values.shape[1] > skeleton.count:
            notes += (f"{values.shape[1] - skeleton.count} joints of hands and face left out",)
        rate = fps or options.fps or skeleton.fps
        return motion_of(values[:, : skeleton.count], rate, skeleton, notes, up=options.up or "y", where=where)
    if values.ndim == 2 and values.shape[1] in (263, 251):
        return features_motion(values, where, fps)
    kinds = "features [frames, 263 or 251] or joints [frames, 21, 22, 24, 52 or 55, 3]"
    raise VlcliError("D810", where, f"is an array of shape {told(shape)}, not {kinds}",
                     "reshape it; rotations belong into an .npz file with poses and trans")  # fmt: skip


def features_motion(values: np.ndarray, where: str, fps: float | None = None) -> Motion:
    """A `Motion` of features `[T, 263]` or `[T, 251]`, which no mean and deviation normalise.

    The frame that the last velocities lead to is restored, so that T frames of features give T + 1 of joints, and
    `joints_to_features` gives the same T again.

    Raises:
        VlcliError: D802, D804, D813 for what they hold, D810 when they are normalised.
    """
    check_frames(len(values) + 1, where)
    check_finite(values, where, "the features")
    skeleton = skeleton_of(values.shape[1])
    layout = layout_of(skeleton.count)
    contacts, heights = values[:, layout.contacts], values[:, layout.height]
    if contacts.min() < -1 or contacts.max() > 2 or float(np.median(heights)) <= 0:
        raise VlcliError("D810", where, "holds features that a mean and a deviation normalise",
                         "multiply by the deviation and add the mean first")  # fmt: skip
    joints = features_to_joints(values, closing=True)
    return motion_of(joints, fps or skeleton.fps, skeleton, (), where=where)


def archive_motion(archive: Archive, where: str, options: ReadingOptions) -> Motion:
    """A `Motion` of an NPZ file.

    Raises:
        VlcliError: D801-D813.
    """
    rate = archive.get(*RATES)
    fps = None
    if rate is not None:
        if rate.size != 1:
            raise VlcliError("D806", where, f"its frame rate is an array of shape {told(rate.shape)}")
        fps = check_rate(float(rate.reshape(())), where)
    poses = archive.get("poses", "pose")
    if poses is None:
        root, body = archive.get("root_orient", "global_orient"), archive.get("pose_body", "body_pose")
        if root is not None and body is not None:
            if root.ndim != 2 or body.ndim != 2 or len(root) != len(body):
                raise VlcliError("D810", where, f"its rotations have the shapes {told(root.shape)} and "
                                 f"{told(body.shape)}, not [frames, 3] and [frames, 63]")  # fmt: skip
            poses = np.concatenate([root, body], axis=1)
    if poses is not None:
        return poses_motion(poses, archive.get("trans", "transl", "translation"), where, options, fps)
    values = archive.get(*JOINTS, *FEATURES)
    if values is None and len(archive.entries) == 1:
        values = archive.get(*archive.entries)
    if values is None:
        raise VlcliError("D810", where, f"has neither joints nor features nor poses; it holds {archive.names()}",
                         "name an array joints, [frames, 22, 3], or poses, [frames, 66], with trans")  # fmt: skip
    return array_motion(values, where, options, fps)


def poses_motion(
    poses: np.ndarray, trans: np.ndarray | None, where: str, options: ReadingOptions, fps: float | None
) -> Motion:
    """A `Motion` of SMPL's rotations, by forward kinematics of the average person (`vlcli_motion.skeleton`).

    Args:
        poses: axis-angle vectors `[T, 66 or more]` in radians, the root's first; hands and face are left out.
        trans: of the root, `[T, 3]` in metres; None stays where it is.
        fps: of the file; 120, AMASS's usual rate, is never guessed.

    Raises:
        VlcliError: D802, D804, D806, D810, D813.
    """
    from scipy.spatial.transform import Rotation

    if poses.ndim == 3 and poses.shape[2] == 3:
        poses = poses.reshape(len(poses), -1)
    if poses.ndim != 2 or poses.shape[1] < BODY or poses.shape[1] % 3:
        raise VlcliError("D810", where, f"its poses have the shape {told(poses.shape)}, not [frames, {BODY} or more]")
    count = len(poses)
    roots = np.zeros((count, 3)) if trans is None else np.asarray(trans, dtype=np.float64)
    if roots.shape != (count, 3):
        raise VlcliError("D810", where, f"its trans has the shape {told(roots.shape)}, not [{count:,}, 3]")
    rate = fps or options.fps
    if rate is None:
        raise VlcliError("D806", where, "does not say how many frames a second it has",
                         "add mocap_framerate to the file, or say VLCLI_MOTION=fps=…")  # fmt: skip
    check_frames(count, where)
    check_rate(rate, where)
    vectors = np.array(poses[:, :BODY], dtype=np.float64).reshape(count, HUMANML3D.count, 3)
    check_finite(vectors, where, "the poses")
    check_finite(roots, where, "the positions")
    notes: tuple[str, ...] = (AVERAGE,)
    turned = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_quat().reshape(count, -1, 4)
    times = frame_times(count, rate)
    if not np.array_equal(times, np.arange(count)):
        turned = np.stack([slerp(turned[:, joint], times) for joint in range(turned.shape[1])], axis=1)
        roots = resample(roots, times)
        notes += (f"{rate:.4g} frames a second turned into 20",)
    matrices = Rotation.from_quat(turned.reshape(-1, 4)).as_matrix().reshape(len(turned), -1, 3, 3)
    return motion_of(forward(HUMANML3D, matrices, roots), 20.0, HUMANML3D, notes, up=options.up or "z", where=where)
