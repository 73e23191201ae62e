"""Vessels and tools of the shapes world."""

from __future__ import annotations

import numpy as np

from vlcli_pointclouds.data.kind import Choice, Kind
from vlcli_pointclouds.data.parts import Part, Parts, arc, ball, bar, block, dome, lathe, paint, pair, pipe, prism, rod


def handle(height: float, reach: float, x: float, y: float, thickness: float = 0.05) -> Part:
    """A bow to the right of `x`, about height `y`."""
    return pipe(arc(1, -90, 90) * np.array([reach, height / 2, 1]), thickness).move(x, y, 0)


def vessel(outside: list[tuple[float, float]], wall: float = 0.05) -> Part:
    """An open vessel: its outer profile from the foot up, and the inner one back down."""
    inside = [(max(radius - wall, 0.02), height) for radius, height in outside if height > wall]
    return lathe([(0, outside[0][1]), *outside, *inside[::-1], (0, outside[0][1] + wall)], 24)


def make_bottle(choice: Choice) -> Parts:
    """Wine bottle, round flask, jar with a lid."""
    if choice.subtype == "wine bottle":
        body = lathe([(0, 0), (0.3, 0), (0.3, 0.95), (0.24, 1.15), (0.1, 1.32), (0.1, 1.65), (0, 1.65)])
        return [body, rod(0.11, 0.12).move(0, 1.62, 0).painted("wood")]
    if choice.subtype == "round flask":
        angles = np.linspace(-np.pi / 2 + 0.3, np.pi / 2 - 0.25, 10)
        globe = [(0.55 * float(np.cos(a)), 0.55 + 0.55 * float(np.sin(a))) for a in angles]
        return [lathe([(0, 0.03), *globe, (0.13, 1.15), (0.13, 1.6), (0.19, 1.66), (0, 1.66)], 24)]
    body = lathe([(0, 0), (0.42, 0), (0.45, 0.1), (0.45, 0.75), (0.34, 0.9), (0, 0.9)])
    return [body, rod(0.37, 0.18).move(0, 0.88, 0).painted("metal")]


def make_mug(choice: Choice) -> Parts:
    """Straight mug, tapered cup on a saucer, two handles."""
    if choice.subtype == "teacup":
        cup = vessel([(0.2, 0.06), (0.34, 0.16), (0.46, 0.36), (0.5, 0.58)])
        return [
            cup,
            handle(0.3, 0.2, 0.42, 0.36),
            lathe([(0, 0), (0.35, 0), (0.75, 0.1), (0.7, 0.12), (0, 0.06)], 24).painted("pale"),
        ]
    body = vessel([(0.42, 0), (0.42, 1.0)])
    grip = handle(0.62, 0.32, 0.4, 0.5, 0.06)
    return [body, *pair(grip)] if choice.subtype == "two-handled mug" else [body, grip]


def make_vase(choice: Choice) -> Parts:
    """Belly, trumpet, amphora."""
    if choice.subtype == "trumpet vase":
        return [vessel([(0.3, 0), (0.12, 0.15), (0.13, 0.6), (0.22, 1.1), (0.5, 1.55)], 0.03)]
    if choice.subtype == "round vase":
        return [vessel([(0.25, 0), (0.5, 0.3), (0.56, 0.6), (0.42, 0.92), (0.2, 1.1), (0.28, 1.25)])]
    body = vessel([(0.2, 0), (0.12, 0.1), (0.4, 0.6), (0.45, 0.95), (0.2, 1.25), (0.16, 1.5), (0.26, 1.6)])
    return [body, *pair(handle(0.62, 0.28, 0.2, 1.2, 0.04))]


def make_bowl(choice: Choice) -> Parts:
    """Plain, on a foot, square."""
    round_bowl = [(0.3, 0.0), (0.62, 0.12), (0.85, 0.34), (0.95, 0.6)]
    if choice.subtype == "plain bowl":
        return [vessel(round_bowl)]
    if choice.subtype == "footed bowl":
        return [
            vessel([(r, h + 0.5) for r, h in round_bowl]),
            *paint([rod(0.42, 0.06, 0.38), rod(0.09, 0.55, 0.14)], "pale"),
        ]
    sides = [block(1.5, 0.5, 0.07).turn("x", 18).move(0, 0, 0.68).turn("y", a) for a in (0, 90, 180, 270)]
    return [block(1.4, 0.06, 1.4), *sides]


def make_pot(choice: Choice) -> Parts:
    """Saucepan, stockpot with a lid, teapot."""
    if choice.subtype == "saucepan":
        grip = bar([0.55, 0.5, 0], [1.7, 0.62, 0], 0.06)
        return [vessel([(0.6, 0), (0.62, 0.6)]), grip.painted("dark")]
    if choice.subtype == "stockpot":
        lid = [dome(0.64).scale(1, 0.3, 1).move(0, 0.85, 0), ball(0.09).move(0, 1.1, 0)]
        return [
            rod(0.62, 0.85),
            *pair(handle(0.22, 0.18, 0.6, 0.62).turn("x", 90).move(0, 0.62, -0.62)),
            *paint(lid, "metal"),
        ]
    body = lathe([(0, 0), (0.35, 0), (0.6, 0.3), (0.55, 0.6), (0.3, 0.8), (0, 0.84)])
    spout = pipe([[0.5, 0.25, 0], [0.78, 0.4, 0], [0.9, 0.7, 0], [1.0, 0.82, 0]], [0.12, 0.09, 0.06, 0.05])
    return [body, spout, handle(0.55, 0.34, 0.5, 0.4).scale(-1), ball(0.09).move(0, 0.88, 0)]


