"""Furniture of the shapes world; its front is towards the viewer (+z), its feet stand at height 0."""

from __future__ import annotations

import numpy as np

from vlcli_pointclouds.data.kind import Choice, Kind
from vlcli_pointclouds.data.parts import Parts, bar, block, four, lathe, leg, paint, pair, ring, rod


def make_chair(choice: Choice) -> Parts:
    """Dining chair, armchair, office chair."""
    seat, high = 0.46, choice.between(0.48, 0.56)
    if choice.subtype == "dining chair":
        square = choice.flip()
        back: Parts = [block(0.05, 0.55, 0.05, x=x, y=seat, z=-0.21) for x in (-0.2, 0.2)]
        slats = [block(0.42, 0.07, 0.04, y=seat + lift, z=-0.21) for lift in (0.18, 0.33, 0.48)]
        legs = four(leg(seat, 0.06, square), 0.2, 0.2)
        return [block(0.48, 0.06, 0.48, y=seat), *back, *slats, *legs]
    if choice.subtype == "armchair":
        cushions = [block(0.62, 0.16, 0.58, y=0.28), block(0.62, high, 0.14, y=0.34, z=-0.28)]
        arms = pair(block(0.13, 0.42, 0.66, x=0.37, y=0.16, z=-0.02))
        base = [block(0.8, 0.14, 0.66, y=0.14, z=-0.02)]
        return [*cushions, *arms, *base, *paint(four(leg(0.14, 0.07, True), 0.33, 0.26), "wood")]
    star = [bar([0, 0.08, 0], [0.34 * np.sin(a), 0.05, 0.34 * np.cos(a)], 0.03)
            for a in np.arange(5) * 2 * np.pi / 5]  # fmt: skip
    wheels = [rod(0.04, 0.07).move(0.34 * np.sin(a), 0, 0.34 * np.cos(a)) for a in np.arange(5) * 2 * np.pi / 5]
    rest = [block(0.42, high, 0.07, y=0.62, z=-0.24), block(0.08, 0.2, 0.04, y=0.46, z=-0.25)]
    arms = pair(block(0.05, 0.04, 0.3, x=0.28, y=0.68)) + pair(block(0.04, 0.2, 0.05, x=0.28, y=0.48))
    return [rod(0.26, 0.08).move(0, seat, 0), *rest, *paint([*star, *wheels, rod(0.035, seat), *arms], "dark")]


def make_stool(choice: Choice) -> Parts:
    """Three-legged, bar, drum."""
    if choice.subtype == "drum stool":
        return [rod(0.3, 0.42, 0.3), *paint([ring(0.3, 0.03).move(0, y, 0) for y in (0.03, 0.4)], "wood")]
    if choice.subtype == "three-legged stool":
        angles = np.deg2rad([90, 210, 330])
        legs = [bar([0.16 * np.cos(a), 0.45, 0.16 * np.sin(a)], [0.28 * np.cos(a), 0, 0.28 * np.sin(a)], 0.032)
                for a in angles]  # fmt: skip
        return [rod(0.27, 0.07).move(0, 0.44, 0), *paint(legs, "wood")]
    foot = ring(0.19, 0.018).move(0, 0.3, 0)
    return [rod(0.2, 0.08).move(0, 0.78, 0), *paint([rod(0.03, 0.8), rod(0.24, 0.04, 0.2), foot], "metal")]


def make_table(choice: Choice) -> Parts:
    """Round with four legs, rectangular with four legs, round on one leg."""
    if choice.subtype == "rectangular table":
        width = choice.between(1.3, 1.7)
        return [block(width, 0.07, 0.8, y=0.68), *paint(four(leg(0.68, 0.08, True), width / 2 - 0.08, 0.33), "wood")]
    if choice.subtype == "round table":
        return [rod(0.62, 0.07, sections=28).move(0, 0.68, 0), *paint(four(leg(0.68, 0.07, False), 0.34, 0.34), "wood")]
    foot = [rod(0.34, 0.05, 0.3), rod(0.06, 0.68, 0.05)]
    return [rod(choice.between(0.5, 0.62), 0.06, sections=28).move(0, 0.68, 0), *paint(foot, "wood")]


