"""Vehicles of the shapes world; they drive towards the right (+x)."""

from __future__ import annotations

import numpy as np

from vlcli_pointclouds.data.kind import Choice, Kind
from vlcli_pointclouds.data.parts import Parts, bar, block, grid, lathe, paint, prism, ring, rod


def wheels(places: tuple[float, ...], radius: float, track: float) -> Parts:
    """Two wheels at each place along x."""
    wheel = rod(radius, 0.16, sections=16).turn("x", 90).move(0, radius, -0.08)
    return paint([wheel.move(x, 0, z) for x in places for z in (-track + 0.16, track)], "dark")


def make_car(choice: Choice) -> Parts:
    """Saloon, pickup, bus."""
    if choice.subtype == "bus":
        body = block(2.3, 0.78, 0.72, y=0.2)
        windows = [block(0.27, 0.26, 0.05, x=-0.9 + 0.36 * n, y=0.6, z=z) for n in range(6) for z in (-0.37, 0.37)]
        return [body, *paint(windows, "glass"), *wheels((-0.75, 0.75), 0.2, 0.33)]
    outline = [(-0.95, 0.2), (0.95, 0.2), (0.97, 0.42), (0.5, 0.48), (-0.97, 0.5)]
    body = prism(outline, 0.76)
    if choice.subtype == "pickup":
        cab = prism([(-0.12, 0.48), (0.52, 0.48), (0.28, 0.86), (-0.1, 0.86)], 0.7)
        bed = [block(0.8, 0.2, 0.05, x=-0.55, y=0.48, z=z) for z in (-0.35, 0.35)] + [
            block(0.05, 0.2, 0.72, x=-0.94, y=0.48)
        ]
        window = prism([(0.0, 0.55), (0.4, 0.55), (0.25, 0.8), (0.0, 0.8)], 0.77)
        return [body, cab, *bed, window.painted("glass"), *wheels((-0.58, 0.58), 0.2, 0.34)]
    cab = prism([(-0.72, 0.48), (0.5, 0.48), (0.2, 0.83), (-0.45, 0.83)], 0.66)
    windows = [prism([(-0.55, 0.53), (-0.12, 0.53), (-0.12, 0.77), (-0.42, 0.77)], 0.74),
               prism([(-0.06, 0.53), (0.36, 0.53), (0.16, 0.77), (-0.06, 0.77)], 0.74)]  # fmt: skip
    return [body, cab, *paint(windows, "glass"), *wheels((-0.58, 0.58), 0.19, 0.34)]


def wing(root: float, tip: float, span: float, sweep: float, thickness: float) -> Parts:
    """A pair of wings in the xz plane, rooted at the origin."""
    outline = [(-root / 2, 0), (root / 2, 0), (tip / 2 - sweep, span), (-tip / 2 - sweep, span)]
    one = prism(outline, thickness).turn("x", 90)
    return [one, one.scale(1, 1, -1)]


def make_aeroplane(choice: Choice) -> Parts:
    """Airliner, biplane, delta jet."""
    span = choice.built(0.95, 1.3)
    if choice.subtype == "airliner":
        body = lathe([(0, -1.2), (0.06, -1.1), (0.15, -0.6), (0.16, 0.8), (0.1, 1.1), (0, 1.2)]).turn("z", -90)
        wings = wing(0.5, 0.2, span, 0.45, 0.05)
        tail = [part.move(-1.0, 0.03, 0) for part in wing(0.28, 0.14, 0.42, 0.15, 0.04)]
        fin = prism([(-1.15, 0.05), (-0.8, 0.05), (-1.05, 0.48), (-1.2, 0.48)], 0.05)
        engines = [rod(0.09, 0.34).turn("z", -90).move(-0.1, -0.12, z) for z in (-0.45, 0.45)]
        return [body, *wings, *tail, fin, *paint(engines, "metal")]
    if choice.subtype == "biplane":
        body = lathe([(0, -0.9), (0.07, -0.9), (0.17, 0.2), (0.17, 0.6), (0, 0.62)]).turn("z", -90)
        wings = [block(0.36, 0.04, 2 * span, x=0.25, y=y) for y in (-0.14, 0.36)]
        struts = [bar([0.25, -0.12, z], [0.25, 0.38, z], 0.02) for z in (-0.7 * span, -0.3, 0.3, 0.7 * span)]
        tail = [
            block(0.25, 0.04, 0.7, x=-0.8, y=0.02),
            prism([(-0.92, 0), (-0.66, 0), (-0.8, 0.34), (-0.92, 0.34)], 0.04),
        ]
        propeller = [block(0.03, 0.72, 0.08, x=0.66, y=-0.36)]
        gear = [rod(0.11, 0.06).turn("x", 90).move(0.35, -0.36, z) for z in (-0.2, 0.26)]
        legs = [bar([0.35, -0.36, z], [0.3, -0.1, z * 0.6], 0.02) for z in (-0.23, 0.23)]
        return [body, *wings, *tail, *paint([*struts, *legs], "wood"), *paint([*propeller, *gear], "dark")]
    body = lathe([(0, -0.95), (0.13, -0.95), (0.14, 0.2), (0, 1.25)]).turn("z", -90)
    wings = [part.move(-0.3, 0, 0) for part in wing(1.2, 0.1, 0.75 * span, 0.5, 0.05)]
    fins = [prism([(-0.95, 0.05), (-0.5, 0.05), (-0.85, 0.5), (-1.0, 0.5)], 0.04).move(0, 0, z) for z in (-0.16, 0.16)]
    return [
        body,
        *wings,
        *fins,
        lathe([(0, 0), (0.08, 0), (0.05, 0.1), (0, 0.12)]).move(0.35, 0.08, 0).painted("glass"),
    ]


