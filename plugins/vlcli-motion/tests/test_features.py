"""HumanML3D's features: equal to the published sample, independent of place and heading, and back to joints."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlcli_motion.features import (
    KIT_LAYOUT,
    LAYOUT,
    Layout,
    features_to_joints,
    headings,
    joints_to_features,
    layout_of,
    place,
    root_angles,
)
from vlcli_motion.rotations import about_y, between, from_six, rotate, slerp, to_six, unit, wrap
from vlcli_motion.skeleton import HUMANML3D, KIT, SKELETONS, forward, skeleton_of

sys.path.insert(0, str(Path(__file__).parent))
from motions_for_tests import shared, walk

PARTS = tuple(Layout.__dataclass_fields__)


def sample() -> tuple[np.ndarray, np.ndarray]:
    folder = shared("humanml3d_sample")
    return np.load(folder / "new_joints" / "012314.npy"), np.load(folder / "new_joint_vecs" / "012314.npy")


def test_layout() -> None:
    assert (LAYOUT.width, KIT_LAYOUT.width) == (263, 251)
    assert LAYOUT.positions == slice(4, 67)
    assert LAYOUT.rotations == slice(67, 193)
    assert LAYOUT.velocities == slice(193, 259)
    assert LAYOUT.contacts == slice(259, 263)
    for layout, skeleton in ((LAYOUT, HUMANML3D), (KIT_LAYOUT, KIT)):
        assert layout.width == skeleton.features == skeleton_of(skeleton.count).features
        ends = [getattr(layout, part) for part in PARTS]
        assert all(first.stop == second.start for first, second in pairwise(ends))


def test_joints_of_the_sample_give_its_features() -> None:
    joints, published = sample()
    ours = joints_to_features(joints)
    assert ours.shape == (169, 263)
    # The published joints lack the last frame that their features were made with, and the heading of the last 80
    # frames is smoothed with it. Before them nothing differs.
    np.testing.assert_allclose(ours[:-80], published[:-81], atol=1e-5)
    for part in ("turn", "velocity", "height", "velocities", "contacts"):
        where = getattr(LAYOUT, part)
        np.testing.assert_allclose(ours[:, where], published[:-1, where], atol=1e-3, err_msg=part)
    np.testing.assert_allclose(ours, published[:-1], atol=0.014)


def test_features_of_the_sample_come_back() -> None:
    joints, published = sample()
    for source in ("positions", "rotations"):
        np.testing.assert_allclose(features_to_joints(published, source), joints, atol=1e-5)
    whole = features_to_joints(published, closing=True)
    assert len(whole) == len(published) + 1
    np.testing.assert_allclose(joints_to_features(whole), published, atol=1e-5)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.floats(-3, 3), st.floats(-50, 50), st.floats(-50, 50), st.floats(-2, 2))
def test_features_do_not_depend_on_place_and_heading(seed: int, turn: float, x: float, z: float, rounds: float) -> None:
    joints = walk(seed, turns=rounds)
    moved = rotate(about_y(np.float64(turn)), joints) + np.array([x, 0.4, z])
    first, second = joints_to_features(joints), joints_to_features(moved)
    # A foot whose speed is just at the threshold may fall on either side.
    contacts = LAYOUT.contacts
    assert (first[:, contacts] != second[:, contacts]).mean() < 0.01
    np.testing.assert_allclose(first[:, : contacts.start], second[:, : contacts.start], atol=2e-4)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(["humanml3d", "kit"]), st.integers(2, 60), st.floats(-2, 2))
def test_joints_come_back(seed: int, name: str, frames: int, rounds: float) -> None:
    joints = place(walk(seed, frames, SKELETONS[name], turns=rounds), SKELETONS[name])
    features = joints_to_features(joints)
    assert features.shape == (frames - 1, SKELETONS[name].features)
    assert features.dtype == np.float32
    for source in ("positions", "rotations"):
        back = features_to_joints(features, source, closing=True)
        np.testing.assert_allclose(back, joints, atol=1e-4)
        np.testing.assert_allclose(features_to_joints(features, source), joints[:-1], atol=1e-4)


def test_the_parts_mean_what_they_say() -> None:
    still = np.tile(np.eye(3), (30, 22, 1, 1))
    ahead = np.zeros((30, 3))
    ahead[:, 2] = np.arange(30) * 0.05
    features = joints_to_features(forward(HUMANML3D, still, ahead))
    np.testing.assert_allclose(features[:, LAYOUT.turn], 0, atol=1e-6)
    np.testing.assert_allclose(features[:, LAYOUT.velocity], [[0, 0.05]] * 29, atol=1e-6)
    ground = -forward(HUMANML3D, still, np.zeros((30, 3)))[..., 1].min()
    np.testing.assert_allclose(features[:, LAYOUT.height], ground, atol=1e-6)
    local = features[0, LAYOUT.positions].reshape(21, 3)
    assert local[HUMANML3D.index("left_wrist") - 1, 0] > 0.5
    assert local[HUMANML3D.index("left_foot") - 1, 2] > 0.05
    velocities = features[:, LAYOUT.velocities].reshape(29, 22, 3)
    np.testing.assert_allclose(velocities, np.broadcast_to([0, 0, 0.05], (29, 22, 3)), atol=1e-6)
    np.testing.assert_array_equal(features[:, LAYOUT.contacts], 0)  # 0.05² is more than 0.002
    np.testing.assert_array_equal(joints_to_features(forward(HUMANML3D, still, ahead * 0.8))[:, LAYOUT.contacts], 1)
    six = features[:, LAYOUT.rotations].reshape(29, 21, 6)
    np.testing.assert_allclose(np.linalg.norm(six.reshape(29, 21, 2, 3), axis=-1), 1, atol=1e-5)


def test_turns_to_the_left_are_told_from_turns_to_the_right() -> None:
    for rounds in (0.25, -0.25):
        joints = walk(3, 100, turns=rounds, size=0.0)
        features = joints_to_features(joints)
        # The root's angle turns the body back to +z, so that it falls when the body turns left.
        assert np.sign(features[10:-10, LAYOUT.turn]).mean() == -np.sign(rounds)
        left = np.degrees(np.unwrap(headings(joints)))
        assert left[-1] - left[0] == pytest.approx(360 * rounds, abs=1e-6)


def test_a_heading_that_passes_half_a_turn() -> None:
    joints = place(walk(5, 200, turns=0.9, size=0.05))
    fixed = joints_to_features(joints)
    assert np.abs(fixed[1:, 0]).max() < 0.05
    np.testing.assert_allclose(features_to_joints(fixed, closing=True), joints, atol=1e-4)
    official = joints_to_features(joints, official=True)
    apart = np.flatnonzero(np.abs(official[:, 0] - fixed[:, 0]) > 1e-6)
    assert len(apart) == 1
    assert official[apart[0], 0] == pytest.approx(-fixed[apart[0], 0], abs=1e-6)


def test_bodies_without_a_heading_stay_finite() -> None:
    joints = walk(1, 20)
    joints[4:9] = joints[4:9, :1]  # all joints in one point
    assert np.isfinite(joints_to_features(joints)).all()
    assert np.isfinite(joints_to_features(np.zeros((5, 22, 3)))).all()
    backwards = rotate(about_y(np.array(np.pi)), place(walk(1, 20)))
    assert np.isfinite(joints_to_features(backwards)).all()
    assert np.isfinite(root_angles(backwards, HUMANML3D)).all()


def test_wrong_shapes() -> None:
    with pytest.raises(KeyError):
        joints_to_features(np.zeros((4, 23, 3)))
    with pytest.raises(ValueError, match="two frames"):
        joints_to_features(np.zeros((1, 22, 3)))
    with pytest.raises(KeyError):
        features_to_joints(np.zeros((4, 262)))


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_rotations(seed: int) -> None:
    random = np.random.default_rng(seed)
    start, end = unit(random.normal(size=(2, 8, 3)))
    turned = between(start, end)
    np.testing.assert_allclose(rotate(turned, start), end, atol=1e-9)
    np.testing.assert_allclose(turned @ np.swapaxes(turned, 1, 2), np.broadcast_to(np.eye(3), (8, 3, 3)), atol=1e-9)
    half = between(start, -start)
    np.testing.assert_allclose(rotate(half, start), -start, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(half), 1, atol=1e-9)
    np.testing.assert_allclose(from_six(to_six(turned)), turned, atol=1e-9)
    np.testing.assert_allclose(from_six(3 * to_six(turned)), turned, atol=1e-9)
    assert np.abs(wrap(random.normal(size=50) * 20)).max() <= np.pi
    quaternions = random.normal(size=(5, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    from scipy.spatial.transform import Rotation, Slerp

    times = np.linspace(0, 4, 13)
    expected = Slerp(np.arange(5), Rotation.from_quat(quaternions))(times)
    ours = Rotation.from_quat(slerp(quaternions, times))
    assert (expected.inv() * ours).magnitude().max() < 1e-6


def test_the_skeletons_are_whole() -> None:
    for skeleton in SKELETONS.values():
        assert all(parent < joint for joint, parent in enumerate(skeleton.parents))
        chained = {(a, b) for chain in skeleton.chains for a, b in pairwise(chain)}
        assert chained == set(skeleton.bones)
        assert [skeleton.mirror[other] for other in skeleton.mirror] == list(range(skeleton.count))
        mirrored = skeleton.rest[list(skeleton.mirror)] * [-1, 1, 1]
        np.testing.assert_array_equal(mirrored, skeleton.rest)
        rest = forward(skeleton, np.tile(np.eye(3), (1, skeleton.count, 1, 1)), np.zeros((1, 3)))
        assert headings(rest, skeleton)[0] == pytest.approx(0)
        assert layout_of(skeleton.count).width == skeleton.features