def make_bed(choice: Choice) -> Parts:
    """Single, bunk, four-poster; the head is at the back."""
    long, wide = 1.9, choice.between(0.9, 1.05)

    def lying(base: float) -> Parts:
        frame = [block(wide, 0.12, long, y=base)]
        soft = [block(wide * 0.96, 0.14, long * 0.96, y=base + 0.1)]
        pillow = [block(wide * 0.6, 0.1, 0.3, y=base + 0.24, z=-long / 2 + 0.25)]
        return [*paint(frame, "wood"), *soft, *paint(pillow, "white")]

    if choice.subtype == "single bed":
        boards = [block(wide, 0.75, 0.07, z=-long / 2), block(wide, 0.42, 0.07, z=long / 2)]
        return [*lying(0.22), *paint(boards, "wood")]
    post = leg(1.65, 0.08, True)
    posts = paint(four(post, wide / 2, long / 2), "wood")
    if choice.subtype == "bunk bed":
        rungs = [block(0.4, 0.05, 0.05, x=wide / 2 - 0.25, y=0.25 + 0.3 * n, z=long / 2 + 0.03) for n in range(5)]
        rails = [block(0.05, 0.12, long, x=x, y=1.45) for x in (-wide / 2, wide / 2)]
        return [*lying(0.22), *lying(1.05), *posts, *paint([*rungs, *rails], "wood")]
    return [*lying(0.3), *posts, block(wide + 0.1, 0.12, long + 0.1, y=1.62)]


def make_sofa(choice: Choice) -> Parts:
    """Two seats, a corner, a day bed with one raised end."""
    wide = choice.between(1.5, 1.75)
    feet = paint(four(leg(0.1, 0.07, True), wide / 2 - 0.08, 0.34), "wood")
    if choice.subtype == "day bed":
        head = block(0.16, 0.52, 0.75, x=-wide / 2 + 0.1, y=0.2).turn("z", 8)
        return [block(wide, 0.26, 0.75, y=0.1), head, *feet]
    base = [block(wide, 0.3, 0.8, y=0.1), block(wide, 0.5, 0.18, y=0.36, z=-0.34)]
    if choice.subtype == "two-seat sofa":
        cushions = [block(wide / 2 - 0.2, 0.13, 0.58, x=x, y=0.38, z=0.08) for x in (-wide / 4 + 0.07, wide / 4 - 0.07)]
        return [*base, *cushions, *pair(block(0.18, 0.55, 0.8, x=wide / 2 - 0.06, y=0.1)), *feet]
    side = [
        block(0.75, 0.3, 0.85, x=-wide / 2 + 0.37, y=0.1, z=0.8),
        block(0.18, 0.5, 1.6, x=-wide / 2 + 0.05, y=0.36, z=0.42),
    ]
    return [*base, *side, *feet]


def make_shelf(choice: Choice) -> Parts:
    """Bookcase with sides and a back, open rack on posts, cabinet with two doors."""
    wide, deep, high = choice.between(0.85, 1.0), 0.34, 1.7
    if choice.subtype == "cabinet":
        doors = [
            block(wide / 2 - 0.03, high - 0.22, 0.05, x=x, y=0.16, z=deep / 2 + 0.025) for x in (-wide / 4, wide / 4)
        ]
        knobs = [block(0.03, 0.22, 0.05, x=x, y=high / 2, z=deep / 2 + 0.08) for x in (-0.07, 0.07)]
        return [block(wide, high - 0.1, deep, y=0.1), *paint(doors, "pale"),
                *paint([*knobs, *four(leg(0.1, 0.06, True), wide / 2 - 0.06, 0.11)], "dark")]  # fmt: skip
    boards = [block(wide, 0.05, deep, y=0.08 + n * (high - 0.12) / 4) for n in range(5)]
    if choice.subtype == "open rack":
        return [*boards, *paint(four(leg(high, 0.045, True), wide / 2, deep / 2), "metal")]
    walls = [*pair(block(0.05, high, deep, x=wide / 2)), block(wide, high, 0.03, z=-deep / 2)]
    books = [block(0.05, choice.between(0.2, 0.28), 0.2, x=-wide / 2 + 0.07 + 0.062 * b, y=0.13 + n * (high - 0.12) / 4)
             for n in (0, 1, 3) for b in range(int(choice.between(4, 11)))]  # fmt: skip
    return [*boards, *walls, *paint(books, "pale")]


