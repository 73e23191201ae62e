"""Biovision hierarchies: reading, forward kinematics, and the way to a `Motion`.

The reader keeps a stack instead of calling itself, checks what the header announces against the bytes that are there
before it takes memory, and reads numbers line by line. Channels may come in any order and number; a joint with
position channels takes its position from them instead of its offset, as the common exporters do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlcli.data.files import check_file
from vlcli.data.names import printable
from vlcli.errors import VlcliError
from vlcli_motion.mapping import map_joints
from vlcli_motion.motion import Motion
from vlcli_motion.normalise import LARGEST, check_frames, check_rate, frame_times, motion_of, resample
from vlcli_motion.rotations import Array, slerp
from vlcli_motion.skeleton import HUMANML3D

MOST_BYTES = 200_000_000
MOST_JOINTS, DEEPEST = 1000, 200
MOST_NUMBERS = 20_000_000
CHANNELS = ("Xposition", "Yposition", "Zposition", "Xrotation", "Yrotation", "Zrotation")
REMEDY = "export it again, or replace it by a good copy"


@dataclass(frozen=True, eq=False)
class Bvh:
    """A hierarchy and its frames, as the file holds them.

    Attributes:
        names: of the joints; an End Site is called after its parent with ` end` behind it.
        parents: of each joint, before it in the list; -1 for the root.
        offsets: `[J, 3]` in the file's unit.
        channels: of each joint, such as `("Zrotation", "Xrotation", "Yrotation")`.
        values: `[T, C]`, the channels of all joints one after the other, degrees and the file's unit.
        frame_time: seconds.
        notes: what the reader passed over.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    channels: tuple[tuple[str, ...], ...]
    values: Array
    frame_time: float
    notes: tuple[str, ...] = ()

    @property
    def starts(self) -> tuple[int, ...]:
        """The column of each joint's first channel."""
        counts = [len(names) for names in self.channels]
        return tuple(sum(counts[:joint]) for joint in range(len(counts)))


class Words:
    """The words of the hierarchy, one after the other, with their lines."""

    def __init__(self, data: bytes, where: str) -> None:
        self.data, self.where = data, where
        self.position, self.line = 0, 0
        self.waiting: list[str] = []

    def fail(self, code: str, reason: str) -> VlcliError:
        """A refusal that names the line."""
        return VlcliError(code, f"{self.where}:{max(self.line, 1)}", reason, REMEDY)

    def read_line(self) -> bytes | None:
        """The next line, or None at the end."""
        if self.position >= len(self.data):
            return None
        end = self.data.find(b"\n", self.position)
        end = len(self.data) if end < 0 else end
        line = self.data[self.position : end]
        self.position, self.line = end + 1, self.line + 1
        return line

    def take_line(self) -> list[str]:
        """The words of the next line that has any.

        Raises:
            VlcliError: D803 at the end of the file, D801 for a line that is no text.
        """
        if self.waiting:
            words, self.waiting = self.waiting, []
            return words
        while (line := self.read_line()) is not None:
            if len(line) > 100_000:
                raise self.fail("D801", f"has a line of {len(line):,} bytes in its hierarchy")
            if words := line.decode("latin-1").replace("{", " { ").replace("}", " } ").split():
                return words
        raise self.fail("D803", "ends within its hierarchy")

    def take(self) -> str:
        """The next word."""
        words = self.take_line()
        self.waiting = words[1:]
        return words[0]

    def number(self, what: str, largest: float = LARGEST) -> float:
        """The next word as a number.

        Raises:
            VlcliError: D801 for a word that is none, D804 for one that is not finite.
        """
        word = self.take()
        try:
            value = float(word)
        except ValueError as error:
            raise self.fail("D801", f"{what} is {word[:40]!a}, not a number") from error
        if not math.isfinite(value) or abs(value) > largest:
            raise self.fail("D804", f"{what} is {word[:40]}, which no skeleton has")
        return value

    def expect(self, word: str) -> None:
        """The next word must be this one.

        Raises:
            VlcliError: D801.
        """
        found = self.take()
        if found.lower() != word.lower():
            raise self.fail("D801", f"has {found[:40]!a} where '{word}' was expected")


def read_bvh(path: Path) -> Bvh:
    """The hierarchy and frames of a file.

    Raises:
        VlcliError: D111-D115 for the file itself, D801 not a BVH file, D802 too large, D803 truncated, D804 numbers
            that are not finite, D805 channels, D806 frame time, D809 hierarchy, D813 fewer than two frames.
    """
    where = printable(path)
    check_file(path, limit=MOST_BYTES)
    data = path.read_bytes()
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in data:  # as old Macintosh files are
        data = data.replace(b"\r", b"\n")
    words = Words(data, where)
    if not data.lstrip()[:9].upper().startswith(b"HIERARCHY"):
        raise VlcliError("D801", where, "is not a BVH file: it does not begin with HIERARCHY", REMEDY)
    words.expect("HIERARCHY")
    names, parents, offsets, channels = read_hierarchy(words)
    values, frame_time, notes = read_frames(words, sum(len(each) for each in channels))
    return Bvh(names, parents, offsets, channels, values, frame_time, notes)


