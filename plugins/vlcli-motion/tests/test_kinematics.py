import random

import numpy as np
import pytest
from vlcli_motion.data.captions import PHRASES, captions_of, paraphrase, plain_caption
from vlcli_motion.data.kinematics import STYLES, act
from vlcli_motion.data.kinematics_body import FOREARM, SHIN, THIGH, UPPER_ARM
from vlcli_motion.data.scripts import KINDS, Move, Script, draw_script, is_ordered_pair, is_possible, starts_seated
from vlcli_motion.skeleton import HUMANML3D

ALONE = [Script((Move(action, direction),)) for action, kind in KINDS.items() for direction in kind.directions]
TOES = [HUMANML3D.index("left_foot"), HUMANML3D.index("right_foot")]
WRISTS = {"left": HUMANML3D.index("left_wrist"), "right": HUMANML3D.index("right_wrist")}


def script(*moves: Move, style: str = "") -> Script:
    return Script(moves, style)


def some_scripts(count: int, seed: int = 0) -> list[Script]:
    rng = random.Random(seed)
    return [draw_script(rng) for _ in range(count)]


@pytest.mark.parametrize("alone", [*ALONE, *some_scripts(30)], ids=lambda one: one.key)
def test_motions_are_of_a_body_on_the_ground(alone: Script) -> None:
    joints = act(alone, 3)
    assert joints.dtype == np.float32 and joints.shape[1:] == (22, 3) and np.isfinite(joints).all()
    assert 40 <= len(joints) <= 120
    assert joints[..., 1].min() == pytest.approx(0, abs=1e-6)
    assert joints[0, 0, [0, 2]] == pytest.approx(0, abs=1e-6)
    for first, second, length in ((1, 4, THIGH), (5, 8, SHIN), (17, 19, UPPER_ARM), (18, 20, FOREARM)):
        assert np.linalg.norm(joints[:, second] - joints[:, first], axis=-1) == pytest.approx(length, abs=1e-5)
    left_to_right = joints[0, 1] - joints[0, 2] + joints[0, 16] - joints[0, 17]
    assert left_to_right[0] > 0.3 and abs(left_to_right[2]) < 0.05, "it faces +z at first"
    # 16 m/s² is what legs of a runner do; a jump of a joint from one frame to the next is many times that.
    assert np.abs(np.diff(joints, 2, axis=0)).max() * 400 < 200


@pytest.mark.parametrize("alone", [*ALONE, *some_scripts(20, 5)], ids=lambda one: one.key)
def test_standing_feet_do_not_slide(alone: Script) -> None:
    toes = act(alone, 8)[:, TOES]
    speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * 20
    # A foot that is less than a millimetre above the ground in three frames stands.
    low = toes[..., 1] < 0.001
    stands = low[:-2] & low[1:-1] & low[2:]
    assert stands.mean() > 0.1
    assert speed[1:][stands].max() < 0.12


def travelled(joints: np.ndarray) -> np.ndarray:
    return joints[-1, 0, [0, 2]] - joints[0, 0, [0, 2]]


@pytest.mark.parametrize(
    ("move", "axis", "sign"),
    [("walk forward", 1, 1), ("run forward", 1, 1), ("walk backward", 1, -1), ("walk left", 0, 1),
     ("walk right", 0, -1), ("jump forward", 1, 1)],
)  # fmt: skip
def test_directions(move: str, axis: int, sign: int) -> None:
    for seed in range(4):
        way = travelled(act(script(Move(*move.split())), seed))
        assert way[axis] * sign > 0.4 and abs(way[1 - axis]) < 0.15


@pytest.mark.parametrize(("where", "degrees"), [("left", 90), ("right", -90), ("around", 180)])
def test_turns(where: str, degrees: float) -> None:
    joints = act(script(Move("turn", where)), 4)
    across = joints[-1, 1] - joints[-1, 2]
    found = np.degrees(np.arctan2(-across[2], across[0]))
    assert abs((abs(found) - 180) if degrees == 180 else found - degrees) < 20


@pytest.mark.parametrize("side", ["left", "right"])
def test_sides(side: str) -> None:
    other = {"left": "right", "right": "left"}[side]
    for action in ("wave", "raise", "punch", "throw"):
        joints = act(script(Move(action, side)), 2)
        rise = np.ptp(joints[:, WRISTS[side]], axis=0).max(), np.ptp(joints[:, WRISTS[other]], axis=0).max()
        assert rise[0] > 1.2 * rise[1], action
    kicked = act(script(Move("kick", side)), 2)[:, TOES, 1].max(0)
    assert kicked[0 if side == "left" else 1] > 0.3 > 0.05 > kicked[1 if side == "left" else 0]


