"""`motion/humanml3d`: the folders of HumanML3D or KIT-ML in the form of Guo et al. (2022), brought along.

    new_joint_vecs/012314.npy   features [T, 263] (KIT: 251); names of mirrored clips begin with M
    texts/012314.txt            lines "caption#parts of speech#start#end"; 0.0#0.0 is the whole clip
    train.txt, val.txt, test.txt    names

The motions of HumanML3D derive from AMASS, whose licence allows research only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlcli.api import Source, VlcliError
from vlcli.data.dataset import Example
from vlcli.data.inputs import RefusedInput
from vlcli.data.names import printable
from vlcli.runtime.files import atomic_path
from vlcli.runtime.paths import cache_dir
from vlcli_motion.skeleton import skeleton_of

SPLITS = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}
LICENSE = "AMASS research licence"


@dataclass(frozen=True)
class Line:
    """One line of a text file: what is said of a stretch of the clip, seconds; both 0 for all of it."""

    caption: str
    start: float = 0.0
    end: float = 0.0


class HumanML3D:
    """`motion/humanml3d`.

    Captions of a stretch of a clip make an example of their own, whose features are cut out into the cache. Names
    without a file, and clips that are too short or too long, are listed in `refused`.

    Args:
        path: the folder.
        split: only this one; all that have a list when None.
        mirrored: also the mirrored clips, which the lists name by M.
        min_frames, max_frames: as in the published experiments: from 40 to 199 frames.
        limit: at most so many examples of each split.

    Raises:
        VlcliError: D851 when the folder lacks `new_joint_vecs` or `texts` or a list.
    """

    def __init__(
        self, path: str, split: str | None = None, mirrored: bool = True, min_frames: int = 40, max_frames: int = 199,
        limit: int | None = None,
    ) -> None:  # fmt: skip
        self.root = Path(path).expanduser()
        self.lengths = (min_frames, max_frames)
        self.refused: list[RefusedInput] = []
        self.examples: list[Example] = []
        where = printable(self.root)
        for folder in ("new_joint_vecs", "texts"):
            if not (self.root / folder).is_dir():
                raise VlcliError("D851", where, f"has no folder '{folder}'", "name the folder of HumanML3D or KIT-ML")
        lists = {name: self.root / file for name, file in SPLITS.items() if (self.root / file).is_file()}
        if not lists or (split is not None and split not in lists):
            raise VlcliError("D851", where, f"has no list {SPLITS[split] if split else ' or '.join(SPLITS.values())}",
                             "put the dataset's lists of names there")  # fmt: skip
        for name, file in lists.items():
            if split in (None, name):
                before = len(self.examples)
                for clip in file.read_text(encoding="utf-8", errors="replace").split():
                    if limit is not None and len(self.examples) - before >= limit:
                        break
                    if mirrored or not clip.startswith("M"):
                        self.add(clip, name)
                if limit is not None:
                    del self.examples[before + limit :]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]

    def add(self, name: str, split: str) -> None:
        """The examples of one clip: the whole, and a stretch for each start and end that captions name."""
        file, text = self.root / "new_joint_vecs" / f"{name}.npy", self.root / "texts" / f"{name}.txt"
        for needed in (file, text):
            if not needed.is_file() or Path(name).name != name:
                self.refused.append(RefusedInput(printable(needed), "D111", f"is named in {SPLITS[split]}, but absent"))
                return
        try:
            features = np.load(file, mmap_mode="r", allow_pickle=False)
            skeleton = skeleton_of(features.shape[1])
        except (ValueError, OSError, EOFError, KeyError, IndexError):
            self.refused.append(RefusedInput(printable(file), "D852", "holds no features of 263 or 251 numbers"))
            return
        stretches: dict[tuple[float, float], list[str]] = {}
        for line in read_lines(text):
            stretches.setdefault((line.start, line.end), []).append(line.caption)
        for (start, end), captions in stretches.items():
            whole = start == end == 0
            first, last = (0, len(features)) if whole else (int(start * skeleton.fps), int(end * skeleton.fps))
            length = min(last, len(features)) - first
            mark = name if whole else f"{name}#{start:g}-{end:g}"
            if not self.lengths[0] <= length <= self.lengths[1]:
                reason = f"has {max(length, 0)} frames, {self.lengths[0]} to {self.lengths[1]} are wanted"
                self.refused.append(RefusedInput(mark, "D853", reason))
                continue
            path = file if whole else stretch(file, features, first, last)
            metadata = {"clip": name, "start": start, "end": end, "license": LICENSE}
            source = Source(id=printable(path), path=path, metadata=metadata)
            self.examples.append(Example(mark, {"motion": source}, tuple(captions), None, split, metadata))


def read_lines(path: Path) -> Iterator[Line]:
    """The captions of a text file; lines that hold none are passed over."""
    for raw in path.read_text(encoding="utf-8", errors="replace").splitlines():
        caption, *rest = raw.strip().split("#")
        times = [0.0, 0.0]
        for number, word in enumerate(rest[1:3]):
            try:
                value = float(word)
            except ValueError:
                value = 0.0
            # The published files hold `nan` where nothing is known.
            times[number] = value if np.isfinite(value) and value > 0 else 0.0
        if caption.strip():
            yield Line(" ".join(caption.split()), *times)


def stretch(file: Path, features: np.ndarray, first: int, last: int) -> Path:
    """Some frames of a feature file as a file of their own, cut out once."""
    status = file.stat()
    key = hashlib.sha256(f"{file.resolve()}/{status.st_size}/{status.st_mtime_ns}".encode()).hexdigest()[:16]
    path = cache_dir("motion", "stretches") / f"{file.stem}-{first}-{last}-{key}.npy"
    if not path.exists():
        with atomic_path(path, sync=False) as temporary, open(temporary, "wb") as target:
            np.save(target, np.asarray(features[first:last]), allow_pickle=False)
    return path