def read_hierarchy(
    words: Words,
) -> tuple[tuple[str, ...], tuple[int, ...], Array, tuple[tuple[str, ...], ...]]:
    """Names, parents, offsets and channels, up to the word MOTION.

    Raises:
        VlcliError: D801-D805, D809.
    """
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[str, ...]] = []
    stack: list[int] = []
    stated: set[int] = set()
    while True:
        word = words.take()
        kind = word.upper()
        if kind == "MOTION":
            break
        if kind in ("ROOT", "JOINT", "END"):
            rest, words.waiting = words.waiting, []
            braced = "{" in rest
            title = " ".join(rest[: rest.index("{")] if braced else rest)
            words.waiting = rest[rest.index("{") :] if braced else []
            if kind == "ROOT" and names:
                raise words.fail("D809", "has a second ROOT; a file holds one person")
            if kind != "ROOT" and not stack:
                raise words.fail("D809", f"has a {kind} outside the hierarchy")
            name = f"{names[stack[-1]]} end" if kind == "END" else title
            if not name:
                raise words.fail("D801", f"has a {kind} without a name")
            if kind != "END" and name in names:
                raise words.fail("D809", f"has two joints called {name[:60]!a}, so the hierarchy may be circular")
            if len(names) >= MOST_JOINTS:
                raise words.fail("D802", f"has more than {MOST_JOINTS:,} joints")
            if len(stack) >= DEEPEST:
                raise words.fail("D809", f"its joints hang {DEEPEST} deep and deeper")
            words.expect("{")
            names.append(name)
            parents.append(stack[-1] if stack else -1)
            offsets.append([0.0, 0.0, 0.0])
            channels.append(())
            stack.append(len(names) - 1)
        elif kind == "}":
            if not stack:
                raise words.fail("D809", "closes more braces than it opens")
            stack.pop()
        elif kind == "OFFSET":
            joint = inside(words, stack, "OFFSET")
            offsets[joint] = [words.number("an offset") for _ in range(3)]
        elif kind == "CHANNELS":
            joint = inside(words, stack, "CHANNELS")
            if joint in stated:
                raise words.fail("D805", f"states the channels of {names[joint][:60]!a} twice")
            stated.add(joint)
            channels[joint] = read_channels(words)
        else:
            raise words.fail("D801", f"has {word[:40]!a} in its hierarchy")
    if stack:
        raise words.fail("D809", f"does not close {len(stack)} of its braces")
    if not names or not any(channels):
        raise words.fail("D805", "has no joint with channels")
    return tuple(names), tuple(parents), np.array(offsets), tuple(channels)


def inside(words: Words, stack: list[int], what: str) -> int:
    """The joint whose braces are open.

    Raises:
        VlcliError: D809 when none is.
    """
    if not stack:
        raise words.fail("D809", f"has {what} outside the hierarchy")
    return stack[-1]


def read_channels(words: Words) -> tuple[str, ...]:
    """The channels of one joint.

    Raises:
        VlcliError: D805.
    """
    count = words.number("a number of channels")
    if count not in range(7):
        raise words.fail("D805", f"has a joint with {count:g} channels, not 0 to 6")
    known = {name.lower(): name for name in CHANNELS}
    found = []
    for _ in range(int(count)):
        word = words.take()
        if word.lower() not in known:
            raise words.fail("D805", f"announces {count:g} channels and has {word[:40]!a} among them")
        found.append(known[word.lower()])
    if words.waiting and words.waiting[0].lower() in known:
        raise words.fail("D805", f"announces {count:g} channels and lists more")
    if len(set(found)) != len(found):
        raise words.fail("D805", "has a joint with the same channel twice")
    return tuple(found)


