"""Which joints of a foreign skeleton are those of HumanML3D, by their names and by how they hang together.

Names are compared without case, punctuation, name spaces (`mixamorig:`) and the usual prefixes (`Bip01`, `m_avg_`), so
those of Bandai, CMU, LAFAN1, Mixamo, Biovision, 3ds Max and SMPL are all found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vlcli.errors import VlcliError
from vlcli_motion.rotations import Array
from vlcli_motion.skeleton import HUMANML3D

NOISE = ("mixamorig", "bip01", "bip001", "bip", "m", "f", "avg", "joint", "jnt", "skel", "def", "b")
"""Words at the start of names that say nothing about the joint."""
SHORT_SIDE = re.compile(
    r"[lr](hip|hipjoint|knee|ankle|foot|toes?|toebase|collar|clavicle|shoulder|shldr|elbow|wrist|hand|upleg|thigh|shin|"
    r"calf|uparm|upperarm|forearm|arm|leg)"
)
MIDDLE = {
    "pelvis": ("hips", "pelvis", "hip", "root"),
    "neck": ("neck", "neck1", "neck01", "lowerneck", "neck0"),
    "head": ("head", "head1"),
}
LIMBS = {
    "hip": ("upleg", "upperleg", "thigh", "hip", "femur", "hipjoint"),
    "knee": ("knee", "lowerleg", "lowleg", "shin", "calf", "leg", "tibia"),
    "ankle": ("ankle", "foot"),
    "foot": ("toebase", "toes", "toe", "ball", "foot"),
    "shoulder": ("upperarm", "uparm", "arm", "shldr", "shoulder"),
    "collar": ("collar", "clavicle", "shoulder"),
    "elbow": ("elbow", "forearm", "lowerarm", "lowarm"),
    "wrist": ("wrist", "hand"),
}
"""For each part of a limb, names in order of preference; a name that an earlier part took is not taken again."""
SPINE = ("spine1", "spine2", "spine3")
SPINE_SHARES = (0.216, 0.471, 0.588)
"""How far from pelvis to neck the average person's three joints of the spine lie."""
COLLAR_SHARE = 0.55


@dataclass(frozen=True)
class Mapping:
    """Where HumanML3D's joints come from.

    Attributes:
        direct: joint -> index in the file's skeleton.
        spine: indices of the file's joints from pelvis to neck, both included, when the three joints of the spine lie
            between them; empty when `direct` names them.
        notes: what had to be made up.
    """

    direct: dict[str, int]
    spine: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def used(self) -> set[int]:
        """All joints of the file that it needs."""
        return set(self.direct.values()) | set(self.spine)

    def apply(self, positions: dict[int, Array]) -> Array:
        """HumanML3D's joints `[T, 22, 3]` of positions `[T, 3]` of the joints that it uses."""
        found = {joint: positions[index] for joint, index in self.direct.items()}
        if self.spine:
            found |= dict(zip(SPINE, along([positions[index] for index in self.spine], SPINE_SHARES), strict=True))
        for side in ("left", "right"):
            if f"{side}_collar" not in found:
                start, end = found["spine3"], found[f"{side}_shoulder"]
                found[f"{side}_collar"] = start + COLLAR_SHARE * (end - start)
        return np.stack([found[joint] for joint in HUMANML3D.joints], axis=1)


def along(line: Sequence[Array], shares: Sequence[float]) -> list[Array]:
    """Points `[T, 3]` at shares of the length of a line through points `[T, 3]`, its length being the mean one."""
    lengths = [float(np.linalg.norm(end - start, axis=1).mean()) for start, end in pairwise(line)]
    ends = np.concatenate([[0.0], np.cumsum(lengths)])
    found = []
    for share in shares:
        place = share * ends[-1]
        piece = min(int(np.searchsorted(ends, place, side="right")) - 1, len(lengths) - 1)
        part = (place - ends[piece]) / lengths[piece] if lengths[piece] > 0 else 0.0
        found.append(line[piece] + part * (line[piece + 1] - line[piece]))
    return found


