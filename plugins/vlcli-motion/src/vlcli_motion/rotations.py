"""Rotations as matrices in numpy: between vectors, about the vertical axis, and the six numbers of Zhou et al. (2019).

Euler angles, axis-angle vectors and interpolation on the sphere are `scipy.spatial.transform`'s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SMALL = 1e-9


def unit(vectors: Array, fallback: tuple[float, float, float] | None = None) -> Array:
    """Vectors `[…, 3]` with length 1; those without a direction become `fallback`, or stay zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled = vectors / np.where(lengths < SMALL, 1.0, lengths)
    if fallback is None:
        return np.asarray(scaled)
    return np.where(lengths < SMALL, np.asarray(fallback, dtype=np.float64), scaled)


def cross_matrix(vectors: Array) -> Array:
    """The matrices `[…, 3, 3]` that take the cross product with `vectors` `[…, 3]` from the left."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape[:-1], 3, 3)


def between(start: Array, end: Array) -> Array:
    """The smallest rotations `[…, 3, 3]` that turn unit vectors `start` into unit vectors `end`, both `[…, 3]`.

    Opposite vectors have no smallest rotation: half a turn is taken about an axis that depends on `start` alone.
    """
    start, end = np.broadcast_arrays(start, end)
    cosine = (start * end).sum(-1)[..., None, None]
    cross = np.cross(start, end)
    opposite = cosine < -1 + 1e-7
    # Rodrigues' formula with the sine's axis and the cosine as they are: c I + [w]x + w w^T / (1 + c).
    outer = cross[..., :, None] * cross[..., None, :]
    turned = cosine * np.eye(3) + cross_matrix(cross) + outer / np.where(opposite, 1.0, 1 + cosine)
    if not opposite.any():
        return np.asarray(turned)
    # An axis at a right angle to start: the coordinate axis that is least like it, without its share of start.
    least = np.eye(3)[np.abs(start).argmin(-1)]
    axis = unit(least - (least * start).sum(-1, keepdims=True) * start)
    half_turn = 2 * axis[..., :, None] * axis[..., None, :] - np.eye(3)
    return np.where(opposite, half_turn, turned)


def about_y(angles: Array) -> Array:
    """Rotations `[…, 3, 3]` about the vertical axis by `angles` `[…]` in radians, right-handed: z turns towards x."""
    cosine, sine = np.cos(angles), np.sin(angles)
    zero, one = np.zeros_like(cosine), np.ones_like(cosine)
    return np.stack([cosine, zero, sine, zero, one, zero, -sine, zero, cosine], axis=-1).reshape(*cosine.shape, 3, 3)


def rotate(matrices: Array, vectors: Array) -> Array:
    """Apply rotations `[…, 3, 3]` to vectors `[…, 3]`."""
    return np.asarray(np.einsum("...ij,...j->...i", matrices, vectors))


def wrap(angles: Array) -> Array:
    """Angles in radians within -π … π."""
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi)


def to_six(matrices: Array) -> Array:
    """The first two columns of rotations `[…, 3, 3]`, one after the other, `[…, 6]` (Zhou et al. 2019, section 4)."""
    return np.concatenate([matrices[..., :, 0], matrices[..., :, 1]], axis=-1)


def from_six(numbers: Array) -> Array:
    """Rotations `[…, 3, 3]` of any `[…, 6]`, by Gram-Schmidt: the third column is x̂ × y, the second then ẑ × x̂."""
    first = unit(numbers[..., :3], (1.0, 0.0, 0.0))
    third = unit(np.cross(first, numbers[..., 3:]), (0.0, 0.0, 1.0))
    return np.stack([first, np.cross(third, first), third], axis=-1)


def slerp(quaternions: Array, times: Array) -> Array:
    """Unit quaternions `[T, 4]` (x, y, z, w) at fractional frames, on the shorter arc between neighbours."""
    before = np.minimum(times.astype(np.int64), len(quaternions) - 1)
    first, second = quaternions[before], quaternions[np.minimum(before + 1, len(quaternions) - 1)]
    cosine = (first * second).sum(1, keepdims=True)
    second, cosine = np.where(cosine < 0, -second, second), np.abs(cosine)
    share = (times - before)[:, None]
    angle = np.arccos(np.clip(cosine, -1, 1))
    near = angle < 1e-6
    sine = np.where(near, 1.0, np.sin(angle))
    mixed = np.where(near, 1 - share, np.sin((1 - share) * angle) / sine) * first
    mixed = mixed + np.where(near, share, np.sin(share * angle) / sine) * second
    return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True))
