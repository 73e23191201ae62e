"""The modality: contracts, every kind of array, AMASS-style files, options, commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from vlcli_motion.bvh_writing import write_bvh
from vlcli_motion.features import features_to_joints, headings, joints_to_features, place
from vlcli_motion.health import check_features
from vlcli_motion.modality import MotionModality
from vlcli_motion.motion import Motion
from vlcli_motion.normalise import motion_of
from vlcli_motion.readers import read_motion
from vlcli_motion.reading_options import ReadingOptions, options_from
from vlcli_motion.skeleton import HUMANML3D, KIT
from vlcli_motion.writers import write_motion

from vlcli.api import Source, View
from vlcli.cli.main import run
from vlcli.errors import VlcliError
from vlcli.testing import check_modality, check_plugin, check_registered_modality

sys.path.insert(0, str(Path(__file__).parent))
from motions_for_tests import roots, shared, vectors, walk


@pytest.fixture(scope="module")
def motion() -> Motion:
    return motion_of(walk(2, 50), 20, HUMANML3D)


def saved(path: Path, **arrays: Any) -> Path:
    """An NPZ file, or an NPY file of the only array."""
    if path.suffix == ".npy":
        np.save(path, next(iter(arrays.values())))
    else:
        np.savez(path, **arrays)
    return path


def test_contracts(tmp_path: Path, motion: Motion) -> None:
    registry = check_plugin("motion")
    for name in ("a.bvh", "a.npy", "a.npz"):
        write_motion(tmp_path / name, motion)
        check_modality(MotionModality(), tmp_path / name)
    bad = tmp_path / "bad.bvh"
    bad.write_text("HIERARCHY\nnothing")
    items = check_registered_modality(
        registry, "motion", [Source(id=name, path=tmp_path / name) for name in ("a.bvh", "a.npy", "a.npz")],
        bad=[Source(id="bad", path=bad), Source(id="text", value="a person walks")],
    )  # fmt: skip
    for item in items:
        np.testing.assert_allclose(item.joints, motion.joints, atol=1e-3)
        assert not item.joints.flags.writeable


def test_preview_and_view(tmp_path: Path, motion: Motion) -> None:
    import io

    write_motion(tmp_path / "a.npy", motion)
    source = Source(id="a", path=tmp_path / "a.npy")
    picture = np.asarray(Image.open(io.BytesIO(MotionModality().preview(source, 200))).convert("L"))
    assert max(picture.shape) <= 200
    assert (picture < 128).sum() > 50
    view = MotionModality().view(source)
    assert isinstance(view, View) and view.script == "vlcli_motion:viewer.js"
    assert len(json.dumps(view.data)) < 60_000


def test_a_motion_is_placed() -> None:
    motion = motion_of(walk(7, 30) + np.array([4.0, 2.0, -9.0]), 20, HUMANML3D, ("kept",))
    assert motion.joints.dtype == np.float32
    assert motion.joints[..., 1].min() == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(motion.joints[0, 0, [0, 2]], 0, atol=1e-6)
    assert headings(motion.joints[:1].astype(np.float64))[0] == pytest.approx(0, abs=1e-6)
    assert motion.notes == ("kept",)
    assert (motion.frames, motion.seconds) == (30, pytest.approx(1.45))


@pytest.mark.parametrize("count", [22, 24, 52, 55])
def test_arrays_of_joints(count: int, tmp_path: Path, motion: Motion) -> None:
    more = np.concatenate([motion.joints, np.ones((motion.frames, count - 22, 3))], axis=1)
    found = read_motion(saved(tmp_path / "a.npy", joints=more))
    np.testing.assert_allclose(found.joints, motion.joints, atol=1e-6)
    assert found.notes == (() if count == 22 else (f"{count - 22} joints of hands and face left out",))
    moved = read_motion(saved(tmp_path / "b.npy", joints=np.moveaxis(more, 0, 2)[None]))
    np.testing.assert_allclose(moved.joints, motion.joints, atol=1e-6)
    assert "frames were the last axis" in moved.notes


def test_arrays_of_kit(tmp_path: Path) -> None:
    joints = place(walk(4, 25, KIT), KIT)
    for values in (joints, joints_to_features(joints)):
        found = read_motion(saved(tmp_path / "a.npy", values=values))
        assert found.skeleton == "kit"
        assert "12.5 frames a second turned into 20" in found.notes
        assert found.frames == int(24 / 12.5 * 20) + 1
        lower = joints[0, 0, 1] - found.joints[0, 0, 1]  # the lowest frame may not be among those at 20 a second
        assert 0 <= lower < 0.01
        np.testing.assert_allclose(found.joints[::8], joints[::5] - [0, lower, 0], atol=1e-4)


def test_arrays_of_features(tmp_path: Path, motion: Motion) -> None:
    features = joints_to_features(motion.joints)
    found = read_motion(saved(tmp_path / "a.npy", features=features))
    assert found.frames == motion.frames
    np.testing.assert_allclose(found.joints, motion.joints, atol=1e-4)
    np.testing.assert_allclose(joints_to_features(found.joints), features, atol=1e-4)
    normalised = (features - features.mean(0)) / (features.std(0) + 1e-6)
    with pytest.raises(VlcliError, match=r"D810.*a mean and a deviation"):
        read_motion(saved(tmp_path / "b.npy", features=normalised))


def test_real_features_and_joints_agree() -> None:
    folder = shared("humanml3d_sample")
    joints = read_motion(folder / "new_joints" / "012314.npy")
    features = read_motion(folder / "new_joint_vecs" / "012314.npy")
    assert features.frames == joints.frames + 1
    np.testing.assert_allclose(features.joints[:-1], joints.joints, atol=1e-5)
    assert joints.notes == features.notes == ()


def test_rotations_as_amass_has_them(tmp_path: Path) -> None:
    """Rotations and positions of a motion, turned so that z is up, give that motion under several names."""
    turned, path = vectors(3, 40), roots(3, 40)
    still = Rotation.from_euler("X", 90, degrees=True)
    root = (still * Rotation.from_rotvec(turned[:, 0])).as_rotvec()
    poses = np.concatenate([root[:, None], turned[:, 1:], np.full((40, 30, 3), 0.2)], axis=1).reshape(40, 156)
    trans = still.apply(path)
    expected = motion_of(walk(3, 40), 20, HUMANML3D)
    files = {
        "amass": {"poses": poses, "trans": trans, "mocap_framerate": np.array(20.0), "betas": np.zeros(16),
                  "gender": np.array("neutral")},
        "smplx": {"root_orient": poses[:, :3], "pose_body": poses[:, 3:66], "trans": trans,
                  "mocap_frame_rate": np.array(20)},
        "short": {"poses": poses[:, :66].reshape(40, 22, 3), "transl": trans, "fps": np.array([20.0])},
    }  # fmt: skip
    for name, arrays in files.items():
        found = read_motion(saved(tmp_path / f"{name}.npz", **arrays))
        np.testing.assert_allclose(found.joints, expected.joints, atol=1e-5, err_msg=name)
        assert found.notes[0].startswith("bones of the average person")
        assert "z was up" in found.notes
    fast = {**files["amass"], "mocap_framerate": np.array(40.0)}
    half = read_motion(saved(tmp_path / "fast.npz", **fast))
    assert half.frames == 20
    np.testing.assert_allclose(half.joints, motion_of(walk(3, 40)[::2], 20, HUMANML3D).joints, atol=2e-3)
    del fast["mocap_framerate"]
    with pytest.raises(VlcliError, match=r"D806.*VLCLI_MOTION=fps"):
        read_motion(saved(tmp_path / "rateless.npz", **fast))
    assert read_motion(tmp_path / "rateless.npz", ReadingOptions(fps=40)).frames == 20
    upright = {**files["short"], "poses": turned, "transl": path}
    found = read_motion(saved(tmp_path / "upright.npz", **upright), ReadingOptions(up="y"))
    np.testing.assert_allclose(found.joints, expected.joints, atol=1e-5)


def test_options_come_from_the_environment(tmp_path: Path, motion: Motion, monkeypatch: pytest.MonkeyPatch) -> None:
    turned = np.stack([motion.joints[..., 0], -motion.joints[..., 2], motion.joints[..., 1]], axis=-1)
    path = saved(tmp_path / "a.npy", joints=turned)
    assert "the body lies along z throughout" in read_motion(path).notes[-1]
    monkeypatch.setenv("VLCLI_MOTION", "up=z fps=40")
    found = read_motion(path)
    assert found.frames == 25
    np.testing.assert_allclose(found.joints, place(motion.joints[:49:2]), atol=1e-5)
    for text in ("fps=fast", "fps=0", "fps=nan", "up=x", "colour=red", "fps"):
        with pytest.raises(VlcliError, match="U801"):
            options_from(text)
    assert options_from("") == ReadingOptions()


def test_units_of_arrays(tmp_path: Path, motion: Motion) -> None:
    found = read_motion(saved(tmp_path / "a.npy", joints=motion.joints * 1000))
    np.testing.assert_allclose(found.joints, motion.joints, atol=1e-5)
    assert found.notes == ("millimetres turned into metres",)
    whole = read_motion(saved(tmp_path / "b.npy", joints=np.rint(motion.joints * 1000).astype(np.int16)))
    np.testing.assert_allclose(whole.joints, motion.joints, atol=2e-3)


@pytest.mark.parametrize("form", ["joints", "features"])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".bvh"])
def test_convert(form: str, suffix: str, tmp_path: Path, motion: Motion, capsys: pytest.CaptureFixture[str]) -> None:
    write_bvh(tmp_path / "in.bvh", motion)
    output = tmp_path / f"out{suffix}"
    assert run(["motion", "convert", str(tmp_path / "in.bvh"), "-o", str(output), "--as", form]) == 0
    assert capsys.readouterr().out.strip() == str(output)
    np.testing.assert_allclose(read_motion(output).joints, motion.joints, atol=2e-3)
    if suffix == ".npy":
        assert np.load(output).shape == ((50, 22, 3) if form == "joints" else (49, 263))


def test_commands_tell_what_is_wrong(tmp_path: Path, motion: Motion, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "a.npy", joints=motion.joints)
    assert run(["motion", "convert", str(path), "-o", str(tmp_path / "b.fbx")]) == 2
    assert "U803" in capsys.readouterr().err
    assert run(["motion", "convert", str(path), "-o", str(tmp_path / "b.npy"), "--as", "video"]) == 2
    assert "U802" in capsys.readouterr().err
    assert not (tmp_path / "b.npy").exists()
    assert run(["motion", "info", str(tmp_path / "none.bvh")]) == 1
    assert "D111" in capsys.readouterr().err


def test_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    still = np.repeat(walk(1, 1), 21, axis=0)
    still[:, :, 0] += np.linspace(0, 2, 21)[:, None]
    path = saved(tmp_path / "a.npy", joints=still)
    assert run(["motion", "info", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["frames"] == 21 and facts["seconds"] == 1.0 and facts["schema"] == 1
    assert facts["path_metres"] == facts["distance_metres"] == pytest.approx(2, abs=1e-3)
    assert facts["turned_left_degrees"] == 0
    assert 1.5 < facts["height_metres"] < 1.9
    assert run(["motion", "info", str(path)]) == 0
    assert "path metres" in capsys.readouterr().out


def test_health() -> None:
    assert "come back" in check_features()


def test_memory_of_a_long_clip_is_bounded(tmp_path: Path) -> None:
    import tracemalloc

    features = np.tile(joints_to_features(walk(1, 31)), (1200, 1))[:35_000]
    path = saved(tmp_path / "long.npy", features=features)
    tracemalloc.start()
    found = read_motion(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.frames == 35_001
    assert peak < 800_000_000
    assert np.isfinite(features_to_joints(features[:100])).all()
