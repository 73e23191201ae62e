"""Plants, animals and buildings of the shapes world."""

from __future__ import annotations

from vlcli_pointclouds.data.kind import Choice, Kind
from vlcli_pointclouds.data.parts import Parts, ball, bar, block, four, lathe, paint, pipe, prism, rod


def make_tree(choice: Choice) -> Parts:
    """Fir, round crown, palm. The crown has the object's colour, as in a toy."""
    if choice.subtype == "fir tree":
        layers = [lathe([(0, 0), (0.75 - 0.17 * n, 0), (0, 0.75)], 16).move(0, 0.35 + 0.42 * n, 0) for n in range(4)]
        return [*layers, rod(0.1, 0.45).painted("wood")]
    if choice.subtype == "round tree":
        spots = [(0, 1.35, 0, 0.5), (0.35, 1.15, 0.1, 0.36), (-0.33, 1.2, -0.1, 0.38), (0.05, 1.1, 0.33, 0.34)]
        return [*[ball(r, 14).move(x, y, z) for x, y, z, r in spots], rod(0.13, 1.0, 0.09).painted("wood")]
    bend = choice.between(0.15, 0.35)
    trunk = pipe([[0.0, 0, 0], [bend * 0.2, 0.6, 0], [bend * 0.6, 1.2, 0], [bend, 1.7, 0]], [0.12, 0.09, 0.08, 0.07])
    leaves = []
    for angle in range(0, 360, 45):
        path = [[0.0, 0, 0], [0.35, 0.18, 0], [0.7, 0.08, 0], [0.95, -0.22, 0]]
        leaves.append(pipe(path, [0.03, 0.11, 0.09, 0.02]).turn("y", angle).move(bend, 1.7, 0))
    return [*leaves, trunk.painted("wood")]


def make_animal(choice: Choice) -> Parts:
    """Dog, giraffe, elephant; they look towards the right (+x)."""
    girth = choice.built(0.8, 1.2)
    if choice.subtype == "giraffe":
        legs = four(rod(0.05 * girth, 0.95), 0.32, 0.12)
        neck = pipe([[0.3, 1.1, 0], [0.5, 1.6, 0], [0.62, 2.1, 0]], [0.15 * girth, 0.1 * girth, 0.08 * girth])
        head = [
            ball(0.14).scale(1.5, 0.8, 0.8).move(0.74, 2.15, 0),
            *[bar([0.62, 2.2, z], [0.6, 2.4, z], 0.02) for z in (-0.05, 0.05)],
        ]
        return [ball(0.5).scale(1, 0.5 * girth, 0.44 * girth).move(0, 1.08, 0), neck, *head, *legs,
                bar([-0.46, 1.1, 0], [-0.6, 0.7, 0], 0.02)]  # fmt: skip
    if choice.subtype == "elephant":
        body = ball(0.7).scale(1.1, 0.78 * girth, 0.66 * girth).move(0, 0.95, 0)
        trunk = pipe([[0.95, 1.1, 0], [1.25, 0.85, 0], [1.3, 0.45, 0], [1.42, 0.2, 0]], [0.17, 0.12, 0.09, 0.06])
        ears = [rod(0.34, 0.05).turn("x", 90).turn("y", 24 * s).move(0.7, 1.25, 0.34 * s) for s in (-1, 1)]
        tusks = [pipe([[1.05, 1.0, z], [1.25, 0.8, z], [1.45, 0.82, z]], [0.05, 0.04, 0.02]) for z in (-0.16, 0.16)]
        legs = four(rod(0.17 * girth, 0.7), 0.42, 0.26)
        return [body, ball(0.38).move(0.82, 1.2, 0), trunk, *ears, *legs, *paint(tusks, "white")]
    body = ball(0.5).scale(1.15, 0.5 * girth, 0.46 * girth).move(0, 0.62, 0)
    head = [ball(0.22).move(0.62, 0.95, 0), ball(0.13).scale(1.5, 0.8, 0.8).move(0.84, 0.88, 0)]
    ears = [ball(0.12).scale(0.5, 1.3, 0.4).move(0.56, 1.0, z) for z in (-0.2, 0.2)]
    tail = pipe([[-0.5, 0.72, 0], [-0.72, 0.9, 0], [-0.8, 1.15, 0]], [0.06, 0.05, 0.03])
    return [body, pipe([[0.38, 0.7, 0], [0.6, 0.95, 0]], 0.14), *head, *four(rod(0.075 * girth, 0.5), 0.36, 0.13),
            tail, *paint(ears, "dark")]  # fmt: skip


