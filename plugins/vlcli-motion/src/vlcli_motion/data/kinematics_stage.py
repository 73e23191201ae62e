"""Where a body is between two movements of a script."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from vlcli_motion.data.kinematics_body import Array, Frames
from vlcli_motion.data.kinematics_steps import Gait, standing_toes, still

SEAT_DROP, SEAT_BACK = 0.43, 0.36
"""How far down and back the pelvis is of somebody who sits, metres."""
SEATED_ARM = np.array([24.0, 8.0, 66.0, 2.0])
"""Hands on the thighs."""


@dataclass
class Stage:
    """The state between two movements.

    Attributes:
        seated: whether the body sits.
        energy: how large movements are, 1 for the usual.
        lead: the foot that steps first, 0 the left one.
        root: where the body stands, `[2]`.
        heading: where it faces, radians.
        toes: where they are on the ground, `[2, 2]`.
    """

    seated: bool = False
    energy: float = 1.0
    lead: int = 0
    root: Array = field(default_factory=lambda: np.zeros(2))
    heading: float = 0.0
    toes: Array = field(default_factory=lambda: standing_toes(np.zeros(2), np.asarray(0.0)))

    def follow(self, frames: Frames) -> None:
        """Be where a movement ended."""
        self.root, self.heading = frames.root[-1], float(frames.heading[-1])
        self.toes = frames.toes[-1][:, [0, 2]]

    def still(self, count: int) -> Frames:
        """Frames in which nothing happens, standing or sitting."""
        frames = still(self.root, self.heading, self.toes, count)
        if self.seated:
            frames.drop += SEAT_DROP
            frames.shift[:, 1] -= SEAT_BACK
            frames.upper[:, 0] += 3
            frames.upper[:, 5:9] = frames.upper[:, 9:13] = SEATED_ARM
        return frames

    def scaled(self, gait: Gait, cadence: float = 1.0) -> Gait:
        """A gait as lively as the body is."""
        size = 0.4 + 0.6 * self.energy
        return replace(gait, cadence=gait.cadence * cadence * (0.75 + 0.25 * self.energy), lift=gait.lift * size,
                       heel=gait.heel * min(1.1, size), bob=gait.bob * size, arms=gait.arms * self.energy)  # fmt: skip
