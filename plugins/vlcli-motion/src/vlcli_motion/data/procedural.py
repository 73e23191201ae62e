"""`motion/procedural`: captioned motions made by the kinematic generator; for claims at laptop scale and for a start.

Scripts, not clips, are split: what a test clip shows, training never saw, though it saw every movement. A script of two
movements and its reverse are always in the same split, so that the test asks for the order of the words.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlcli.api import Source, VlcliError
from vlcli.data.dataset import Example
from vlcli.errors import did_you_mean
from vlcli.runtime.files import atomic_path
from vlcli.runtime.paths import cache_dir
from vlcli_motion.data.captions import captions_of
from vlcli_motion.data.scripts import KINDS, Move, Script, draw_script, is_ordered_pair

VERSION = 3
"""Part of the cache folder's name; raise it when the motions change."""
FRUITLESS = 5
"""Draws in a row without a new script, for each that is asked for, after which a split is complete."""
SHARES = {"test": 0.2, "val": 0.1}
"""Share of all scripts that is held out."""


class ProceduralMotions:
    """`motion/procedural`.

    Labels are the classes of the movements in order, `walk forward, turn left`. Metadata: `script` (a list of
    movements with action, direction, speed, count), `style`, `classes` and `seconds`.

    Args:
        size: training clips.
        held_out: clips of each of validation and test, each with a script of its own; the same for every seed.
        seed: of the training clips.
        split: only this one; all when None.
        movements: at most so many in one clip, 1 to 3.
        order_pairs: a script of two movements that can be done in the opposite order comes with its reverse.
        styles: whether some clips are tired, proud, happy, sad, angry or old.
        modifiers: whether movements may be slow, quick or repeated.
        mirrored: adds the mirror image of every training clip.
        static: every clip shows one of its poses, held still; for baselines that must not see the movement.
        captions: at most so many a clip, the plain one first.
        min_seconds, max_seconds: lengths of clips.
        actions: only these keys of `KINDS`; all when empty.

    Raises:
        VlcliError: D854 for an action that is not known.
    """

    def __init__(
        self, size: int = 2000, held_out: int = 200, seed: int = 0, split: str | None = None, movements: int = 3,
        order_pairs: bool = True, styles: bool = True, modifiers: bool = True, mirrored: bool = False,
        static: bool = False, captions: int = 4, min_seconds: float = 2.0, max_seconds: float = 6.0,
        actions: Sequence[str] = (),
    ) -> None:  # fmt: skip
        unknown = [action for action in actions if action not in KINDS]
        if unknown:
            hint = did_you_mean(unknown[0], list(KINDS)) or f"known: {', '.join(KINDS)}"
            raise VlcliError("D854", "motion/procedural", f"knows no action '{unknown[0]}'", hint)
        self.actions = tuple(actions)
        self.static, self.captions, self.seconds = static, captions, (min_seconds, max_seconds)
        self.lengths = {1: (1.0,), 2: (0.35, 0.65), 3: (0.3, 0.5, 0.2)}[movements]
        self.order_pairs, self.styles, self.modifiers = order_pairs, styles, modifiers
        self.folder = cache_dir("motion", f"procedural-v{VERSION}")
        self.examples: list[Example] = []
        if split in (None, "train"):
            for number, script in enumerate(self.training_scripts(size, seed)):
                self.add("train", script, seed * 1_000_003 + number)
                if mirrored and script.mirrored() != script:
                    self.add("train", script.mirrored(), seed * 1_000_003 + number)
        for name in ("val", "test"):
            if split in (None, name):
                for script in self.held_out_scripts(name, held_out):
                    self.add(name, script, -1)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]

    def scripts(self, rng: random.Random, split: str) -> Iterator[Script]:
        """Endless scripts of a split, pairs followed by their reverse."""
        while True:
            script = draw_script(rng, self.lengths, self.styles, self.modifiers, self.actions)
            if split_of(script) != split:
                continue
            yield script
            if self.order_pairs and is_ordered_pair(script):
                yield script.reversed()

    def training_scripts(self, size: int, seed: int) -> list[Script]:
        """Scripts to train on; each class of movement alone comes first, so that every word is seen."""
        alone = [Script((Move(action, direction),)) for action, kind in KINDS.items()
                 if not self.actions or action in self.actions for direction in kind.directions]  # fmt: skip
        found = alone[:size]
        for script in self.scripts(random.Random(f"motion/{seed}"), "train"):
            if len(found) >= size:
                break
            found.append(script)
        return found

    def held_out_scripts(self, split: str, count: int) -> list[Script]:
        """Different scripts, so that each caption belongs to one clip."""
        found: dict[str, Script] = {}
        fruitless = 0
        for script in self.scripts(random.Random(f"motion/{split}"), split):
            # A small world has fewer scripts than are asked for: it ends when no new one comes for long.
            if len(found) >= count or fruitless > FRUITLESS * count:
                break
            fruitless = fruitless + 1 if script.key in found else 0
            found.setdefault(script.key, script)
        return list(found.values())

    def add(self, split: str, script: Script, seed: int) -> None:
        """Append an example; its motion is made when it is not in the cache."""
        low, high = self.seconds
        own = f"{script.key}/{seed if split == 'train' else split}"
        number = int.from_bytes(hashlib.sha256(seed_key(own, script).encode()).digest()[:6], "big")
        name = f"{split}-{script.key}-{number:012x}-{low:g}-{high:g}" + ("-static" if self.static else "")
        path = clip(self.folder / f"{name}.npy", script, number, low, high, self.static)
        rng = random.Random(name)
        metadata: dict[str, Any] = {
            "script": script.as_list(), "style": script.style, "classes": [move.key for move in script.moves],
            "key": script.key,
        }  # fmt: skip
        source = Source(id=name, path=path, metadata={"label": script.label, "style": script.style})
        captions = captions_of(script, self.captions, rng)
        self.examples.append(Example(name, {"motion": source}, captions, script.label, split, metadata))


