"""BVH: the reader and forward kinematics, joints by many naming customs, and files that read back as they were."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from vlcli_motion.bvh import bvh_motion, joint_positions, read_bvh
from vlcli_motion.bvh_writing import bvh_text, write_bvh
from vlcli_motion.features import facing, headings, place
from vlcli_motion.mapping import map_joints, plain
from vlcli_motion.motion import Motion
from vlcli_motion.normalise import frame_times, motion_of, resample
from vlcli_motion.readers import read_motion
from vlcli_motion.rotations import unit
from vlcli_motion.skeleton import HUMANML3D, KIT, SKELETONS, forward

from vlcli.errors import VlcliError

sys.path.insert(0, str(Path(__file__).parent))
from motions_for_tests import shared, walk

ARM = """HIERARCHY
ROOT Base
{
  OFFSET 0 0 0
  CHANNELS 6 Zposition Yrotation Xposition Zrotation Yposition Xrotation
  JOINT Slide { OFFSET 1 0 0 CHANNELS 2 Yposition Zrotation
    JOINT Fixed {
      OFFSET 0 2 0
      CHANNELS 0
      End Site
      {
        OFFSET 0 0 3
      }
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.05
3 90 1 0 2 0 5 90
3 0 1 30 2 60 0 0
"""


def skeleton_text(names: dict[str, str], spine: tuple[str, ...], collar: bool = True, unit: float = 100.0) -> str:
    """A BVH file of the average person at rest, 3 frames, its joints called by other names."""
    custom = {joint: names.get(joint, joint) for joint in HUMANML3D.joints}
    rest = {joint: HUMANML3D.rest[index] * unit for index, joint in enumerate(HUMANML3D.joints)}
    trunk = rest["spine1"] + rest["spine2"] + rest["spine3"]
    lines: list[str] = ["HIERARCHY"]
    count = 0

    def add(name: str, offset: np.ndarray, children: list[object], depth: int) -> None:
        nonlocal count
        channels = "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
        kind = "ROOT" if depth == 0 else "JOINT"
        lines.extend([f"{kind} {name}", "{", "OFFSET " + " ".join(f"{value:.4f}" for value in offset)])
        lines.append(f"CHANNELS {channels if depth == 0 else '3 Zrotation Xrotation Yrotation'}")
        count += 6 if depth == 0 else 3
        for child in children:
            add(*child, depth + 1)  # type: ignore[misc]
        if not children:
            lines.extend(["End Site", "{", f"OFFSET 0 0 {0.1 * unit}", "}"])
        lines.append("}")

    def chain(*joints: str) -> list[object]:
        found: list[object] = []
        for joint in reversed(joints):
            if custom[joint]:
                found = [(custom[joint], rest[joint], found)]
        return found

    def arm(side: str) -> list[object]:
        limb = chain(*(f"{side}_{part}" for part in ("shoulder", "elbow", "wrist")))
        if not collar:
            name, offset, below = limb[0]  # type: ignore[misc]
            return [(name, offset + rest[f"{side}_collar"], below)]
        return [(custom[f"{side}_collar"], rest[f"{side}_collar"], limb)]

    top = [*chain("neck", "head"), *arm("left"), *arm("right")]
    back = top
    for name in reversed(spine):
        back = [(name, trunk / len(spine), back)]
    legs = [chain(*(f"{side}_{part}" for part in ("hip", "knee", "ankle", "foot"))) for side in ("left", "right")]
    add(custom["pelvis"], rest["pelvis"], [*legs[0], *legs[1], *back], 0)
    row = " ".join(["0", f"{unit}", "0", *["0"] * (count - 3)])
    return "\n".join([*lines, "MOTION", "Frames: 3", "Frame Time: 0.05", row, row, row, ""])


def named(left: str, right: str, parts: dict[str, str], middle: dict[str, str]) -> dict[str, str]:
    """Names of all joints from patterns with `{}` for the part."""
    patterns = {"left": left, "right": right}
    sides = {f"{side}_{part}": pattern.format(name) if name else "" for side, pattern in patterns.items()
             for part, name in parts.items()}  # fmt: skip
    return {**sides, **middle}


MIXAMO = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
          "elbow": "ForeArm", "wrist": "Hand"}  # fmt: skip
BANDAI = {"hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes", "collar": "Shoulder",
          "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand"}  # fmt: skip
BIPED = {"hip": "Thigh", "knee": "Calf", "ankle": "Foot", "foot": "Toe0", "collar": "Clavicle", "shoulder": "UpperArm",
         "elbow": "Forearm", "wrist": "Hand"}  # fmt: skip
BIOVISION = {"hip": "Hip", "knee": "Knee", "ankle": "Ankle", "foot": "Toe", "collar": "Collar", "shoulder": "Shoulder",
             "elbow": "Elbow", "wrist": "Wrist"}  # fmt: skip
SMPL = {**BIOVISION, "foot": "Foot"}
CUSTOMS = {
    "mixamo": (named("mixamorig:Left{}", "mixamorig:Right{}", MIXAMO,
                     {"pelvis": "mixamorig:Hips", "neck": "mixamorig:Neck", "head": "mixamorig:Head"}),
               ("mixamorig:Spine", "mixamorig:Spine1", "mixamorig:Spine2"), True),
    "lafan1": (named("Left{}", "Right{}", {**MIXAMO, "foot": "Toe"},
                     {"pelvis": "Hips", "neck": "Neck", "head": "Head"}),
               ("Spine", "Spine1", "Spine2"), True),
    "cmu": (named("Left{}", "Right{}", MIXAMO, {"pelvis": "Hips", "neck": "Neck", "head": "Head"}),
            ("LowerBack", "Spine", "Spine1"), True),
    "bandai": (named("{}_L", "{}_R", BANDAI, {"pelvis": "Hips", "neck": "Neck", "head": "Head"}),
               ("Spine", "Chest"), True),
    "biped": (named("Bip01 L {}", "Bip01 R {}", BIPED, {"pelvis": "Bip01 Pelvis", "neck": "Bip01 Neck",
                                                        "head": "Bip01 Head"}),
              ("Bip01 Spine", "Bip01 Spine1"), True),
    "biovision": (named("Left{}", "Right{}", BIOVISION, {"pelvis": "Hips", "neck": "Neck", "head": "Head"}),
                  ("Chest",), False),
    "smpl": (named("L_{}", "R_{}", SMPL, {"pelvis": "Pelvis", "neck": "Neck", "head": "Head"}),
             ("Spine1", "Spine2", "Spine3"), True),
    "rigged": (named("DEF-{}.L", "DEF-{}.R", {"hip": "thigh", "knee": "shin", "ankle": "foot", "foot": "toe",
                                              "collar": "shoulder", "shoulder": "upper_arm", "elbow": "forearm",
                                              "wrist": "hand"},
                     {"pelvis": "DEF-pelvis", "neck": "DEF-neck", "head": "DEF-head"}), ("DEF-spine",), True),
    "lower case": (named("left{}", "right{}", {part: name.lower() for part, name in MIXAMO.items()},
                         {"pelvis": "hips", "neck": "neck", "head": "head"}), ("spine",), True),
    "without ends": (named("l{}", "r{}", {**BIPED, "foot": "", "knee": "Shin", "elbow": "ForeArm", "collar": "Collar",
                                          "shoulder": "Shldr"},
                           {"pelvis": "hip", "neck": "neck", "head": ""}), ("abdomen", "chest"), True),
}  # fmt: skip


def test_forward_kinematics_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "arm.bvh"
    path.write_text(ARM)
    bvh = read_bvh(path)
    assert bvh.names == ("Base", "Slide", "Fixed", "Fixed end")
    assert bvh.parents == (-1, 0, 1, 2)
    assert bvh.channels[1] == ("Yposition", "Zrotation")
    assert bvh.frame_time == pytest.approx(0.05)
    found = joint_positions(bvh)
    # Frame 0: a quarter turn about y takes (1, 5, 0) to (0, 5, -1), one about z takes (0, 2, 0) to (-2, 0, 0).
    np.testing.assert_allclose(found[0][0], [1, 2, 3])
    np.testing.assert_allclose(found[1][0], [1, 7, 2], atol=1e-12)
    np.testing.assert_allclose(found[2][0], [1, 7, 4], atol=1e-12)
    np.testing.assert_allclose(found[3][0], [4, 7, 4], atol=1e-12)
    # Frame 1: the order of channels is the order of rotations, Y then Z then X.
    base = Rotation.from_euler("YZX", [0, 30, 60], degrees=True)
    np.testing.assert_allclose(found[1][1], np.array([1, 2, 3]) + base.apply([1, 0, 0]), atol=1e-12)
    np.testing.assert_allclose(found[3][1], np.array([1, 2, 3]) + base.apply([1, 2, 3]), atol=1e-12)


@settings(max_examples=25)
@given(st.permutations("XYZ"), st.integers(0, 1000))
def test_every_order_of_rotations(order: list[str], seed: int) -> None:
    import tempfile

    random = np.random.default_rng(seed)
    angles, offset = random.uniform(-180, 180, (2, 3)), random.normal(size=3)
    channels = " ".join(f"{axis}ROTATION" for axis in order)
    text = (f"HIERARCHY\nROOT a\n{{\nOFFSET 0 0 0\nCHANNELS 3 {channels}\nEnd Site\n{{\nOFFSET "
            f"{' '.join(map(repr, offset.tolist()))}\n}}\n}}\nMOTION\nFrames: 2\nFrame Time: .1\n"
            + "\n".join(" ".join(map(repr, row.tolist())) for row in angles))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bvh"
        path.write_text(text)
        found = joint_positions(read_bvh(path))[1]
    axes = {axis: np.eye(3)["XYZ".index(axis)] for axis in "XYZ"}
    for row, position in zip(angles, found, strict=True):
        expected = offset
        for axis, angle in reversed(list(zip(order, row, strict=True))):
            expected = Rotation.from_rotvec(np.radians(angle) * axes[axis]).apply(expected)
        np.testing.assert_allclose(position, expected, atol=1e-9)


@pytest.mark.parametrize("custom", list(CUSTOMS))
def test_joints_are_found_by_their_names(custom: str, tmp_path: Path) -> None:
    names, spine, collar = CUSTOMS[custom]
    path = tmp_path / "a.bvh"
    path.write_text(skeleton_text(names, spine, collar))
    motion = read_motion(path)
    expected = place(forward(HUMANML3D, np.tile(np.eye(3), (2, 22, 1, 1)), np.zeros((2, 3))))[0]
    # Where the file lacks joints they are made up, a few centimetres from where they would be.
    made_up = {"foot": custom == "without ends", "head": custom == "without ends", "collar": not collar}
    for index, joint in enumerate(HUMANML3D.joints):
        lenient = joint.startswith("spine") or joint == "neck" or any(
            value for part, value in made_up.items() if part in joint
        )  # fmt: skip
        apart = float(np.linalg.norm(motion.joints[0, index] - expected[index] - [0, shift(motion, expected), 0]))
        assert apart < (0.12 if lenient else 0.002), (joint, apart, motion.notes)


def shift(motion: Motion, expected: np.ndarray) -> float:
    """How much higher the hips are than expected: the floor is elsewhere when the toes are made up."""
    return float(motion.joints[0, 0, 1] - expected[0, 1])


def test_names() -> None:
    assert plain("mixamorig12:LeftUpLeg") == ("left", "upleg")
    assert plain("LHipJoint") == ("left", "hipjoint")
    assert plain("b_r_upleg") == ("right", "upleg")
    assert plain("Bip001 R Toe0") == ("right", "toe")
    assert plain("thigh_l") == ("left", "thigh")
    assert plain("joint_Root") == ("", "root")
    assert plain("Neck1") == ("", "neck1")
    assert plain("left_collar") == ("left", "collar")
    assert plain("rShldr") == ("right", "shldr")
    assert plain("Leg") == ("", "leg")
    assert plain("") == ("", "")


def test_what_is_missing_is_listed() -> None:
    with pytest.raises(VlcliError, match=r"D807.*left_hip, right_hip.*it has root, tail") as refused:
        map_joints(["root", "tail", "head", "neck"], [-1, 0, 1, 2], "dog.bvh")
    assert "LeftUpLeg" in refused.value.help
    names = ["Neck", "Hips", "Head", *(f"{side}{part}" for side in ("Left", "Right") for part in MIXAMO.values())]
    with pytest.raises(VlcliError, match="does not hang on the hips"):
        map_joints(names, [-1, 0, 0, *[1] * 16], "odd.bvh")


def test_units_are_told_by_the_height(tmp_path: Path) -> None:
    names, spine, _ = CUSTOMS["lafan1"]
    heights = []
    for scale, note in ((1.0, ""), (100.0, "centimetres"), (1000.0, "millimetres"), (39.37, "inches"), (17.716, "CMU")):
        path = tmp_path / "a.bvh"
        path.write_text(skeleton_text(names, spine, unit=scale))
        motion = read_motion(path)
        heights.append(float(motion.joints[0, 15, 1]))
        assert " ".join(motion.notes).startswith(note) and bool(motion.notes) == bool(note)
    np.testing.assert_allclose(heights, heights[0], rtol=1e-3)


def test_other_rates_become_20_a_second(tmp_path: Path) -> None:
    motion = motion_of(walk(3, 61), 20, HUMANML3D)
    text = bvh_text(motion)
    path = tmp_path / "a.bvh"
    path.write_text(text.replace("Frame Time: 0.05", "Frame Time: 0.0166666667"))
    fast = read_motion(path)
    assert fast.frames == 21
    np.testing.assert_allclose(fast.joints, motion.joints[::3], atol=2e-3)
    assert "60 frames a second turned into 20" in fast.notes
    path.write_text(text.replace("Frame Time: 0.05", "Frame Time: 0.1"))
    slow = read_motion(path)
    assert slow.frames == 121
    np.testing.assert_allclose(slow.joints[::2], motion.joints, atol=2e-3)
    lengths = np.linalg.norm(slow.joints[:, 4] - slow.joints[:, 1], axis=1)
    np.testing.assert_allclose(lengths, lengths[0], atol=1e-4)  # rotations are interpolated, not positions


@settings(max_examples=30)
@given(st.integers(2, 400), st.floats(1, 240), st.floats(1, 60))
def test_times_of_frames(count: int, fps: float, target: float) -> None:
    times = frame_times(count, fps, target)
    assert times[0] == 0 and times[-1] <= count - 1
    assert (count - 1 - times[-1]) / fps < 1 / target + 1e-5
    line = np.arange(count, dtype=np.float64)[:, None]
    np.testing.assert_allclose(resample(line, times)[:, 0], times, atol=1e-9)


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.sampled_from(["humanml3d", "kit"]), st.floats(-1, 1))
def test_written_motions_read_back(seed: int, name: str, rounds: float) -> None:
    import tempfile

    skeleton = SKELETONS[name]
    motion = motion_of(walk(seed, 30, skeleton, turns=rounds, size=0.5), 20, skeleton)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.bvh"
        write_bvh(path, motion)
        back = read_motion(path)
    assert back.frames == motion.frames
    if skeleton is HUMANML3D:
        np.testing.assert_allclose(back.joints, motion.joints, atol=1e-3)
    else:  # KIT's mirrored coordinates are mirrored back; both skeletons have these joints.
        for part in ("hip", "knee", "ankle", "elbow", "wrist"):
            for side in ("left", "right"):
                ours = back.joints[:, HUMANML3D.index(f"{side}_{part}")] - back.joints[:, 0]
                theirs = motion.joints[:, KIT.index(f"{side}_{part}")] - motion.joints[:, 0]
                np.testing.assert_allclose(np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1), atol=1e-3)
                np.testing.assert_allclose(ours[:, 1], theirs[:, 1], atol=1e-3)


def test_bones_that_stretch_are_kept_within_two_centimetres(tmp_path: Path) -> None:
    joints = walk(8, 40)
    noise = np.random.default_rng(0).normal(size=joints.shape) * 0.004
    motion = motion_of(joints + noise, 20, HUMANML3D)
    write_bvh(tmp_path / "a.bvh", motion)
    apart = np.linalg.norm(read_motion(tmp_path / "a.bvh").joints - motion.joints, axis=2)
    assert apart.mean() < 0.015
    assert apart.max() < 0.05


def test_the_file_is_in_a_form_that_other_programs_take(tmp_path: Path) -> None:
    motion = motion_of(walk(1, 10), 20, HUMANML3D)
    write_bvh(tmp_path / "a.bvh", motion)
    bvh = read_bvh(tmp_path / "a.bvh")
    assert bvh.names[0] == "Hips"
    assert {len(channels) for channels, name in zip(bvh.channels, bvh.names, strict=True)
            if not name.endswith(" end")} == {3, 6}  # fmt: skip
    assert sum(name.endswith(" end") for name in bvh.names) == 5
    assert {"LeftUpLeg", "LeftForeArm", "RightToeBase", "Spine2"} <= set(bvh.names)
    assert np.abs(np.diff(bvh.values[:, 3:], axis=0)).max() < 180  # angles do not jump by a full turn


def test_real_clips() -> None:
    paths = sorted(shared("bandai_motion", "bvh").glob("*.bvh"))
    assert len(paths) == 200
    clearance, lean, heights, toes = [], [], [], []
    for path in paths:
        bvh = read_bvh(path)
        motion = bvh_motion(bvh, path.name)
        joints = motion.joints
        assert joints.shape[1:] == (22, 3)
        assert abs(motion.seconds - (len(bvh.values) - 1) / 30) < 0.06
        assert joints[..., 1].min() == pytest.approx(0, abs=1e-6)
        np.testing.assert_allclose(joints[0, 0, [0, 2]], 0, atol=1e-6)
        feet = joints[:, list(HUMANML3D.feet), 1].min(1)
        clearance.append(float(np.median(feet)))
        lean.append(float((joints[:, 15, 1] - joints[:, 0, 1]).min()))
        heights.append(float(np.quantile(joints[:, 15, 1], 0.9)))
        assert joints[0, 1, 0] > joints[0, 2, 0]  # the left hip is at +x
        if "run" in path.name or "dash" in path.name:
            continue  # who runs pushes off with the toes behind
        ways = unit(facing(joints.astype(np.float64), HUMANML3D))
        toes.append(float(np.median(((joints[:, [10, 11]] - joints[:, [7, 8]]).mean(1) * ways).sum(1))))
        assert "centimetres turned into metres" in motion.notes
    assert np.median(clearance) < 0.03 and max(clearance) < 0.12, "feet are near the floor"
    assert min(lean) > 0.1, "heads are above hips"
    assert min(toes) > 0.02, "toes point the way the body faces"
    assert min(heights) > 1.1 and max(heights) < 1.8


def test_left_and_right_are_those_of_the_labels() -> None:
    folder = shared("bandai_motion", "bvh")
    for side, other, sign in (("left", "right", 1), ("right", "left", -1)):
        raised = sorted(folder.glob(f"*raise-up-{side}-hand*.bvh"))[:4]
        turning = sorted(folder.glob(f"*walk-turn-{side}*.bvh"))[:3]
        assert raised and turning
        for path in raised:
            joints = read_motion(path).joints
            tops = [float((joints[:, HUMANML3D.index(f"{arm}_wrist"), 1]).max()) for arm in (side, other)]
            assert tops[0] > tops[1] + 0.3, path.name
        for path in turning:
            angles = np.degrees(np.unwrap(headings(read_motion(path).joints.astype(np.float64))))
            assert 60 < sign * (angles[-1] - angles[0]) < 120, path.name


def test_real_clips_survive_writing(tmp_path: Path) -> None:
    for path in sorted(shared("bandai_motion", "bvh").glob("*.bvh"))[::25]:
        motion = read_motion(path)
        write_bvh(tmp_path / "a.bvh", motion)
        apart = np.linalg.norm(read_motion(tmp_path / "a.bvh").joints - motion.joints, axis=2)
        assert apart.mean() < 0.005
        assert apart.max() < 0.02
