"""Geometric bodies of the shapes world."""

from __future__ import annotations

import numpy as np

from vlcli_pointclouds.data.kind import Choice, Kind
from vlcli_pointclouds.data.parts import (
    Part,
    Parts,
    ball,
    bar,
    block,
    dome,
    grid,
    lathe,
    pipe,
    prism,
    ring,
    rod,
    star,
)


def make_box(choice: Choice) -> Parts:
    """Cube, long box (long towards the viewer), flat box."""
    if choice.subtype == "cube":
        return [block(choice.between(0.96, 1.04), choice.built(0.86, 1.14), choice.between(0.96, 1.04))]
    if choice.subtype == "long box":
        side = choice.built(0.7, 1.1)
        return [block(side, side * choice.between(0.95, 1.05), choice.between(2.5, 3.0))]
    return [block(choice.between(1.3, 1.7), choice.built(0.16, 0.42), choice.between(1.3, 1.7))]


def make_ball(choice: Choice) -> Parts:
    """Sphere, egg, half ball."""
    if choice.subtype == "dome":
        return [dome(1).scale(1, choice.built(0.7, 1.25), 1)]
    if choice.subtype == "sphere":
        return [ball(1, 24).scale(1, choice.built(0.86, 1.1), 1)]
    height = choice.built(1.45, 2.0)
    lift = np.linspace(-np.pi / 2, np.pi / 2, 15)
    # An egg is blunt below and pointed above.
    return [
        lathe([(max(float(np.cos(a)), 0) * (1 - 0.24 * float(np.sin(a))), height * float(np.sin(a))) for a in lift])
    ]


def make_cylinder(choice: Choice) -> Parts:
    """Drum, pole, open tube."""
    if choice.subtype == "drum":
        return [rod(1, choice.built(0.7, 1.6), sections=28)]
    if choice.subtype == "pole":
        return [rod(choice.built(0.11, 0.26), 3)]
    inner, height = choice.built(0.88, 0.62), choice.between(2.0, 2.6)
    return [lathe([(inner, 0), (1, 0), (1, height), (inner, height), (inner, 0)], 28)]


def make_cone(choice: Choice) -> Parts:
    """Pointed, cut off, doubled."""
    height = choice.built(1.2, 2.8)
    if choice.subtype == "pointed cone":
        return [lathe([(0, 0), (1, 0), (0, height)], 24)]
    if choice.subtype == "truncated cone":
        return [rod(1, height * 0.75, choice.between(0.4, 0.55), 24)]
    return [lathe([(0, 0), (0.85, height * 0.6), (0, height * 1.2)], 24)]


def make_ring(choice: Choice) -> Parts:
    """Round, square, half; they stand on edge."""
    thickness = choice.built(0.11, 0.28)
    if choice.subtype == "round ring":
        return [ring(1, thickness).turn("x", 90)]
    if choice.subtype == "square ring":
        side = 1 - thickness
        bars = [block(2, 2 * thickness, 2 * thickness, y=y - thickness) for y in (-side, side)]
        posts = [block(2 * thickness, 2, 2 * thickness, x=x, y=-1) for x in (-side, side)]
        return [*bars, *posts]
    angles = np.linspace(0, np.pi, 18)
    return [pipe(np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1), thickness, sections=12)]


def make_pyramid(choice: Choice) -> Parts:
    """Square, three-sided, stepped."""
    height = choice.built(0.8, 1.9)
    if choice.subtype == "stepped pyramid":
        steps = 4
        return [block(2 - 0.45 * n, height / steps, 2 - 0.45 * n, y=height / steps * n) for n in range(steps)]
    sides = 4 if choice.subtype == "square pyramid" else 3
    return [lathe([(0, 0), (1.25, 0), (0, height)], sides).turn("y", 45 if sides == 4 else 0)]


def make_spiral(choice: Choice) -> Parts:
    """Spring, cone of wire, flat coil."""
    turns, thickness = choice.between(3.6, 4.4), choice.built(0.06, 0.16)
    share = np.linspace(0, 1, 90)
    angles = 2 * np.pi * turns * share
    radius = {"spring": np.ones(90), "conical spiral": 1.15 - 0.95 * share, "flat coil": 0.2 + 0.95 * share}
    height = 0 * share if choice.subtype == "flat coil" else choice.between(1.9, 2.3) * share
    around = radius[choice.subtype]
    path = np.stack([around * np.cos(angles), height, around * np.sin(angles)], 1)
    coil = pipe(path, thickness * (0.75 if choice.subtype == "flat coil" else 1), sections=7)
    return [coil.turn("x", 90)] if choice.subtype == "flat coil" else [coil]


