"""Feet that step: from where the body goes to where each toe is, with nothing that slides while it stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlcli_motion.data.kinematics_body import ANKLE_FROM_TOE, REST, STANCE, Array, Frames, turned_flat

FPS = 20


@dataclass(frozen=True)
class Gait:
    """How somebody steps.

    Attributes:
        cadence: steps a second.
        swing: how long a foot is in the air, in steps; above 1 both are at times.
        lift: how high the toes are lifted, metres.
        heel: how far the heel rises behind, degrees.
        tuck: how far the heel rises while the foot swings, degrees.
        bob: how much the pelvis goes up and down, metres; negative where it is highest when both feet are in the air.
        arms: how far the arms swing, degrees.
        drop: how much lower the pelvis is all the time.
        uneven: how much longer the steps of one foot take than those of the other, as a share of a step.
    """

    cadence: float = 1.8
    swing: float = 0.8
    lift: float = 0.06
    heel: float = 45.0
    tuck: float = 0.0
    bob: float = 0.025
    arms: float = 24.0
    drop: float = 0.01
    uneven: float = 0.0


def smooth(u: Array | float) -> Array:
    """0 to 1 with no speed at either end; clipped outside."""
    x = np.clip(u, 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))


def seconds_axis(count: int) -> Array:
    """Times of `count` frames."""
    return np.arange(count) / FPS


def standing_toes(root: Array, heading: Array) -> Array:
    """Where the toes of both feet are when somebody stands at `root` `[..., 2]`: `[..., 2 feet, 2]` (x, z)."""
    forward = -ANKLE_FROM_TOE[2] - 0.02
    sides = [turned_flat(heading, np.array([side * STANCE, forward])) for side in (1.0, -1.0)]
    return np.stack([root + side for side in sides], -2)


def still(root: Array, heading: float, toes: Array, count: int) -> Frames:
    """`count` frames of standing with the toes `[2, 2]` on the ground."""
    feet = np.zeros((count, 2, 3))
    feet[..., [0, 2]] = toes
    return Frames(
        root=np.repeat(root[None], count, 0), heading=np.full(count, heading), drop=np.zeros(count),
        shift=np.zeros((count, 2)), toes=feet, yaw=np.full((count, 2), heading), heel=np.zeros((count, 2)),
        upper=np.repeat(REST[None], count, 0),
    )  # fmt: skip


def step_through(root: Array, heading: Array, start: Array, gait: Gait, lead: int) -> Frames:
    """Frames of a body that moves along `root` `[n, 2]` facing `heading` `[n]`, stepping foot after foot.

    A foot lands where the body will be in the middle of its stance, and the last landing of each is where it stands at
    the end; in between it does not move.

    Args:
        root: path of the body on the ground.
        heading: radians.
        start: toes at the first frame `[2, 2]`.
        gait: how it steps.
        lead: the foot that goes first, 0 the left one.
    """
    count = len(root)
    frames = still(root[0], float(heading[0]), start, count)
    frames.root, frames.heading = root, heading
    steps = max(2, round((count - 1) / FPS * gait.cadence))
    edges = np.linspace(0, count - 1, steps + 1)
    if gait.uneven:
        edges[1:-1] += gait.uneven * (edges[1] - edges[0]) * np.where(np.arange(1, steps) % 2, 0.5, -0.5)
    time = np.arange(count, dtype=float)
    last = float(count - 1)
    for foot in (0, 1):
        mine = [step for step in range(steps) if (lead + step) % 2 == foot]
        middles = [(edges[step] + edges[step + 1]) / 2 for step in mine]
        halves = [gait.swing * (edges[step + 1] - edges[step]) / 2 for step in mine]
        swings = [(max(0.0, m - h), min(last, m + h)) for m, h in zip(middles, halves, strict=True)]
        place, yaw = start[foot], float(heading[0])
        for number, (begin, end) in enumerate(swings):
            final = number == len(swings) - 1
            at = last if final else (end + swings[number + 1][0]) / 2
            there = np.array([np.interp(at, time, root[:, axis]) for axis in (0, 1)])
            facing = float(np.interp(at, time, heading))
            landing = standing_toes(there, np.asarray(facing))[foot]
            swing_foot(frames, foot, (begin, end), (place, landing), (yaw, facing), gait)
            place, yaw = landing, facing
    add_body(frames, edges, gait, lead)
    return frames


def swing_foot(
    frames: Frames, foot: int, when: tuple[float, float], places: tuple[Array, Array], yaws: tuple[float, float],
    gait: Gait,
) -> None:  # fmt: skip
    """Write one swing of a foot into the frames, and where it stands afterwards."""
    begin, end = when
    time = np.arange(len(frames), dtype=float)
    u = (time - begin) / max(end - begin, 1e-6)
    after = u >= 0
    w = smooth(u)[after, None]
    frames.toes[after, foot, 0::2] = places[0] * (1 - w) + places[1] * w
    frames.toes[after, foot, 1] = gait.lift * np.sin(np.pi * np.clip(u[after], 0, 1)) ** 1.5
    frames.yaw[after, foot] = yaws[0] * (1 - w[:, 0]) + yaws[1] * w[:, 0]
    far = float(np.linalg.norm(places[1] - places[0]))
    rise = np.radians(gait.heel) * min(1.0, far / 0.8)
    # The heel leaves the ground a while before the toes do, and comes down while the foot swings.
    before = (u < 0) & (u > -0.45)
    frames.heel[before, foot] = np.maximum(frames.heel[before, foot], rise * smooth(1 + u[before] / 0.45))
    inside = np.clip(u[after], 0, 1)
    frames.heel[after, foot] = rise * (1 - smooth(inside)) + np.radians(gait.tuck) * np.sin(np.pi * inside) ** 2


def add_body(frames: Frames, edges: Array, gait: Gait, lead: int) -> None:
    """Arms that swing against the legs, hips that bob, all by how fast the body moves."""
    count = len(frames)
    steps = len(edges) - 1
    phase = np.interp(np.arange(count), edges, np.arange(steps + 1))
    speed = np.linalg.norm(np.gradient(frames.root, axis=0), axis=-1)
    strength = np.clip(speed / max(float(speed.max()), 1e-6), 0, 1) if speed.max() > 0.005 else np.zeros(count)
    left_forward = -np.cos(np.pi * phase) * (1 if lead == 0 else -1) * strength
    frames.upper[:, 5] -= gait.arms * left_forward
    frames.upper[:, 9] += gait.arms * left_forward
    frames.upper[:, 7] -= gait.arms * 1.2 * left_forward - 0.3 * gait.arms * strength
    frames.upper[:, 11] += gait.arms * 1.2 * left_forward + 0.3 * gait.arms * strength
    frames.upper[:, 2] += 0.25 * gait.arms * left_forward
    bob = np.cos(2 * np.pi * phase) if gait.bob >= 0 else -np.cos(2 * np.pi * phase)
    frames.drop += (gait.drop + abs(gait.bob) * (1 + bob) / 2) * np.maximum(strength, 0.2)