def seed_key(own: str, script: Script) -> str:
    """What a clip's seed is made of: the same for a script and its mirror image, so that their motions mirror."""
    mirror = script.mirrored().key
    return own.replace(script.key, min(script.key, mirror))


def split_of(script: Script) -> str:
    """The split of a script: the same for a pair and its reverse, and for left and right exchanged.

    A single movement without modifiers is always trained on.
    """
    if (
        len(script.moves) == 1
        and not script.style
        and script.moves[0] == Move(script.moves[0].action, script.moves[0].direction)
    ):
        return "train"
    forms = [form.key for one in (script, script.mirrored()) for form in (one, one.reversed())]
    value = int.from_bytes(hashlib.sha256(min(forms).encode()).digest()[:4], "big") / 2**32
    for name, share in SHARES.items():
        if value < share:
            return name
        value -= share
    return "train"


def clip(path: Path, script: Script, seed: int, shortest: float, longest: float, static: bool) -> Path:
    """The file of a clip, made once."""
    if not path.exists():
        joints = motion_of(script, seed, shortest, longest, static)
        # Atomic but not synced: a clip that is lost is made again.
        with atomic_path(path, sync=False) as temporary, open(temporary, "wb") as file:
            np.save(file, joints, allow_pickle=False)
    return path


def motion_of(script: Script, seed: int, shortest: float, longest: float, static: bool) -> NDArray[np.float32]:
    """The joints of a clip `[T, 22, 3]`; with `static` one of its poses, held still and brought back to the middle."""
    from vlcli_motion.data.kinematics import act

    joints = act(script, seed, shortest, longest)
    if static:
        # Not the first or last frames: there everybody stands.
        frame = int(np.random.default_rng(seed).integers(len(joints) // 5, max(len(joints) * 4 // 5, 1)))
        pose = joints[frame] - joints[frame, 0] * np.array([1, 0, 1], np.float32)
        joints = np.repeat(pose[None], len(joints), 0)
    return joints
