"""Scripts of motions: which movements follow one another and how, and the grammar that says what may follow what.

A script is what a clip shows, in order; the kinematic generator acts it out and `captions` puts it into words. Nothing
here needs more than the standard library.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

SIDES = {"left": "right", "right": "left"}
STYLES = ("tired", "proud", "happy", "sad", "angry", "old")
"""How a whole clip is moved; the empty string is no style."""
SPEEDS = ("slowly", "quickly")


@dataclass(frozen=True)
class Kind:
    """What may be said of an action.

    Attributes:
        directions: where to or with what; one of them is drawn, `""` for none.
        seconds: how long one takes at the usual speed, least and most.
        speeds: whether it may be done slowly or quickly.
        counts: how often it may be repeated.
        seated: whether it may be done while sitting; `None` means only then.
        weight: how often it is drawn.
    """

    directions: tuple[str, ...] = ("",)
    seconds: tuple[float, float] = (1.5, 2.5)
    speeds: bool = False
    counts: tuple[int, ...] = (1,)
    seated: bool | None = False
    weight: float = 1.0


KINDS: Mapping[str, Kind] = {
    "walk": Kind(("forward", "backward", "left", "right"), (1.8, 3.2), speeds=True, weight=3.0),
    "curve": Kind(("left", "right"), (2.0, 3.4), weight=1.0),
    "run": Kind(("forward",), (1.4, 2.4), weight=1.2),
    "march": Kind(("forward",), (1.8, 3.0), weight=0.8),
    "sneak": Kind(("forward",), (2.0, 3.2), weight=0.8),
    "limp": Kind(("forward",), (2.0, 3.2), weight=0.8),
    "turn": Kind(("left", "right", "around"), (1.2, 1.9), weight=2.5),
    "wave": Kind(("left", "right", "both"), (1.4, 2.4), seated=True, weight=2.0),
    "raise": Kind(("left", "right", "both"), (1.3, 2.2), seated=True, weight=1.6),
    "clap": Kind(("",), (1.2, 2.2), seated=True, weight=0.8),
    "jump": Kind(("up", "forward"), (1.1, 1.5), counts=(1, 2, 3), weight=1.8),
    "kick": Kind(("left", "right"), (1.1, 1.5), counts=(1, 2), weight=1.5),
    "punch": Kind(("left", "right"), (0.9, 1.3), counts=(1, 2, 3), weight=1.5),
    "throw": Kind(("left", "right"), (1.3, 1.8), weight=1.0),
    "bow": Kind(("",), (1.6, 2.4), counts=(1, 2), weight=1.2),
    "pick": Kind(("left", "right"), (1.8, 2.6), weight=1.0),
    "crouch": Kind(("",), (1.5, 2.4), counts=(1, 2), weight=1.2),
    "sit": Kind(("",), (1.4, 2.0), weight=1.2),
    "rise": Kind(("",), (1.3, 1.9), seated=None, weight=1.2),
    "stand": Kind(("",), (1.0, 1.8), weight=1.2),
}
LOCOMOTION = ("walk", "curve", "run", "march", "sneak", "limp")


@dataclass(frozen=True)
class Move:
    """One movement of a script.

    Attributes:
        action: a key of `KINDS`.
        direction: one of the action's directions.
        speed: `slowly`, `quickly` or empty.
        count: how often it is done.
    """

    action: str
    direction: str = ""
    speed: str = ""
    count: int = 1

    @property
    def key(self) -> str:
        """Its class: action and direction, `walk forward`; speed and count do not change it."""
        return f"{self.action} {self.direction}".strip()

    def mirrored(self) -> Move:
        """The same with left and right exchanged."""
        return replace(self, direction=SIDES.get(self.direction, self.direction))


@dataclass(frozen=True)
class Script:
    """One to three movements, and the style that all are done in."""

    moves: tuple[Move, ...]
    style: str = ""

    @property
    def label(self) -> str:
        """The classes of the movements in order, `walk forward, turn left`."""
        return ", ".join(move.key for move in self.moves)

    @property
    def key(self) -> str:
        """All that it says, as a name that fits a file: `walk.forward.slowly-turn.left~tired`."""
        parts = [".".join(filter(None, (move.action, move.direction, move.speed, f"x{move.count}" * (move.count > 1))))
                 for move in self.moves]  # fmt: skip
        return "-".join(parts) + (f"~{self.style}" if self.style else "")

    def reversed(self) -> Script:
        """The movements in the opposite order."""
        return replace(self, moves=self.moves[::-1])

    def mirrored(self) -> Script:
        """Left and right exchanged."""
        return replace(self, moves=tuple(move.mirrored() for move in self.moves))

    def as_list(self) -> list[dict[str, Any]]:
        """The movements for metadata: `[{"action": …, "direction": …, "speed": …, "count": …}]`."""
        return [{"action": m.action, "direction": m.direction, "speed": m.speed, "count": m.count} for m in self.moves]


def starts_seated(moves: Sequence[Move]) -> bool:
    """Whether the first frame shows somebody on a chair: what first changes the posture is getting up."""
    for move in moves:
        if move.action == "rise":
            return True
        if KINDS[move.action].seated is False and move.action != "stand":
            return False
    return False


def is_possible(moves: Sequence[Move]) -> bool:
    """Whether a person can do these in this order: nobody walks while sitting, and nothing follows itself."""
    seated = starts_seated(moves)
    for before, move in zip((None, *moves), moves, strict=False):
        kind = KINDS[move.action]
        if before is not None and before.action == move.action and before.direction == move.direction:
            return False
        if move.action == "stand":
            continue
        if (kind.seated is None and not seated) or (kind.seated is False and seated):
            return False
        seated = {"sit": True, "rise": False}.get(move.action, seated)
    return True


def is_ordered_pair(script: Script) -> bool:
    """Whether it has two movements that can also be done in the opposite order."""
    return len(script.moves) == 2 and is_possible(script.moves[::-1])


def draw_move(rng: random.Random, modifiers: bool, actions: Sequence[str] = ()) -> Move:
    """A movement, one of `actions` where some are given; with `modifiers` sometimes slow, quick or repeated."""
    known = [action for action in KINDS if not actions or action in actions]
    action = rng.choices(known, [KINDS[action].weight for action in known])[0]
    kind = KINDS[action]
    speed = rng.choice(SPEEDS) if modifiers and kind.speeds and rng.random() < 0.5 else ""
    count = rng.choice(kind.counts) if modifiers else 1
    return Move(action, rng.choice(kind.directions), speed, count)


def draw_script(
    rng: random.Random,
    lengths: Sequence[float] = (0.3, 0.5, 0.2),
    styles: bool = True,
    modifiers: bool = True,
    actions: Sequence[str] = (),
) -> Script:
    """A possible script.

    Args:
        rng: where chance comes from.
        lengths: weights of scripts of one, two, three movements.
        styles: whether two of five have a style.
        modifiers: whether movements may be slow, quick or repeated.
        actions: only these; all of `KINDS` when empty.
    """
    while True:
        length = rng.choices(range(1, len(lengths) + 1), lengths)[0]
        moves = tuple(draw_move(rng, modifiers, actions) for _ in range(length))
        if length > 1:
            # A longer clip has no room for three of anything.
            moves = tuple(replace(move, count=min(move.count, 2 if length == 2 else 1)) for move in moves)
        if (moves[0].action == "stand" and length == 1) or not is_possible(moves):
            continue
        style = rng.choice(STYLES) if styles and rng.random() < 0.4 else ""
        return Script(moves, style)
