"""The kinematic generator: a script is acted out by a body of 22 joints, seeded, in a few milliseconds.

Each movement is written as curves over its own time and begins where the one before it ended; everything that a script
leaves open (how fast, how far, which foot first) is drawn with the seed. Nothing is recorded from a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlcli_motion.data import kinematics_gestures as gestures
from vlcli_motion.data.kinematics_body import (
    LEFT_ARM,
    REST,
    RIGHT_ARM,
    Array,
    Frames,
    concatenate,
    pose,
    smoothed,
    turned_flat,
)  # fmt: skip
from vlcli_motion.data.kinematics_stage import Stage
from vlcli_motion.data.kinematics_steps import FPS, Gait, seconds_axis, smooth, step_through
from vlcli_motion.data.scripts import KINDS, Move, Script, starts_seated
from vlcli_motion.features import place

PACE = {"slowly": 0.62, "quickly": 1.55}


@dataclass(frozen=True)
class Style:
    """How a style changes a body: posture in degrees and metres, and how large and how fast its movements are."""

    pitch: float = 0.0
    nod: float = 0.0
    drop: float = 0.0
    elbows: float = 0.0
    sides: float = 0.0
    sway: float = 0.0
    bounce: float = 0.0
    energy: float = 1.0
    tempo: float = 1.0


STYLES: Mapping[str, Style] = {
    "": Style(),
    "tired": Style(pitch=16, nod=22, drop=0.02, sway=4, energy=0.6, tempo=0.75),
    "proud": Style(pitch=-7, nod=-10, sides=9, elbows=8, energy=1.15, tempo=0.95),
    "happy": Style(pitch=-2, nod=-6, sides=7, elbows=22, bounce=0.02, energy=1.35, tempo=1.12),
    "sad": Style(pitch=9, nod=34, drop=0.01, sides=-4, energy=0.65, tempo=0.85),
    "angry": Style(pitch=11, nod=4, drop=0.01, elbows=38, sides=12, energy=1.2, tempo=1.25),
    "old": Style(pitch=30, nod=-8, drop=0.07, elbows=34, sway=3, energy=0.5, tempo=0.7),
}


@dataclass(frozen=True)
class Pace:
    """A way of going: its gait, and how fast it goes in metres a second."""

    gait: Gait
    speed: float


PACES: Mapping[str, Pace] = {
    "walk forward": Pace(Gait(1.8), 1.15),
    "walk backward": Pace(Gait(1.7, lift=0.05, heel=15, arms=14), 0.75),
    "walk left": Pace(Gait(1.8, lift=0.05, heel=10, arms=6), 0.6),
    "walk right": Pace(Gait(1.8, lift=0.05, heel=10, arms=6), 0.6),
    "curve left": Pace(Gait(1.8), 1.05),
    "curve right": Pace(Gait(1.8), 1.05),
    "run forward": Pace(Gait(2.7, swing=1.35, lift=0.13, heel=60, tuck=62, bob=-0.04, arms=42, drop=0.035), 2.4),
    "march forward": Pace(Gait(1.7, swing=0.85, lift=0.36, heel=30, arms=42), 0.65),
    "sneak forward": Pace(Gait(1.25, swing=0.75, lift=0.13, heel=30, bob=0.02, arms=10, drop=0.17), 0.5),
    "limp forward": Pace(Gait(1.5, lift=0.04, heel=25, bob=0.02, arms=12, drop=0.015, uneven=0.55), 0.6),
}
BEARING: Mapping[str, tuple[float, float]] = {"backward": (0.0, -1.0), "left": (1.0, 0.0), "right": (-1.0, 0.0)}


def act(script: Script, seed: int, shortest: float = 2.0, longest: float = 6.0) -> NDArray[np.float32]:
    """A script as joints `[T, 22, 3]` at 20 frames a second.

    Metres, y up, the lowest joint on the ground; the root begins at x = z = 0 and faces +z. The same script and seed
    give the same motion, and a mirrored script the mirrored one.

    Args:
        script: what happens.
        seed: of all that the script leaves open.
        shortest: seconds; the body stands or sits still for the rest.
        longest: seconds; movements are made shorter so that they fit.
    """
    rng = np.random.default_rng([seed, 20])
    style = STYLES[script.style]
    stage = Stage(seated=starts_seated(script.moves), energy=style.energy * rng.uniform(0.92, 1.08),
                  lead=int(rng.integers(2)) ^ facing_right(script))  # fmt: skip
    counts = frame_counts(script, style, rng, shortest, longest)
    parts = []
    for move, count in zip(script.moves, counts, strict=True):
        frames = perform(stage, move, count, rng)
        stage.follow(frames)
        parts.append(frames)
    frames = finished(concatenate(parts), style, rng, facing_right(script))
    return place(pose(frames).astype(np.float64)).astype(np.float32)


def facing_right(script: Script) -> int:
    """1 when the first side that is named is the right one, so that mirrored scripts give mirrored motions."""
    sides = [move.direction for move in script.moves if move.direction in ("left", "right")]
    return int(bool(sides) and sides[0] == "right")


def frame_counts(script: Script, style: Style, rng: np.random.Generator, shortest: float, longest: float) -> list[int]:
    """Frames of each movement; the last one is longer where the whole would be too short."""
    seconds = []
    for move in script.moves:
        low, high = KINDS[move.action].seconds
        pace = PACE.get(move.speed, 1.0)
        # Who goes slowly also goes on for longer, but not by as much.
        seconds.append(float(rng.uniform(low, high)) * (0.55 + 0.45 * move.count) / (pace * style.tempo) ** 0.4)
    whole = sum(seconds)
    factor = min(1.0, longest / whole)
    counts = [max(10, round(value * factor * FPS)) for value in seconds]
    counts[-1] += max(0, round(shortest * FPS) - sum(counts))
    counts[-1] -= max(0, sum(counts) - round(longest * FPS))
    return counts


def perform(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """One movement from where the body is."""
    if move.key in PACES:
        return go(stage, move, count, rng)
    if move.action == "turn":
        return turn(stage, move, count, rng)
    gesture: Callable[[Stage, Move, int, np.random.Generator], Frames] = gestures.GESTURES[move.action]
    return gesture(stage, move, count, rng)


def ramp(count: int, begin: float = 0.35, end: float = 0.4) -> Array:
    """Speed over time: it comes up and goes down again, at the first and last frame it is 0."""
    time = seconds_axis(count)
    return smooth(time / begin) * smooth((time[-1] - time) / end)


def go(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """Walking, running and the other ways of going somewhere."""
    pace = PACES[move.key]
    quick = PACE.get(move.speed, 1.0)
    gait = stage.scaled(pace.gait, cadence=quick**0.55)
    speed = pace.speed * quick * rng.uniform(0.9, 1.1) * (0.45 + 0.55 * stage.energy)
    strength = ramp(count)
    bend = 0.0
    if move.action == "curve":
        bend = np.radians(rng.uniform(80, 125)) * (1 if move.direction == "left" else -1)
    heading = stage.heading + bend * np.cumsum(strength) / strength.sum()
    bearing = (0.0, 1.0) if move.action != "walk" else BEARING.get(move.direction, (0.0, 1.0))
    steps = turned_flat(heading, np.array(bearing)) * (speed * strength / FPS)[:, None]
    root = stage.root + np.cumsum(steps, 0)
    lead = stage.lead
    if move.direction in ("left", "right"):
        # The foot on the side where one goes steps first, so that the legs do not cross.
        lead = 0 if move.direction == "left" else 1
    frames = step_through(root, heading, stage.toes, gait, lead)
    stage.lead = lead
    decorate(frames, move, gait, strength, lead, stage.energy)
    return frames


def decorate(frames: Frames, move: Move, gait: Gait, strength: Array, lead: int, energy: float) -> None:
    """What a way of going looks like above the legs."""
    if move.action == "run":
        frames.upper[:, 0] += 12 * strength
        for arm in (LEFT_ARM, RIGHT_ARM):
            frames.upper[:, arm.start + 2] += 62 * strength
    elif move.action == "sneak":
        frames.upper[:, 0] += 26 * strength
        frames.upper[:, 3] -= 14 * strength
        for arm in (LEFT_ARM, RIGHT_ARM):
            frames.upper[:, arm.start : arm.stop] += np.array([18.0, 6, 78, 4]) * strength[:, None]
    elif move.action == "limp":
        steps = max(2, round((len(frames) - 1) / FPS * gait.cadence))
        phase = np.linspace(0, steps, len(frames))
        # The body drops and leans to the sore side whenever that leg carries it.
        sore = np.clip(np.sin(np.pi * phase), 0, 1) * strength
        frames.drop += 0.055 * sore
        frames.upper[:, 1] += (-13 if lead == 0 else 13) * sore
        frames.upper[:, 0] += 8 * sore
    elif move.action == "march":
        frames.upper[:, 0] -= 3 * strength * energy


def turn(stage: Stage, move: Move, count: int, rng: np.random.Generator) -> Frames:
    """Turning on the spot with small steps."""
    side = {"left": 1, "right": -1}.get(move.direction, 1 if stage.lead == 0 else -1)
    angle = np.radians(rng.uniform(165, 190) if move.direction == "around" else rng.uniform(78, 102)) * side
    heading = stage.heading + angle * smooth((np.arange(count) - 3) / max(1, count - 7))
    lead = 0 if side > 0 else 1
    gait = stage.scaled(Gait(2.4, lift=0.06, heel=0, arms=0, bob=0.01))
    frames = step_through(np.repeat(stage.root[None], count, 0), heading, stage.toes, gait, lead)
    rate = np.gradient(heading)
    frames.upper[:, 4] += np.clip(np.degrees(rate) * 3.0, -30, 30)
    frames.upper[:, 2] += np.clip(np.degrees(rate) * 1.2, -14, 14)
    return frames


def finished(frames: Frames, style: Style, rng: np.random.Generator, right: int) -> Frames:
    """Movements flow into one another, and the style's posture is put over all of them."""
    time = seconds_axis(len(frames))
    frames.upper = smoothed(frames.upper, 5)
    frames.drop = smoothed(frames.drop, 3)
    frames.shift = smoothed(frames.shift, 5)
    side = -1.0 if right else 1.0
    frames.upper[:, 0] += style.pitch
    frames.upper[:, 3] += style.nod
    breath = np.sin(2 * np.pi * (0.28 * time + rng.uniform()))
    frames.upper[:, 0] += 0.6 * breath
    frames.upper[:, 1] += side * style.sway * np.sin(2 * np.pi * 0.55 * time)
    frames.drop += style.drop - style.bounce * (1 - np.cos(2 * np.pi * 1.9 * time)) / 2
    relaxed = 1 - np.clip(np.abs(frames.upper[:, 5:] - REST[5:]).reshape(-1, 2, 4).max(-1) / 60, 0, 1)
    for number, arm in enumerate((LEFT_ARM, RIGHT_ARM)):
        frames.upper[:, arm.start + 2] += style.elbows * relaxed[:, number]
        frames.upper[:, arm.start + 1] += style.sides * relaxed[:, number]
        frames.upper[:, arm.start + 3] += 0.5 * style.sides * relaxed[:, number]
        # A bent trunk lets the arms hang; they do not turn back with it.
        frames.upper[:, arm.start] += 0.8 * style.pitch * relaxed[:, number]
        frames.upper[:, arm.start + 2] += 0.8 * style.pitch * relaxed[:, number]
    return frames