def make_building(choice: Choice) -> Parts:
    """Cottage, tower block, castle."""
    if choice.subtype == "cottage":
        roof = prism([(-0.75, 0.68), (0.75, 0.68), (0, 1.3)], 1.5)
        holes = [block(0.26, 0.45, 0.03, z=0.66), *[block(0.22, 0.22, 0.03, x=x, y=0.3, z=0.66) for x in (-0.4, 0.4)]]
        return [
            block(1.25, 0.7, 1.3).painted("pale"),
            roof,
            block(0.18, 0.5, 0.18, x=0.4, y=0.85, z=-0.3).painted("dark"),
            *paint(holes, "dark"),
        ]
    if choice.subtype == "tower block":
        side = [block(0.2, 0.2, 0.06, x=x, y=0.25 + 0.34 * n, z=0.46) for n in range(6) for x in (-0.22, 0.22)]
        windows = [window.turn("y", angle) for window in side for angle in (0, 90, 180, 270)]
        return [block(0.9, 2.3, 0.9), *paint(windows, "glass"), block(0.3, 0.15, 0.3, y=2.3)]
    towers = four(rod(0.22, 1.15), 0.75, 0.75)
    tops = paint(four(lathe([(0, 1.12), (0.3, 1.12), (0, 1.6)], 16), 0.75, 0.75), "dark")
    walls = [block(1.5, 0.7, 0.12, z=z) for z in (-0.75, 0.75)] + [block(0.12, 0.7, 1.5, x=x) for x in (-0.75, 0.75)]
    teeth = [block(0.12, 0.12, 0.14, x=x, y=0.7, z=z) for x in (-0.4, -0.13, 0.13, 0.4) for z in (-0.75, 0.75)]
    keep = [block(0.6, 1.2, 0.6)]
    return [*towers, *tops, *walls, *teeth, *keep, block(0.3, 0.45, 0.04, z=0.82).painted("dark")]


def make_mushroom(choice: Choice) -> Parts:
    """Round cap, pointed cap, a group of three."""
    stem = rod(0.16, 0.8, 0.12).painted("white")
    cap = lathe([(0, 0.62), (0.3, 0.62), (0.62, 0.6), (0.56, 0.85), (0.35, 1.05), (0, 1.12)])
    if choice.subtype == "round mushroom":
        return [cap, stem]
    if choice.subtype == "pointed mushroom":
        return [lathe([(0, 0.6), (0.45, 0.5), (0.3, 0.9), (0, 1.5)]), stem.scale(0.7, 1, 0.7)]
    return [
        part.scale(s, s, s).move(x, 0, z)
        for x, z, s in ((-0.35, 0, 1), (0.42, 0.25, 0.62), (0.15, -0.45, 0.5))
        for part in (cap, stem)
    ]


KINDS = (
    Kind(
        "tree",
        "nature",
        {
            "fir tree": "with four layers of branches",
            "round tree": "with a round crown",
            "palm tree": "with eight drooping leaves",
        },
        ("low", "tall"),
        make_tree,
        (0.8, 1.3),
    ),
    Kind(
        "animal",
        "nature",
        {
            "dog": "with a raised tail and a snout",
            "giraffe": "with a long neck",
            "elephant": "with a trunk and wide ears",
        },
        ("slim", "stout"),
        make_animal,
    ),
    Kind(
        "mushroom",
        "nature",
        {
            "round mushroom": "with a round cap",
            "pointed mushroom": "with a pointed cap",
            "mushroom group": "three that stand together",
        },
        ("low", "tall"),
        make_mushroom,
        (0.8, 1.4),
    ),
    Kind(
        "building",
        "architecture",
        {
            "cottage": "with a gable roof and a chimney",
            "tower block": "with rows of windows and a flat roof",
            "castle": "with four towers and walls",
        },
        ("low", "tall"),
        make_building,
        (0.75, 1.3),
    ),
)
