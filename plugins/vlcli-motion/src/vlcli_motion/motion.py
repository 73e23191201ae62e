"""The canonical form of a motion: joints in metres, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlcli_motion.skeleton import SKELETONS, Skeleton, SkeletonName


@dataclass(frozen=True, eq=False)
class Motion:
    """A motion of one person. Its arrays are not to be written to.

    Attributes:
        joints: `[T, J, 3]` float32 in metres, y up; the lowest joint of the clip is at y = 0, the root at x = z = 0 in
            frame 0, where the body faces +z (its left is +x; in KIT's mirrored coordinates -x).
        fps: frames a second.
        skeleton: `humanml3d` (22 joints in SMPL's order) or `kit` (21).
        notes: what was changed while reading.
    """

    joints: NDArray[np.float32]
    fps: float = 20.0
    skeleton: SkeletonName = "humanml3d"
    notes: tuple[str, ...] = ()

    @property
    def bones(self) -> Skeleton:
        """The skeleton itself, with names, parents and chains."""
        return SKELETONS[self.skeleton]

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return len(self.joints)

    @property
    def seconds(self) -> float:
        """How long it lasts, from its first frame to its last."""
        return (self.frames - 1) / self.fps

    def __repr__(self) -> str:
        import hashlib

        digest = hashlib.sha256(np.ascontiguousarray(self.joints).tobytes()).hexdigest()[:12]
        return f"Motion({self.frames} frames at {self.fps:g} a second, {self.skeleton}, {digest}, notes={self.notes})"