def test_heights() -> None:
    def pelvis(name: str) -> np.ndarray:
        return act(script(Move(*name.split())), 1)[:, 0, 1]

    assert pelvis("sit")[-1] < 0.6 < 0.85 < pelvis("sit")[0]
    assert pelvis("rise")[0] < 0.6 < 0.85 < pelvis("rise")[-1]
    assert pelvis("crouch").min() < 0.65 and pelvis("crouch")[-1] > 0.85
    assert act(script(Move("jump", "up")), 1)[:, TOES, 1].min(1).max() > 0.1, "both feet leave the ground"
    assert act(script(Move("bow")), 1)[:, 15, 1].min() < 1.3


def test_speed_and_style_change_the_motion() -> None:
    def pace(speed: str, style: str = "") -> float:
        joints = act(script(Move("walk", "forward", speed), style=style), 5)
        return float(np.linalg.norm(travelled(joints)) / len(joints))

    assert pace("slowly") < 0.8 * pace("") < 0.7 * pace("quickly")
    assert pace("", "tired") < pace("") < pace("", "happy")
    heads = {style: act(script(Move("stand"), Move("wave", "left"), style=style), 5)[0, 15] for style in STYLES}
    assert heads["old"][1] < heads["tired"][1] < heads[""][1], "who is old or tired stoops"


def test_order_is_seen() -> None:
    walk, wave = Move("walk", "forward"), Move("wave", "right")
    first, second = act(script(walk, wave), 6), act(script(wave, walk), 6)
    for joints, early in ((first, True), (second, False)):
        half = len(joints) // 2
        moved = [np.linalg.norm(part[-1, 0] - part[0, 0]) for part in (joints[:half], joints[half:])]
        lifted = [part[:, WRISTS["right"], 1].max() for part in (joints[:half], joints[half:])]
        assert bool(moved[0] > moved[1]) is early and bool(lifted[0] < lifted[1]) is early


def test_a_mirrored_script_gives_the_mirrored_motion() -> None:
    for one in some_scripts(20, 9):
        if one.mirrored() == one:
            continue
        mirror = act(one, 11)[:, list(HUMANML3D.mirror)] * np.array([-1, 1, 1], np.float32)
        assert np.allclose(act(one.mirrored(), 11), mirror, atol=1e-6), one.key


def test_same_seed_same_motion() -> None:
    one = some_scripts(1)[0]
    assert np.array_equal(act(one, 1), act(one, 1))
    assert not np.array_equal(act(one, 1)[:40], act(one, 2)[:40])


def test_lengths_are_kept() -> None:
    long = script(
        *[Move("sneak", "forward", ""), Move("bow", count=2), Move("walk", "backward", "slowly")], style="old"
    )
    assert len(act(long, 0, 2, 3)) == 60
    assert len(act(script(Move("punch", "left")), 0, 5, 6)) == 100


def test_what_is_possible() -> None:
    sit, rise, walk, wave = Move("sit"), Move("rise"), Move("walk", "forward"), Move("wave", "both")
    assert is_possible([sit, rise]) and is_possible([rise, sit]) and is_possible([sit, wave, rise])
    assert not is_possible([sit, walk]) and not is_possible([walk, rise]) and not is_possible([walk, walk])
    assert starts_seated([wave, rise]) and not starts_seated([wave, walk]) and not starts_seated([sit, rise])
    assert is_ordered_pair(script(walk, wave)) and not is_ordered_pair(script(walk, sit))
    for one in some_scripts(300):
        assert is_possible(one.moves)


def test_captions_say_everything() -> None:
    assert set(PHRASES) == {move.key for one in ALONE for move in one.moves}
    tired = script(Move("walk", "forward", "slowly"), Move("kick", "left", count=2), style="tired")
    assert plain_caption(tired) == "a tired person walks forward slowly, then kicks with the left foot twice"
    assert plain_caption(script(Move("clap"), style="angry")) == "an angry person claps"
    rng = random.Random(0)
    for one in some_scripts(200, 3):
        found = captions_of(one, 5, rng)
        assert found[0] == plain_caption(one) and len(set(found)) == len(found) >= 2
        for caption in found[1:]:
            assert ("left" in caption) == any(move.direction == "left" for move in one.moves)
            assert ("twice" in caption or "two times" in caption) == any(move.count == 2 for move in one.moves)


def test_paraphrases_also_name_the_later_movement_first() -> None:
    pair = script(Move("walk", "forward"), Move("clap"))
    found = {paraphrase(pair, random.Random(seed)) for seed in range(1500)}
    assert "a person claps after walking forward" in found and "before clapping, a person walks forward" in found
    back = {paraphrase(pair.reversed(), random.Random(seed)) for seed in range(1500)}
    assert not found & back
