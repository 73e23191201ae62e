"""How two spaces of the same data differ: rotation of each modality, and how far the modalities drift apart.

Ni et al., "Continual vision-language representation learning with off-diagonal information", ICML 2023, section 3. All
angles are in degrees. Between a model before (0) and after (t):

    SAM  angles between samples inside a modality; how much they changed says whether its topology was kept
    RAM  angle between a sample's vector at t and its own at 0: how far the modality was rotated as a whole
    inter-modal deviation: a pair's two sides rotated differently, |RAM_a - RAM_b|; and the change of the pair's angle
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.registry import Registry

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


def pair_modality(before: Space, after: Space, examples: Sequence[Example], wanted: str | None = None) -> str:
    """The modality besides text that both spaces embed and the data hold; `wanted` when it is one of them.

    Raises:
        VlcliError: E302 when there is none, or several and none is named.
    """
    held = {name for example in examples for name in example.sources}
    shared = [name for name in before.modalities if name in after.modalities and name in held and name != "text"]
    if wanted in shared:
        return wanted
    if len(shared) != 1 or wanted is not None:
        found = f"they share {', '.join(shared)}" if shared else "they share none besides text"
        raise VlcliError("E302", "--modality", f"'{wanted}' is not to be compared; {found}" if wanted else
                         f"which modality to compare is not clear; {found}", "name one with --modality")  # fmt: skip
    return shared[0]


def embed_pairs(
    space: Space, examples: Sequence[Example], modality: str, registry: Registry, *, batch_size: int = 32
) -> dict[str, Floats]:
    """Unit vectors `[N, D]` of both sides of every example: the modality's, and the first caption's.

    Raises:
        VlcliError: E303 when an input is refused: the rows of two spaces would no longer belong together.
    """
    from vlcli.align.embedder import Embedder

    embedder = Embedder(space, registry, batch_size=batch_size)
    sides = {
        modality: [example.sources[modality] for example in examples],
        "text": [Source(id=example.id, value=example.captions[0]) for example in examples],
    }
    vectors = {}
    for name, sources in sides.items():
        rows = []
        for embedded in embedder.embed_sources(name, sources):
            if embedded.vector is None:
                raise VlcliError(
                    "E303", embedded.source.id, f"is refused ({embedded.error})", "take it out of the data"
                )
            rows.append(embedded.vector)
        vectors[name] = np.stack(rows)
    return vectors


def drift_between(
    before: Space, after: Space, examples: Sequence[Example], registry: Registry, *, modality: str | None = None,
    batch_size: int = 32,
) -> Drift:  # fmt: skip
    """Embed the same pairs with two spaces and compare; examples without a caption or the modality are left out.

    Raises:
        VlcliError: E301 when the spaces have not one width, or no pair is left; E302, E303.
    """
    name = pair_modality(before, after, examples, modality)
    if "text" not in before.modalities or "text" not in after.modalities or before.dim != after.dim:
        what = f"needs two spaces with text and of one width, not {before.dim} and {after.dim} numbers"
        raise VlcliError("E301", "drift", what, "compare a space with one that was trained from it")
    pairs = [example for example in examples if example.captions and name in example.sources]
    if not pairs:
        raise VlcliError("E301", "drift", f"no example has both '{name}' and a caption", "use data with captions")
    return measure_drift(
        *(embed_pairs(space, pairs, name, registry, batch_size=batch_size) for space in (before, after))
    )