def make_lamp(choice: Choice) -> Parts:
    """Table, floor, desk."""
    if choice.subtype == "desk lamp":
        arms = [bar([0, 0.05, 0], [-0.28, 0.5, 0], 0.025), bar([-0.28, 0.5, 0], [0.12, 0.85, 0], 0.025)]
        shade = lathe([(0.05, 0.1), (0.2, -0.12), (0.17, -0.12), (0.02, 0.08)]).turn("z", 35).move(0.2, 0.8, 0)
        return [shade, *paint([rod(0.2, 0.05), *arms], "dark")]
    shade = lathe([(0.15, 0.3), (0.27, 0), (0.25, 0), (0.13, 0.3), (0.15, 0.3)])
    if choice.subtype == "table lamp":
        body = lathe([(0, 0), (0.16, 0), (0.2, 0.12), (0.09, 0.3), (0.05, 0.42), (0, 0.42)])
        return [shade.move(0, 0.4, 0), body.painted("wood")]
    high = choice.between(1.4, 1.6)
    return [shade.move(0, high - 0.1, 0), *paint([rod(0.02, high), rod(0.22, 0.04, 0.18)], "dark")]


def make_bench(choice: Choice) -> Parts:
    """Park bench with a back, plain bench, picnic table with benches."""
    wide = choice.between(1.3, 1.6)
    if choice.subtype == "picnic table":
        tops = [block(wide, 0.06, 0.6, y=0.7), *[block(wide, 0.05, 0.24, y=0.42, z=z) for z in (-0.62, 0.62)]]
        legs = [bar([x, 0.7, 0.22 * s], [x, 0, 0.62 * s], 0.035) for x in (-wide * 0.38, wide * 0.38) for s in (-1, 1)]
        cross = [block(0.06, 0.06, 1.3, x=x, y=0.36) for x in (-wide * 0.38, wide * 0.38)]
        return [*tops, *paint([*legs, *cross], "wood")]
    seat = [block(wide, 0.05, 0.13, y=0.42, z=z) for z in (-0.15, 0, 0.15)]
    legs = paint(pair(block(0.07, 0.42, 0.42, x=wide / 2 - 0.12)), "metal")
    if choice.subtype == "plain bench":
        return [*seat, *legs]
    back = [block(wide, 0.11, 0.04, y=y, z=-0.24) for y in (0.56, 0.73)]
    return [*seat, *legs, *back, *paint(pair(block(0.06, 0.42, 0.05, x=wide / 2 - 0.12, y=0.42, z=-0.22)), "metal")]


STRETCH = (0.8, 1.3)
KINDS = (
    Kind(
        "chair",
        "furniture",
        {
            "dining chair": "with four legs and a back of slats",
            "armchair": "with a deep cushion and two wide arms",
            "office chair": "on one post with five feet on castors",
        },
        ("low", "tall"),
        make_chair,
        STRETCH,
    ),
    Kind(
        "stool",
        "furniture",
        {
            "three-legged stool": "with a round seat on three splayed legs",
            "bar stool": "with a small seat high on one post",
            "drum stool": "a round padded barrel",
        },
        ("low", "tall"),
        make_stool,
        STRETCH,
    ),
    Kind(
        "table",
        "furniture",
        {
            "rectangular table": "with a long top on four legs",
            "round table": "with a round top on four legs",
            "pedestal table": "with a round top on one leg",
        },
        ("low", "tall"),
        make_table,
        (0.7, 1.35),
    ),
    Kind(
        "bed",
        "furniture",
        {
            "single bed": "with a pillow and a headboard",
            "bunk bed": "with two berths above each other and rungs",
            "four-poster bed": "with four posts that carry a roof",
        },
        ("low", "tall"),
        make_bed,
        STRETCH,
    ),
    Kind(
        "sofa",
        "furniture",
        {
            "two-seat sofa": "with two cushions and two arms",
            "corner sofa": "with a second wing at a right angle",
            "day bed": "without a back and with one raised end",
        },
        ("low", "tall"),
        make_sofa,
        (0.8, 1.35),
    ),
    Kind(
        "shelf",
        "furniture",
        {
            "bookcase": "with side walls and some books",
            "open rack": "with five boards on four posts",
            "cabinet": "closed by two doors",
        },
        ("low", "tall"),
        make_shelf,
        (0.6, 1.25),
    ),
    Kind(
        "lamp",
        "furniture",
        {
            "table lamp": "with a shade on a turned body",
            "floor lamp": "with a shade on a long pole",
            "desk lamp": "with a shade on a jointed arm",
        },
        ("low", "tall"),
        make_lamp,
        STRETCH,
    ),
    Kind(
        "bench",
        "furniture",
        {
            "park bench": "with a seat of slats and a back",
            "plain bench": "with a seat of slats and no back",
            "picnic table": "a table between two seats",
        },
        ("low", "tall"),
        make_bench,
        STRETCH,
    ),
)
