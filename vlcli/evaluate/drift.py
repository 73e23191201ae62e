"""How two spaces of the same data differ: rotation of each modality, and how far the modalities drift apart.

Ni et al., "Continual vision-language representation learning with off-diagonal information", ICML 2023, section 3. All
angles are in degrees. Between a model before (0) and after (t):

    SAM  angles between samples inside a modality; how much they changed says whether its topology was kept
    RAM  angle between a sample's vector at t and its own at 0: how far the modality was rotated as a whole
    inter-modal deviation: a pair's two sides rotated differently, |RAM_a - RAM_b|; and the change of the pair's angle
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlcli.errors import VlcliError

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Drift:
    """Angles in degrees, means over samples or pairs.

    Attributes:
        self_angle_change: modality -> mean absolute change of the angles between its samples (SAM).
        rotation: modality -> mean angle between a sample's two vectors (RAM).
        rotation_mismatch: mean of |RAM_a - RAM_b| over pairs.
        pair_angle_before, pair_angle_after: mean angle between the two sides of a pair.
        samples: pairs compared.
    """

    self_angle_change: dict[str, float]
    rotation: dict[str, float]
    rotation_mismatch: float
    pair_angle_before: float
    pair_angle_after: float
    samples: int


def measure_drift(before: dict[str, Floats], after: dict[str, Floats]) -> Drift:
    """Compare unit vectors `[N, D]` of two modalities before and after; row i of all four is one pair.

    Raises:
        VlcliError: E301 when the spaces do not have the same two modalities, width or number of samples.
    """
    shapes = {vectors.shape for vectors in (*before.values(), *after.values())}
    if before.keys() != after.keys() or len(before) != 2 or len(shapes) != 1:
        raise VlcliError("E301", "drift", "needs two spaces of one width over the same pairs of two modalities",
                         "compare a space with one that was trained from it")  # fmt: skip
    first, second = before
    rotations = {name: angles(before[name], after[name]) for name in before}
    return Drift(
        {name: self_angle_change(before[name], after[name]) for name in before},
        {name: float(rotation.mean()) for name, rotation in rotations.items()},
        float(np.abs(rotations[first] - rotations[second]).mean()),
        float(angles(before[first], before[second]).mean()),
        float(angles(after[first], after[second]).mean()),
        next(iter(shapes))[0],
    )


def angles(x: Floats, y: Floats) -> Array:
    """Angles between the rows of two sets of unit vectors `[N]`, in degrees.

    By the chord rather than the arc cosine, which has no precision near 0.
    """
    chord = np.linalg.norm(x.astype(np.float64) - y.astype(np.float64), axis=1)
    found: Array = np.degrees(2 * np.arcsin(np.clip(chord / 2, 0, 1)))
    return found


def self_angle_change(before: Floats, after: Floats, block: int = 512) -> float:
    """Mean of |angle_t(i, j) - angle_0(i, j)| over all pairs i ≠ j, in blocks of rows."""
    count = len(before)
    if count < 2:
        return 0.0
    total = 0.0
    for start in range(0, count, block):
        rows = slice(start, start + block)
        old = np.degrees(np.arccos(np.clip(before[rows].astype(np.float64) @ before.T.astype(np.float64), -1, 1)))
        new = np.degrees(np.arccos(np.clip(after[rows].astype(np.float64) @ after.T.astype(np.float64), -1, 1)))
        change = np.abs(new - old)
        # The angle of a sample with itself is 0 by definition, not by arithmetic.
        change[np.arange(len(change)), np.arange(start, start + len(change))] = 0.0
        total += float(change.sum())
    return total / (count * (count - 1))