def make_rocket(choice: Choice) -> Parts:
    """Finned, with boosters, capsule."""
    if choice.subtype == "space capsule":
        capsule = lathe([(0, 0), (0.62, 0.1), (0.66, 0.22), (0.26, 0.95), (0.2, 1.05), (0, 1.08)])
        shield = [lathe([(0, -0.08), (0.45, -0.02), (0.64, 0.12), (0, 0.12)])]
        legs = [bar([0.5 * np.cos(a), 0.2, 0.5 * np.sin(a)], [0.95 * np.cos(a), -0.45, 0.95 * np.sin(a)], 0.035)
                for a in np.deg2rad([45, 135, 225, 315])]  # fmt: skip
        return [capsule, *paint([*shield, *legs], "dark")]
    width = choice.built(0.16, 0.27)
    body = lathe([(0, 0), (width, 0.05), (width, 1.7), (width * 0.72, 2.0), (0, 2.4)])
    nozzle = rod(width * 0.8, 0.2, width * 0.4).move(0, -0.15, 0).painted("dark")
    if choice.subtype == "finned rocket":
        fin = prism([(width * 0.9, 0.0), (width + 0.36, -0.2), (width + 0.36, 0.12), (width * 0.9, 0.6)], 0.05)
        fins = paint([fin.turn("y", a) for a in (0, 90, 180, 270)], "pale")
        window = ring(0.07, 0.025).turn("x", 90).move(0, 1.5, width).painted("glass")
        return [body, *fins, nozzle, window]
    booster = lathe([(0, 0), (width * 0.62, 0), (width * 0.62, 1.1), (0, 1.5)])
    boosters = [booster.move(x, -0.1, 0) for x in (-1.65 * width, 1.65 * width)]
    return [body, *paint(boosters, "pale"), nozzle]


def hull(length: float, width: float, height: float) -> Parts:
    """A hull pointed at +x."""
    shape = [(-1.0, 0.7), (-0.5, 1.0), (0.2, 1.0), (0.65, 0.7), (1.0, 0.03)]
    ribs = []
    for along, wide in shape:
        x, half = along * length / 2, wide * width / 2
        rise = height * (1.0 + (0.2 if along > 0.9 else 0))
        ribs.append(
            [
                [x, rise, half],
                [x * 0.92, 0.1 * height, half * 0.55],
                [x * 0.92, 0.1 * height, -half * 0.55],
                [x, rise, -half],
            ]
        )
    stern = np.array(ribs[0]).mean(axis=0)
    bow = np.array(ribs[-1]).mean(axis=0)
    rows = np.stack([np.tile(stern, (4, 1)), *[np.array(rib) for rib in ribs], np.tile(bow, (4, 1))])
    return [grid(rows)]


def make_boat(choice: Choice) -> Parts:
    """Rowing boat, sailing boat, freighter."""
    if choice.subtype == "freighter":
        body = hull(2.4, 0.6, 0.4)
        house = [block(0.4, 0.5, 0.5, x=-0.85, y=0.38), rod(0.09, 0.35).move(-0.9, 0.85, 0)]
        boxes = [block(0.36, 0.2 + 0.16 * (n % 2), 0.42, x=-0.4 + 0.4 * n, y=0.38) for n in range(3)]
        return [*body, *paint(house, "white"), *paint(boxes, "pale")]
    body = hull(1.8, 0.7, 0.36)
    if choice.subtype == "rowing boat":
        seats = [block(0.14, 0.05, 0.6, x=x, y=0.36) for x in (-0.4, 0.15)]
        oars = [bar([0.05, 0.42, 0.2 * s], [-0.25, 0.1, 1.05 * s], 0.03) for s in (-1, 1)]
        blades = [block(0.2, 0.04, 0.3, x=-0.25, y=0.08, z=1.1 * s) for s in (-1, 1)]
        return [*body, *paint([*seats, *oars, *blades], "wood")]
    mast = [bar([0, 0.3, 0], [0, 2.1, 0], 0.03), bar([0.0, 0.6, 0], [-0.85, 0.6, 0], 0.025)]
    sails = [
        prism([(-0.05, 0.68), (-0.05, 2.0), (-0.8, 0.68)], 0.02),
        prism([(0.08, 0.62), (0.85, 0.55), (0.05, 1.8)], 0.02),
    ]
    return [*body, *paint(mast, "wood"), *paint(sails, "white")]


KINDS = (
    Kind(
        "car",
        "vehicle",
        {
            "saloon": "with a closed cabin in the middle",
            "pickup": "with a cab and an open bed behind it",
            "bus": "a long box with a row of windows",
        },
        ("low", "tall"),
        make_car,
        (0.8, 1.3),
    ),
    Kind(
        "aeroplane",
        "vehicle",
        {
            "airliner": "with swept wings and two engines below them",
            "biplane": "with two wings above each other and a propeller",
            "delta jet": "with wings like a triangle and two fins",
        },
        ("narrow", "wide"),
        make_aeroplane,
    ),
    Kind(
        "rocket",
        "vehicle",
        {
            "finned rocket": "with four fins at its foot",
            "booster rocket": "with a booster on either side",
            "space capsule": "a blunt cone on four legs",
        },
        ("slim", "stout"),
        make_rocket,
        (1.1, 0.8),
    ),
    Kind(
        "boat",
        "vehicle",
        {
            "rowing boat": "with two oars",
            "sailing boat": "with two sails on a mast",
            "freighter": "with a bridge at the stern and cargo on deck",
        },
        ("low", "tall"),
        make_boat,
        (0.8, 1.25),
    ),
)