def make_hammer(choice: Choice) -> Parts:
    """Claw hammer, mallet, pickaxe; the head is above."""
    girth = choice.built(0.07, 0.13)
    if choice.subtype == "mallet":
        barrel = rod(0.26, 0.85).turn("z", 90).move(0.42, 1.75, 0)
        return [barrel, rod(girth, 1.8).painted("wood")]
    if choice.subtype == "pickaxe":
        bow = arc(1.3, 48, 132) + np.array([0, 0.55, 0])
        taper = 0.03 + 0.09 * np.sin(np.linspace(0, np.pi, 14))
        return [pipe(bow, taper.tolist()), rod(girth * 0.9, 1.95).painted("wood")]
    head = [
        block(0.26, 0.24, 0.24, y=1.62),
        rod(0.16, 0.2).turn("z", -90).move(0.3, 1.74, 0),
        rod(0.1, 0.25).turn("z", -90).move(0.1, 1.74, 0),
    ]
    claws = [
        pipe(
            [[-0.1, 1.76, 0.4 * z], [-0.34, 1.76, z], [-0.55, 1.66, z], [-0.68, 1.46, 1.3 * z]],
            [0.09, 0.08, 0.06, 0.03],
        )
        for z in (-0.09, 0.09)
    ]
    return [*head, *claws, rod(girth, 1.65).painted("wood")]


def make_ladder(choice: Choice) -> Parts:
    """Straight, folding, narrowing to the top."""
    girth = choice.built(0.035, 0.07)
    rungs = [0.25 + 0.3 * n for n in range(6)]
    if choice.subtype == "stepladder":
        sides = [bar([0.32 * i, 0, 0.55], [0.22 * i, 1.9, 0], girth) for i in (-1, 1)]
        rear = [bar([0.32 * i, 0, -0.55], [0.22 * i, 1.9, 0], girth * 0.8) for i in (-1, 1)]
        steps = [block(0.56, 0.05, 0.16, y=y, z=0.55 * (1 - y / 1.9)) for y in rungs]
        return [*sides, *steps, block(0.5, 0.06, 0.3, y=1.9), *paint(rear, "metal")]
    top = 0.08 if choice.subtype == "orchard ladder" else 0.3
    foot = 0.45 if choice.subtype == "orchard ladder" else 0.3
    sides = [bar([foot * i, 0, 0], [top * i, 2.1, 0], girth) for i in (-1, 1)]
    steps = [
        bar([-(foot + (top - foot) * y / 2.1), y, 0], [foot + (top - foot) * y / 2.1, y, 0], girth * 0.8) for y in rungs
    ]
    return [*sides, *steps]


def make_cutlery(choice: Choice) -> Parts:
    """Spoon, fork, knife; upright."""
    girth = choice.built(0.05, 0.1)
    grip = pipe([[0.0, 0, 0], [0, 0.2, 0], [0, 1.0, 0], [0, 1.25, 0]], [girth * 1.3, girth * 1.5, girth, girth * 0.8])
    if choice.subtype == "spoon":
        return [grip, ball(0.34).scale(0.72, 1.15, 0.3).move(0, 1.58, 0)]
    if choice.subtype == "fork":
        tines = [bar([x, 1.45, 0], [x, 2.05, 0], 0.035) for x in (-0.21, -0.07, 0.07, 0.21)]
        return [grip, block(0.5, 0.2, 0.08, y=1.28), *tines]
    blade = [(-0.1, 1.2), (0.14, 1.2), (0.2, 1.7), (0.1, 2.15), (-0.1, 2.3)]
    return [grip, prism(blade, 0.05)]


KINDS = (
    Kind(
        "bottle",
        "vessel",
        {
            "wine bottle": "with a long neck and a cork",
            "round flask": "with a globe below a narrow neck",
            "jar": "wide and closed by a lid",
        },
        ("slim", "stout"),
        make_bottle,
        (1.2, 0.85),
    ),
    Kind(
        "mug",
        "vessel",
        {
            "plain mug": "with straight sides and one handle",
            "two-handled mug": "with a handle on either side",
            "teacup": "flaring and standing on a saucer",
        },
        ("low", "tall"),
        make_mug,
        (0.75, 1.3),
    ),
    Kind(
        "vase",
        "vessel",
        {
            "round vase": "with a wide belly",
            "trumpet vase": "flaring from a thin stem to a wide mouth",
            "amphora": "with a belly and two handles at the neck",
        },
        ("low", "tall"),
        make_vase,
        (0.8, 1.3),
    ),
    Kind(
        "bowl",
        "vessel",
        {
            "plain bowl": "open and round",
            "footed bowl": "raised on a stem with a foot",
            "square bowl": "with four slanting sides",
        },
        ("shallow", "deep"),
        make_bowl,
        (0.75, 1.4),
    ),
    Kind(
        "pot",
        "vessel",
        {
            "saucepan": "with one long handle",
            "stockpot": "with a lid and two small handles",
            "teapot": "with a spout and a handle",
        },
        ("low", "tall"),
        make_pot,
        (0.8, 1.35),
    ),
    Kind(
        "hammer",
        "tool",
        {
            "claw hammer": "with a face on one side and a claw on the other",
            "mallet": "with a thick round head",
            "pickaxe": "with a bowed head of two points",
        },
        ("thin", "thick"),
        make_hammer,
    ),
    Kind(
        "ladder",
        "tool",
        {
            "straight ladder": "with rungs between two rails",
            "stepladder": "with steps and a folding support behind",
            "orchard ladder": "with rails that meet towards the top",
        },
        ("thin", "thick"),
        make_ladder,
    ),
    Kind(
        "cutlery",
        "tool",
        {
            "spoon": "with an oval bowl at the end",
            "fork": "with four tines at the end",
            "knife": "with a blade at the end",
        },
        ("thin", "thick"),
        make_cutlery,
    ),
)