def plain(name: str) -> tuple[str, str]:
    """A name as (side, stem): `mixamorig:LeftUpLeg` and `thigh_l` give `("left", "upleg")` and `("left", "thigh")`."""
    text = name.rpartition(":")[2].strip()
    words = re.sub(r"[^0-9a-zA-Z]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text)).lower().strip("_").split("_")
    while len(words) > 1 and words[0] in NOISE:
        words = words[1:]
    side = ""
    for index in (0, -1):
        if len(words) > 1 and words[index] in ("left", "right", "l", "r"):
            side = {"l": "left", "r": "right"}.get(words[index], words[index])
            words.pop(index)
            break
    stem = "".join(words)
    if not side:
        for word in ("left", "right"):
            if stem.startswith(word) and len(stem) > len(word):
                side, stem = word, stem.removeprefix(word)
                break
    if not side and SHORT_SIDE.fullmatch(stem):
        side, stem = {"l": "left", "r": "right"}[stem[0]], stem[1:]
    if side:
        stem = stem.rstrip("0123456789")
    return side, stem


def map_joints(names: Sequence[str], parents: Sequence[int], where: str) -> Mapping:
    """How the joints of a skeleton become HumanML3D's.

    Args:
        names: of the joints; ends of the last bones are called after their parent with ` end` behind it.
        parents: of each joint, -1 for the root.
        where: what messages call it.

    Raises:
        VlcliError: D807 with the joints that were not found.
    """
    known: dict[tuple[str, str], int] = {}
    for index, name in enumerate(names):
        if not name.endswith(" end"):
            known.setdefault(plain(name), index)
    ends = {parents[index]: index for index, name in enumerate(names) if name.endswith(" end")}
    direct: dict[str, int] = {}
    notes: list[str] = []
    for joint, stems in MIDDLE.items():
        found = next((known[("", stem)] for stem in stems if ("", stem) in known), None)
        if found is not None:
            direct[joint] = found
    for side in ("left", "right"):
        for part, stems in LIMBS.items():
            taken = set(direct.values())
            candidates = [known[(side, stem)] for stem in stems if (side, stem) in known]
            found = next((index for index in candidates if index not in taken), None)
            if found is not None:
                direct[f"{side}_{part}"] = found
        if f"{side}_foot" not in direct and direct.get(f"{side}_ankle") in ends:
            direct[f"{side}_foot"] = ends[direct[f"{side}_ankle"]]
            notes.append(f"the {side} toes are the end of the foot")
    if "head" in direct and "neck" not in direct and parents[direct["head"]] not in (-1, direct.get("pelvis")):
        direct["neck"] = parents[direct["head"]]
        notes.append("the neck is the parent of the head")
    if "neck" in direct and "head" not in direct and direct["neck"] in ends:
        direct["head"] = ends[direct["neck"]]
        notes.append("the head is the end of the neck")
    optional = {*SPINE, "left_collar", "right_collar"}
    missing = [joint for joint in HUMANML3D.joints if joint not in direct and joint not in optional]
    if missing:
        held = ", ".join(ascii(name)[1:-1] for name in list(names)[:40] if not name.endswith(" end"))
        raise VlcliError("D807", where, f"no joint was found for {', '.join(missing)}; it has {held[:600]}",
                         "rename its joints, for example LeftUpLeg, LeftLeg, LeftFoot, LeftToeBase")  # fmt: skip
    path = [direct["neck"]]
    while path[0] != direct["pelvis"] and path[0] >= 0:
        path.insert(0, parents[path[0]])
    if path[0] < 0:
        raise VlcliError("D807", where, "the neck does not hang on the hips", "give the skeleton of one whole body")
    if any(f"{side}_collar" not in direct for side in ("left", "right")):
        notes.append("collar bones were made up")
    if len(path) == 5:
        direct |= dict(zip(SPINE, path[1:4], strict=True))
        return Mapping(direct, (), tuple(notes))
    notes.append(f"the spine's {len(path) - 2} joints became 3")
    return Mapping(direct, tuple(path), tuple(notes))