def make_plate(choice: Choice) -> Parts:
    """Square, round, wavy; they lie a little raised at the back, so that one sees them."""
    thick = choice.built(0.05, 0.2)
    if choice.subtype == "square plate":
        plate = block(2, thick, 2)
    elif choice.subtype == "round plate":
        plate = rod(1.1, thick, sections=30)
    else:
        across = np.linspace(-1, 1, 30)
        wave = 0.22 * np.sin(across * np.pi * 2)
        upper = np.stack([np.stack([across, wave + thick, np.full(30, z)], 1) for z in (1.0, -1.0)])
        lower = np.stack([np.stack([across, wave, np.full(30, z)], 1) for z in (-1.0, 1.0)])
        plate = grid(np.concatenate([upper, lower]), wrap_rows=True, wrap_columns=False)
    return [plate.turn("x", choice.between(22, 30))]


def make_star(choice: Choice) -> Parts:
    """Four, five or six points; upright."""
    points = {"four-pointed star": 4, "five-pointed star": 5, "six-pointed star": 6}[choice.subtype]
    inner = {4: 0.36, 5: 0.42, 6: 0.55}[points] * choice.between(0.94, 1.06)
    return [prism(star(points, inner), choice.built(0.16, 0.5))]


def make_block(choice: Choice) -> Parts:
    """Letters made of bars: L, T, U."""
    arm = choice.built(0.32, 0.6)
    depth = arm
    if choice.subtype == "L-block":
        return [block(arm, 2, depth, x=-0.75 + arm / 2), block(1.5, arm, depth)]
    if choice.subtype == "T-block":
        return [block(arm, 2 - arm, depth), block(1.8, arm, depth, y=2 - arm)]
    side = 0.85 - arm / 2
    return [block(1.7, arm, depth), block(arm, 1.8, depth, x=-side), block(arm, 1.8, depth, x=side)]


def make_crossing(choice: Choice) -> Parts:
    """Bars that cross: an upright plus, a leaning one, and a jack of three bars."""
    radius = choice.built(0.13, 0.32)
    if choice.subtype == "jack":
        return [bar(*_ends(axis), radius, 12) for axis in range(3)] + [
            ball(radius * 1.5, 12).move(*(sign * np.eye(3)[axis])) for axis in range(3) for sign in (-1, 1)
        ]
    upright: list[Part] = [block(2 * radius, 2, 2 * radius, y=-1), block(2, 2 * radius, 2 * radius, y=-radius)]
    return upright if choice.subtype == "plus" else [part.turn("z", 45) for part in upright]


def _ends(axis: int) -> tuple[list[float], list[float]]:
    tip = np.eye(3)[axis]
    return (-tip).tolist(), tip.tolist()


KINDS = (
    Kind(
        "box",
        "solid",
        {
            "cube": "with six equal sides",
            "long box": "stretched in one direction with square ends",
            "flat box": "with a wide top and low sides",
        },
        ("low", "high"),
        make_box,
    ),
    Kind(
        "ball",
        "solid",
        {
            "sphere": "round on all sides",
            "egg": "blunt below and pointed above",
            "dome": "half a sphere on a flat base",
        },
        ("squat", "upright"),
        make_ball,
    ),
    Kind(
        "cylinder",
        "solid",
        {
            "drum": "as wide as it is high with flat round ends",
            "pole": "long with small round ends",
            "open tube": "hollow and open at both ends",
        },
        ("slim", "stout"),
        make_cylinder,
    ),
    Kind(
        "cone",
        "solid",
        {
            "pointed cone": "running to a point from a round base",
            "truncated cone": "with its tip cut off flat",
            "double cone": "with a point above and a point below",
        },
        ("low", "tall"),
        make_cone,
    ),
    Kind(
        "ring",
        "solid",
        {
            "round ring": "a circle with a hole",
            "square ring": "a square frame with a hole",
            "half ring": "an arch on two ends",
        },
        ("thin", "thick"),
        make_ring,
    ),
    Kind(
        "pyramid",
        "solid",
        {
            "square pyramid": "with four sides that meet in a point",
            "three-sided pyramid": "with three sides that meet in a point",
            "stepped pyramid": "rising in four steps",
        },
        ("low", "tall"),
        make_pyramid,
    ),
    Kind(
        "spiral",
        "solid",
        {
            "spring": "wound upwards at one width",
            "conical spiral": "wound upwards and narrowing",
            "flat coil": "wound outwards in one plane",
        },
        ("thin", "thick"),
        make_spiral,
    ),
    Kind(
        "plate",
        "solid",
        {
            "square plate": "flat with four corners",
            "round plate": "flat with a round edge",
            "wavy plate": "bent into waves",
        },
        ("thin", "thick"),
        make_plate,
    ),
    Kind(
        "star",
        "solid",
        {
            "four-pointed star": "with four points",
            "five-pointed star": "with five points",
            "six-pointed star": "with six points",
        },
        ("flat", "deep"),
        make_star,
    ),
    Kind(
        "letter",
        "solid",
        {
            "L-block": "two bars that meet at a corner",
            "T-block": "a bar across the top of a post",
            "U-block": "two posts on a bar",
        },
        ("slim", "stout"),
        make_block,
    ),
    Kind(
        "cross",
        "solid",
        {
            "plus": "two bars, upright and level",
            "X-cross": "two leaning bars",
            "jack": "three bars with a ball on every end",
        },
        ("slim", "stout"),
        make_crossing,
    ),
)