def read_frames(words: Words, width: int) -> tuple[Array, float, tuple[str, ...]]:
    """The frames `[T, C]`, the seconds between them, and what was passed over.

    Raises:
        VlcliError: D801-D806, D813.
    """
    words.expect("Frames:")
    announced = words.number("the number of frames", largest=1e18)
    if announced != int(announced) or announced < 0:
        raise words.fail("D801", f"announces {announced:g} frames")
    count = int(announced)
    words.expect("Frame")
    words.expect("Time:")
    frame_time = words.number("the frame time")
    if frame_time <= 0:
        raise words.fail("D806", f"its frame time is {frame_time:g} seconds")
    check_rate(1 / frame_time, words.where)
    if words.waiting:
        raise words.fail("D801", "has more words on the line of its frame time")
    check_frames(count, words.where)
    left = len(words.data) - words.position
    if count * width * 2 > left + 1:
        raise words.fail("D803", f"announces {count:,} frames of {width:,} channels and holds {max(left, 0):,} bytes")
    if count * width > MOST_NUMBERS:
        raise words.fail("D802", f"has {count * width:,} numbers, more than the limit of {MOST_NUMBERS:,}")
    values = np.empty((count, width))
    row = 0
    while row < count:
        line = words.read_line()
        if line is None:
            raise words.fail("D803", f"announces {count:,} frames and ends after {row:,}")
        numbers = line.split()
        if not numbers:
            continue
        if len(numbers) < width and words.position >= len(words.data):
            raise words.fail("D803", f"announces {count:,} frames and ends within frame {row + 1:,}")
        if len(numbers) != width:
            raise words.fail("D805", f"has {len(numbers):,} numbers in frame {row + 1:,}, not one for each of its "
                             f"{width:,} channels")  # fmt: skip
        try:
            values[row] = np.fromiter(map(float, numbers), np.float64, width)
        except ValueError as error:
            raise words.fail("D801", f"frame {row + 1:,} holds a word that is not a number") from error
        row += 1
    bad = ~(np.isfinite(values) & (np.abs(values) <= LARGEST)).all(1)
    if bad.any():
        raise VlcliError("D804", words.where, f"frame {int(bad.argmax()) + 1:,} holds numbers that are not finite or "
                         "that no motion reaches", REMEDY)  # fmt: skip
    rest = words.data[words.position :].strip()
    notes = (f"{rest.count(bytes([10])) + 1:,} lines after its {count:,} frames left out",) if rest else ()
    return values, frame_time, notes


def local_pose(bvh: Bvh, joint: int) -> tuple[Array, Array]:
    """A joint's rotations as quaternions `[T, 4]` (x, y, z, w) and its positions `[T, 3]` seen from its parent."""
    from scipy.spatial.transform import Rotation

    start = bvh.starts[joint]
    names = bvh.channels[joint]
    positions = np.tile(bvh.offsets[joint], (len(bvh.values), 1))
    order, angles = "", []
    for column, name in enumerate(names, start):
        axis = "XYZ".index(name[0])
        if name.endswith("position"):
            positions[:, axis] = bvh.values[:, column]
        else:
            order += name[0]
            angles.append(bvh.values[:, column])
    if not order:
        return np.tile([0.0, 0.0, 0.0, 1.0], (len(bvh.values), 1)), positions
    turned = Rotation.from_euler(order, np.stack(angles, axis=1), degrees=True)
    return turned.as_quat(), positions


def joint_positions(bvh: Bvh, times: Array | None = None, joints: set[int] | None = None) -> dict[int, Array]:
    """Forward kinematics: positions `[T, 3]` of joints in the file's unit.

    Args:
        times: frames, which may lie between those of the file: rotations are then taken on the arc between them.
        joints: those wanted; all by default. Their ancestors come along.
    """
    from scipy.spatial.transform import Rotation

    wanted = set(range(len(bvh.names))) if joints is None else set(joints)
    for joint in range(len(bvh.names) - 1, 0, -1):
        if joint in wanted and bvh.parents[joint] >= 0:
            wanted.add(bvh.parents[joint])
    positions: dict[int, Array] = {}
    world: dict[int, Array] = {}
    for joint in sorted(wanted):
        turned, moved = local_pose(bvh, joint)
        if times is not None:
            turned, moved = slerp(turned, times), resample(moved, times)
        matrices = Rotation.from_quat(turned).as_matrix()
        parent = bvh.parents[joint]
        if parent < 0:
            positions[joint], world[joint] = moved, matrices
        else:
            positions[joint] = positions[parent] + np.einsum("tij,tj->ti", world[parent], moved)
            world[joint] = world[parent] @ matrices
    return positions


def bvh_motion(bvh: Bvh, where: str, up: str = "y") -> Motion:
    """A `Motion` of a hierarchy: HumanML3D's joints found by name, 20 frames a second, metres, placed.

    Raises:
        VlcliError: D807 when joints are missing, D802-D813 as `vlcli_motion.normalise.motion_of`.
    """
    check_frames(len(bvh.values), where)
    mapping = map_joints(bvh.names, bvh.parents, where)
    fps = 1 / bvh.frame_time
    times = frame_times(len(bvh.values), fps)
    notes = (*bvh.notes, *mapping.notes)
    whole = np.array_equal(times, np.arange(len(bvh.values)))
    if not whole:
        notes += (f"{fps:.4g} frames a second turned into 20",)
    joints = mapping.apply(joint_positions(bvh, None if whole else times, mapping.used))
    return motion_of(joints, 20.0, HUMANML3D, notes, up=up, where=where)
