"""Motions that tests make up: a smooth random walk of the average person."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation
from vlcli_motion.rotations import Array
from vlcli_motion.skeleton import HUMANML3D, Skeleton, forward


def shared(*parts: str) -> Path:
    """A file or folder of real data; the test is skipped where there is none."""
    folder = os.environ.get("VLCLI_SHARED")
    if not folder:
        pytest.skip("VLCLI_SHARED names no folder of real data")
    return Path(folder).joinpath("data", *parts)


def vectors(seed: int, frames: int, skeleton: Skeleton = HUMANML3D, turns: float = 0.0, size: float = 0.3) -> Array:
    """Smooth axis-angle vectors `[T, J, 3]`; the root also turns evenly about y by `turns` rounds."""
    random = np.random.default_rng(seed)
    noise = gaussian_filter1d(random.normal(size=(frames, skeleton.count, 3)), 4, axis=0) * size * 4
    noise[:, 0] *= 0.2
    angles = np.linspace(0, 2 * np.pi * turns, frames) + random.uniform(-3, 3)
    spin = Rotation.from_euler("Y", angles[:, None])
    noise[:, 0] = (spin * Rotation.from_rotvec(noise[:, 0])).as_rotvec()
    return np.asarray(noise)


def roots(seed: int, frames: int) -> Array:
    """A smooth path `[T, 3]` of hips some 0.9 m above the ground."""
    random = np.random.default_rng(seed + 1)
    steps = gaussian_filter1d(random.normal(size=(frames, 3)), 4, axis=0) * [0.1, 0.01, 0.1]
    return np.asarray(np.cumsum(steps, axis=0) + np.array([0.0, 0.9, 0.0]))


def walk(
    seed: int = 0, frames: int = 40, skeleton: Skeleton = HUMANML3D, turns: float = 0.0, size: float = 0.3
) -> Array:
    """Joints `[T, J, 3]` in metres, y up, anywhere and heading anywhere."""
    turned = vectors(seed, frames, skeleton, turns, size)
    matrices = Rotation.from_rotvec(turned.reshape(-1, 3)).as_matrix().reshape(frames, -1, 3, 3)
    return forward(skeleton, matrices, roots(seed, frames))
