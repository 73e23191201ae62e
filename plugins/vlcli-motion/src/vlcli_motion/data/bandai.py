"""`motion/bandai`: the motions of Bandai Namco Research, brought along, with captions that are worded from file names.

The files are BVH, `dataset-1_walk-left_tired_001.bvh`: content and style (Kobayashi et al. 2023, "Motion Capture
Dataset for Practical Use of AI-based Motion Editing and Stylization"). They are CC BY-NC 4.0: for measuring, not for
what is shipped. No captions exist; these are templates.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vlcli.api import Source, VlcliError
from vlcli.data.dataset import Example
from vlcli.data.inputs import RefusedInput, walk
from vlcli.data.names import printable

LICENSE = "CC-BY-NC-4.0"
SHARED_FOLDER = Path("data") / "bandai_motion"
NAME = re.compile(r"dataset-(?P<part>\d)_(?P<content>[a-z-]+)_(?P<style>[a-z-]+)_(?P<number>\d+)", re.IGNORECASE)

CONTENTS: Mapping[str, tuple[str, ...]] = {
    "bow": ("bows", "bends forward in a bow"),
    "bye": ("waves goodbye", "says goodbye with a wave"),
    "byebye": ("waves bye-bye", "says bye-bye with a wave"),
    "call": ("calls somebody over", "beckons somebody"),
    "dash": ("dashes forward", "sprints forward"),
    "guide": ("shows somebody the way", "points out the way with an arm"),
    "kick": ("kicks", "gives a kick"),
    "punch": ("punches", "gives a punch"),
    "respond": ("answers a call", "responds to somebody who calls"),
    "run": ("runs forward", "jogs forward"),
    "slash": ("slashes with a blade", "swings a sword"),
    "walk": ("walks forward", "walks straight ahead"),
    "walk-back": ("walks backward", "steps backwards"),
    "walk-left": ("walks to the left", "steps sideways to the left"),
    "walk-right": ("walks to the right", "steps sideways to the right"),
    "walk-turn-left": ("walks and turns left", "walks forward and makes a left turn"),
    "walk-turn-right": ("walks and turns right", "walks forward and makes a right turn"),
    "raise-up-both-hands": ("raises both hands", "lifts both arms up"),
    "raise-up-left-hand": ("raises the left hand", "lifts the left arm up"),
    "raise-up-right-hand": ("raises the right hand", "lifts the right arm up"),
    "wave-both-hands": ("waves with both hands", "waves both arms"),
    "wave-left-hand": ("waves with the left hand", "waves the left arm"),
    "wave-right-hand": ("waves with the right hand", "waves the right arm"),
}
STYLES: Mapping[str, str] = {
    "normal": "", "active": "in an energetic manner", "angry": "in an angry manner",
    "childish": "in a childish manner", "chimpira": "in the manner of a hoodlum", "elderly": "like an old person",
    "exhausted": "in an exhausted manner", "feminine": "in a feminine manner", "giant": "like a giant",
    "happy": "in a happy manner", "masculine": "in a masculine manner", "masculinity": "in a masculine manner",
    "musical": "like in a musical", "not-confident": "without confidence", "old": "like an old person",
    "proud": "in a proud manner", "sad": "in a sad manner", "tired": "in a tired manner",
    "youthful": "in a youthful manner",
}  # fmt: skip
TEST_STYLES = ("childish", "exhausted", "proud", "tired")
VALIDATION_STYLES = ("elderly", "happy", "old")


class BandaiMotions:
    """`motion/bandai`. Labels are contents (`walk-left`); metadata holds `content`, `style` and `part`.

    Args:
        path: the folder of BVH files, searched with its sub-folders; by default `data/bandai_motion` in the folder
            that the environment variable VLCLI_SHARED names.
        by: `style`: whole styles are held out, so that the test shows none that training saw. `clip`: single clips are.
        split: only this one; all when None.
        captions: at most so many a clip, the plain one first.
        say: `style`: captions tell content and style; `content`: the content alone, the same for clips of one content.
        styles: those held out for the test instead of `TEST_STYLES`.

    Raises:
        VlcliError: D850 when the folder holds none of the dataset's files.
    """

    def __init__(
        self, path: str = "", by: str = "style", split: str | None = None, captions: int = 4, say: str = "style",
        styles: Sequence[str] = (),
    ) -> None:  # fmt: skip
        root = Path(path or Path(os.environ.get("VLCLI_SHARED", "")) / SHARED_FOLDER).expanduser()
        self.refused: list[RefusedInput] = []
        self.examples: list[Example] = []
        files = list(walk(root)) if root.is_dir() else []
        for file in files:
            if isinstance(file, RefusedInput):
                self.refused.append(file)
            elif file.suffix.lower() == ".bvh":
                self.add(root, file, by, (captions, say), tuple(styles) or TEST_STYLES)
        if not self.examples:
            raise VlcliError("D850", printable(root), "holds no BVH file that is named like the dataset's",
                             "its files are named dataset-1_walk_tired_001.bvh")  # fmt: skip
        self.examples = [example for example in self.examples if split in (None, example.split)]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]

    def add(self, root: Path, file: Path, by: str, wording: tuple[int, str], test_styles: Sequence[str]) -> None:
        """The example of a file, or why there is none."""
        match = NAME.fullmatch(file.stem)
        if match is None:
            self.refused.append(
                RefusedInput(printable(file), "D850", "its name does not tell content and style, as in "
                             "dataset-1_walk_tired_001.bvh")
            )  # fmt: skip
            return
        content, style = match["content"].lower(), match["style"].lower()
        if by == "style":
            split = "test" if style in test_styles else "val" if style in VALIDATION_STYLES else "train"
        else:
            share = int.from_bytes(hashlib.sha256(file.stem.encode()).digest()[:4], "big") / 2**32
            split = "test" if share < 0.2 else "val" if share < 0.3 else "train"
        metadata = {"content": content, "style": style, "part": int(match["part"]), "license": LICENSE}
        source = Source(id=printable(file), path=file, metadata=metadata)
        texts = sentences(content, style if wording[1] == "style" else "normal", wording[0], file.stem)
        name = printable(file.relative_to(root))
        self.examples.append(Example(name, {"motion": source}, texts, content, split, metadata))


def sentences(content: str, style: str, count: int, seed: str) -> tuple[str, ...]:
    """ "a person walks to the left in a tired manner", and up to `count - 1` others that say the same."""
    spoken = content.replace("-", " ")
    phrases = CONTENTS.get(content, (f"performs the movement {spoken}",))
    manner = STYLES.get(style, f"in the style {style.replace('-', ' ')}")
    rng = random.Random(seed)
    found = {f"a person {phrases[0]} {manner}".strip(): None}
    for _ in range(6 * count):
        if len(found) >= count:
            break
        subject = rng.choice(("a person", "someone", "a human figure"))
        found[f"{subject} {rng.choice(phrases)} {manner}".strip()] = None
    return tuple(found)
