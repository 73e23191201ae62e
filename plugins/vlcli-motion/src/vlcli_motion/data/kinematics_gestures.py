"""Movements on the spot: arms, jumps, kicks, bows, sitting down and getting up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from vlcli_motion.data.kinematics_body import LEFT_ARM, REST, RIGHT_ARM, Array, Frames, turned_flat
from vlcli_motion.data.kinematics_stage import SEAT_BACK, SEAT_DROP, SEATED_ARM, Stage
from vlcli_motion.data.kinematics_steps import seconds_axis, smooth
from vlcli_motion.data.scripts import Move

ARMS = {"left": (LEFT_ARM,), "right": (RIGHT_ARM,), "both": (LEFT_ARM, RIGHT_ARM)}


def held(u: Array, rise: float = 0.25, fall: float = 0.25) -> Array:
    """0 to 1, kept there, and back to 0, over `u` in [0, 1]."""
    return smooth(u / rise) * smooth((1 - u) / fall)


def bump(u: Array, begin: float, peak: float, end: float) -> Array:
    """0 up to 1 at `peak` and down to 0 at `end`."""
    return smooth((u - begin) / (peak - begin)) * (1 - smooth((u - peak) / (end - peak)))


def turns_of(count: int, times: int) -> tuple[Array, Array]:
    """Progress of each repetition in [0, 1) by frame, and which repetition it is."""
    progress = np.linspace(0, times, count)
    number = np.minimum(progress.astype(int), times - 1)
    return progress - number, number


def put(frames: Frames, arm: slice, target: Array, weight: Array) -> None:
    """Bring an arm to `target` `[4]` or `[n, 4]` by `weight` `[n]`."""
    frames.upper[:, arm] += (target - frames.upper[:, arm]) * weight[:, None]


def stand(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """Nothing but a little shift of weight."""
    frames = stage.still(count)
    if not stage.seated:
        frames.shift[:, 0] += 0.012 * np.sin(2 * np.pi * seconds_axis(count) * 0.35) * (1 if stage.lead == 0 else -1)
    return frames


def wave(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """The upper arm goes out and the forearm swings from side to side."""
    frames = stage.still(count)
    time = seconds_axis(count)
    weight = held(np.linspace(0, 1, count), 0.22, 0.22)
    rate, reach = rng.uniform(1.6, 2.3) * (0.6 + 0.4 * stage.energy), 26 * (0.5 + 0.5 * stage.energy)
    lifted = rng.uniform(82, 108)
    swing = reach * np.sin(2 * np.pi * rate * time)
    zero = np.zeros(count)
    for arm in ARMS[move.direction]:
        put(frames, arm, np.stack([zero + 14, zero + lifted, zero + 10, 165 + swing], -1), weight)
    return frames


def lift(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """Arms go up by the front or by the side, stay and come down."""
    frames = stage.still(count)
    weight = held(np.linspace(0, 1, count), 0.38, 0.35)
    by_front = rng.random() < 0.5
    top = rng.uniform(160, 174) * (0.85 + 0.15 * min(1.0, stage.energy))
    target = np.array([top, 6, top, 3]) if by_front else np.array([4, top, 4, top + 2])
    for arm in ARMS[move.direction]:
        put(frames, arm, REST[arm] + (target - REST[arm]) * weight[:, None], smooth(weight * 4))
    frames.upper[:, 3] -= 10 * weight
    return frames


def clap(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """Hands meet before the chest."""
    frames = stage.still(count)
    weight = held(np.linspace(0, 1, count), 0.2, 0.2)
    beat = (1 + np.cos(2 * np.pi * rng.uniform(2.2, 3.0) * seconds_axis(count))) / 2 * (0.6 + 0.4 * stage.energy)
    zero = np.zeros(count)
    for arm in (LEFT_ARM, RIGHT_ARM):
        put(frames, arm, np.stack([zero + 38, -8 + 16 * beat, 49 + 14 * beat, -78 + 104 * beat], -1), weight)
    return frames


def jump(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """Knees bend, both feet leave the ground, land and give way."""
    frames = stage.still(count)
    u, number = turns_of(count, move.count)
    up, down = 0.34, 0.68
    height = rng.uniform(0.2, 0.32) * (0.5 + 0.5 * stage.energy)
    flight = np.clip((u - up) / (down - up), 0, 1)
    air = 4 * height * flight * (1 - flight)
    frames.drop += 0.24 * bump(u, 0.0, 0.24, up) + 0.2 * bump(u, down, 0.78, 1.0) - air
    frames.toes[..., 1] += air[:, None]
    frames.heel += np.radians(50) * (bump(u, up - 0.06, up + 0.05, down))[:, None]
    frames.upper[:, 0] += 24 * bump(u, 0.0, 0.22, up) + 16 * bump(u, down, 0.78, 1.0)
    for arm in (LEFT_ARM, RIGHT_ARM):
        swing = -42 * bump(u, 0.0, 0.22, 0.36) + 115 * stage.energy * bump(u, 0.24, 0.5, 0.8)
        frames.upper[:, arm.start] += swing
        frames.upper[:, arm.start + 2] += swing
    if move.direction == "forward":
        length = rng.uniform(0.55, 0.85) * (0.5 + 0.5 * stage.energy)
        path = turned_flat(frames.heading, np.array([0.0, 1.0])) * (length * (number + flight))[:, None]
        frames.root = frames.root + path
        frames.toes[..., [0, 2]] += path[:, None]
        frames.shift[:, 1] += 0.10 * bump(u, 0.1, 0.3, 0.45) - 0.08 * bump(u, 0.55, down, 0.85)
    return frames


def kick(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """One foot goes back, up before the body and down to its place; the other one carries the weight."""
    frames = stage.still(count)
    u, _ = turns_of(count, move.count)
    foot, side = (0, 1.0) if move.direction == "left" else (1, -1.0)
    high = rng.uniform(0.5, 0.85) * (0.55 + 0.45 * stage.energy)
    back, out = bump(u, 0.06, 0.24, 0.42), bump(u, 0.24, 0.48, 0.86)
    frames.toes[:, foot, 1] += 0.12 * back + high * out
    forward = turned_flat(frames.heading, np.array([-0.05 * side, 1.0]))
    frames.toes[:, foot, 0] += forward[:, 0] * (0.62 * out - 0.3 * back)
    frames.toes[:, foot, 2] += forward[:, 1] * (0.62 * out - 0.3 * back)
    frames.heel[:, foot] += np.radians(45) * back - np.radians(35) * out
    weight = held(np.linspace(0, 1, count), 0.12, 0.12)
    frames.shift[:, 0] -= 0.085 * side * weight
    frames.drop += 0.03 * weight
    frames.upper[:, 0] += 8 * back - 13 * out
    arms = (RIGHT_ARM, LEFT_ARM) if side > 0 else (LEFT_ARM, RIGHT_ARM)
    frames.upper[:, arms[0]] += np.array([34.0, 10, 50, 5]) * out[:, None]
    frames.upper[:, arms[1]] += np.array([-28.0, 14, -10, 10]) * out[:, None]
    return frames


def punch(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """Fists come up, one shoots forward with the shoulder behind it."""
    frames = stage.still(count)
    u, _ = turns_of(count, move.count)
    guard = held(np.linspace(0, 1, count), 0.16, 0.18)
    hit = bump(u, 0.26, 0.46, 0.74)
    draw = bump(u, 0.06, 0.24, 0.42)
    for arm in (LEFT_ARM, RIGHT_ARM):
        put(frames, arm, np.array([28.0, 14, 118, -6]), guard)
    mine, side = (LEFT_ARM, 1.0) if move.direction == "left" else (RIGHT_ARM, -1.0)
    put(frames, mine, np.array([-22.0, 20, 96, 4]), 0.8 * draw * guard)
    put(frames, mine, np.array([86.0, -4, 88, -6]), hit * guard)
    reach = 0.55 + 0.45 * stage.energy
    frames.upper[:, 2] += side * (14 * draw - 32 * hit) * reach
    frames.upper[:, 0] += 9 * hit * reach
    frames.shift[:, 1] += 0.05 * hit * reach
    frames.drop += 0.035 * guard
    return frames


def throw(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """The arm goes back overhead and comes forward and down."""
    frames = stage.still(count)
    u = np.linspace(0, 1, count)
    arm, side = (LEFT_ARM, 1.0) if move.direction == "left" else (RIGHT_ARM, -1.0)
    back, over, down = bump(u, 0.05, 0.38, 0.55), bump(u, 0.38, 0.56, 0.72), bump(u, 0.54, 0.7, 0.98)
    put(frames, arm, np.array([-8.0, 98, -34, 142]), back)
    put(frames, arm, np.array([136.0, 16, 142, 8]), over)
    put(frames, arm, np.array([40.0, 0, 52, -14]), down)
    other = RIGHT_ARM if side > 0 else LEFT_ARM
    frames.upper[:, other] += np.array([36.0, 8, 44, 0]) * back[:, None]
    size = 0.55 + 0.45 * stage.energy
    frames.upper[:, 2] += side * (28 * back - 26 * down - 8 * over) * size
    frames.upper[:, 0] += (-9 * back + 22 * down) * size
    frames.shift[:, 1] += (-0.06 * back + 0.07 * down) * size
    return frames


def bow(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """The trunk goes down from the hips, arms at the sides."""
    frames = stage.still(count)
    u, _ = turns_of(count, move.count)
    weight = held(u, 0.4, 0.4)
    angle = rng.uniform(48, 68) * (0.75 + 0.25 * stage.energy)
    frames.upper[:, 0] += angle * weight
    frames.upper[:, 3] += 14 * weight
    frames.shift[:, 1] -= 0.10 * weight
    for arm in (LEFT_ARM, RIGHT_ARM):
        frames.upper[:, arm.start] += 0.45 * angle * weight
        frames.upper[:, arm.start + 2] += 0.45 * angle * weight
    return frames


def pick(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """Knees and trunk bend until one hand is near the ground, and straighten again."""
    frames = stage.still(count)
    weight = held(np.linspace(0, 1, count), 0.42, 0.42)
    frames.drop += 0.3 * weight
    frames.shift[:, 1] -= 0.14 * weight
    frames.upper[:, 0] += rng.uniform(66, 76) * weight
    mine, other = (LEFT_ARM, RIGHT_ARM) if move.direction == "left" else (RIGHT_ARM, LEFT_ARM)
    side = 1.0 if move.direction == "left" else -1.0
    frames.upper[:, 1] -= 7 * side * weight
    frames.upper[:, 2] -= 12 * side * weight
    put(frames, mine, np.array([72.0, 2, 76, 2]), weight)
    put(frames, other, np.array([38.0, 12, 92, -4]), weight)
    return frames


def crouch(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """Down on the heels and up."""
    frames = stage.still(count)
    u, _ = turns_of(count, move.count)
    weight = held(u, 0.38, 0.38)
    frames.drop += rng.uniform(0.36, 0.46) * weight
    frames.shift[:, 1] -= 0.17 * weight
    frames.upper[:, 0] += 34 * weight
    frames.upper[:, 3] -= 16 * weight
    for arm in (LEFT_ARM, RIGHT_ARM):
        put(frames, arm, np.array([62.0, 10, 78, 4]), weight)
    return frames


def sit(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """The pelvis goes back and down to a seat; the body stays there."""
    return to_seat(stage, count, smooth(np.linspace(-0.08, 1.25, count)), seated=True)


def rise(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """From the seat back to standing."""
    return to_seat(stage, count, 1 - smooth(np.linspace(-0.2, 1.15, count)), seated=False)


def to_seat(stage: Stage, count: int, weight: Array, seated: bool) -> Frames:
    """Between standing (`weight` 0) and sitting (1), leaning forward in the middle."""
    stage.seated = False
    frames = stage.still(count)
    stage.seated = seated
    between = 4 * weight * (1 - weight)
    frames.drop += SEAT_DROP * weight
    frames.shift[:, 1] -= SEAT_BACK * weight
    frames.upper[:, 0] += 36 * between + 3 * weight
    for arm in (LEFT_ARM, RIGHT_ARM):
        put(frames, arm, SEATED_ARM, weight)
        frames.upper[:, arm.start] += 18 * between
    return frames


GESTURES: Mapping[str, Callable[[Stage, Move, int, np.random.Generator], Frames]] = {
    "stand": stand, "wave": wave, "raise": lift, "clap": clap, "jump": jump, "kick": kick, "punch": punch,
    "throw": throw, "bow": bow, "pick": pick, "crouch": crouch, "sit": sit, "rise": rise,
}  # fmt: skip
