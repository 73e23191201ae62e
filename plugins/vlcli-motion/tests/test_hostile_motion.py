"""Damaged and hostile files of every format: refused with a reason that names the file, with bounded memory."""

from __future__ import annotations

import io
import pickle
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vlcli_motion.bvh_writing import bvh_text
from vlcli_motion.features import joints_to_features
from vlcli_motion.normalise import motion_of
from vlcli_motion.readers import read_motion
from vlcli_motion.skeleton import HUMANML3D

from vlcli.cli.main import run
from vlcli.errors import VlcliError

sys.path.insert(0, str(Path(__file__).parent))
from motions_for_tests import roots, vectors, walk

GOOD = bvh_text(motion_of(walk(1, 12), 20, HUMANML3D))
HEAD, _, TAIL = GOOD.partition("MOTION\n")
ROWS = TAIL.split("\n")[2:]
WIDTH = len(ROWS[0].split())
MOST_MEMORY = 60_000_000


def with_rows(frames: object, time: object, rows: list[str]) -> str:
    return f"{HEAD}MOTION\nFrames: {frames}\nFrame Time: {time}\n" + "\n".join(rows) + "\n"


def nested(depth: int) -> str:
    body = " {\nOFFSET 0 1 0\nCHANNELS 3 Xrotation Yrotation Zrotation\n"
    opened = "".join(f"{'JOINT' if index else 'ROOT'} j{index}{body}" for index in range(depth))
    hierarchy = f"HIERARCHY\n{opened}End Site {{\nOFFSET 0 0 0\n}}\n{'}' * depth}\n"
    row = " ".join(["0"] * 3 * depth)
    return f"{hierarchy}MOTION\nFrames: 2\nFrame Time: .05\n{row}\n{row}\n"


def first_number(text: str, row: int = 4) -> str:
    """The good file with another first number in one of its rows."""
    return with_rows(12, 0.05, [*ROWS[:row], " ".join([text, *ROWS[row].split()[1:]]), *ROWS[row + 1 :]])


AXES = "Xrotation Yrotation Zrotation"
BVH: dict[str, tuple[str, str | bytes]] = {
    "empty": ("D114", ""),
    "no text": ("D801", bytes(range(256)) * 8),
    "a picture": ("D801", b"\x89PNG\r\n\x1a\n" + b"\0" * 500),
    "only a word": ("D803", "HIERARCHY"),
    "a hierarchy that ends": ("D803", HEAD[:300]),
    "no frames": ("D803", HEAD),
    "frames that end": ("D803", GOOD[: len(GOOD) * 2 // 3].rsplit("\n", 1)[0]),
    "a row that ends": ("D803", with_rows(12, 0.05, [*ROWS[:5], ROWS[5][:30]])),
    "billions of frames": ("D802", with_rows(4_000_000_000, 0.05, ROWS)),
    "thousands of frames": ("D803", with_rows(30_000, 0.05, ROWS)),
    "minus frames": ("D801", with_rows(-5, 0.05, ROWS)),
    "half a frame": ("D801", with_rows(2.5, 0.05, ROWS)),
    "infinite frames": ("D804", with_rows("inf", 0.05, ROWS)),
    "one frame": ("D813", with_rows(1, 0.05, ROWS)),
    "no frame": ("D813", with_rows(0, 0.05, ROWS)),
    "a negative time": ("D806", with_rows(12, -0.05, ROWS)),
    "no time": ("D806", with_rows(12, 0, ROWS)),
    "a tiny time": ("D806", with_rows(12, 1e-12, ROWS)),
    "a day between frames": ("D806", with_rows(12, 86400, ROWS)),
    "time that is no number": ("D804", with_rows(12, "nan", ROWS)),
    "time in words": ("D801", with_rows(12, "soon", ROWS)),
    "a number that is none": ("D804", first_number("nan")),
    "an infinite number": ("D804", first_number("-inf")),
    "a number beyond all": ("D804", with_rows(12, 0.05, [" ".join(["1e300"] * WIDTH), *ROWS[1:]])),
    "a word among numbers": ("D801", with_rows(12, 0.05, [" ".join(["left"] * WIDTH), *ROWS[1:]])),
    "a number too few": ("D805", with_rows(12, 0.05, [*ROWS[:3], ROWS[3].rsplit(" ", 1)[0], *ROWS[4:]])),
    "a number too many": ("D805", with_rows(12, 0.05, [*ROWS[:3], ROWS[3] + " 1", *ROWS[4:]])),
    "more channels than said": ("D805", GOOD.replace("CHANNELS 3", "CHANNELS 2", 1)),
    "fewer channels than said": ("D805", GOOD.replace("CHANNELS 3", "CHANNELS 5", 1)),
    "a million channels": ("D805", GOOD.replace("CHANNELS 3", "CHANNELS 1000000", 1)),
    "the same channel twice": ("D805", GOOD.replace("Zrotation Xrotation", "Zrotation Zrotation", 1)),
    "an unknown channel": ("D805", GOOD.replace("Zrotation", "Wrotation", 1)),
    "channels twice": ("D805", GOOD.replace("  CHANNELS 3", f"  CHANNELS 3 {AXES}\n CHANNELS 3", 1)),
    "no channels": ("D805", "HIERARCHY ROOT a { OFFSET 0 0 0 }\nMOTION\nFrames: 2\nFrame Time: 1\n"),
    "an offset that is none": ("D804", GOOD.replace("OFFSET 0.000000", "OFFSET nan", 1)),
    "an offset in words": ("D801", GOOD.replace("OFFSET 0.000000", "OFFSET here", 1)),
    "a joint twice": ("D809", GOOD.replace("JOINT RightUpLeg", "JOINT LeftUpLeg", 1)),
    "its own parent": ("D809", GOOD.replace("JOINT LeftUpLeg", "JOINT Hips", 1)),
    "two roots": ("D809", GOOD.replace("JOINT Spine\n", "ROOT Spine\n", 1)),
    "too many braces": ("D809", HEAD + "}\n" + "MOTION\n" + TAIL),
    "a brace too few": ("D809", HEAD.rstrip().removesuffix("}") + "\nMOTION\n" + TAIL),
    "a joint without a name": ("D801", GOOD.replace("JOINT LeftUpLeg", "JOINT", 1)),
    "deep": ("D809", nested(5000)),
    "not deep enough to refuse, yet no person": ("D807", nested(150)),
    "a dog": ("D807", GOOD.replace("LeftUpLeg", "Tail").replace("RightArm", "Ear")),
    "a point": ("D808", "\n".join("OFFSET 0 0 0" if "OFFSET" in line else line for line in GOOD.split("\n"))),
    "an endless line": ("D801", HEAD[:100] + "x" * 200_000 + HEAD[100:]),
    "other words": ("D801", GOOD.replace("OFFSET", "SCALE", 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BVH))
def test_bvh(name: str, tmp_path: Path) -> None:
    code, content = BVH[name]
    path = tmp_path / "a.bvh"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refuse(path, code)


def refuse(path: Path, *codes: str) -> None:
    """The file is refused with one of the codes, a sentence, its own name, and little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(VlcliError) as refused:
            read_motion(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.code in codes, refused.value
    assert path.name in refused.value.where
    assert 10 < len(refused.value.message) < 1000
    assert refused.value.message.isprintable() or refused.value.message.isascii()
    assert peak < MOST_MEMORY, peak


def npy(values: Any, **replaced: Any) -> bytes:
    """An NPY file, whose header may say something else."""
    array = np.asarray(values)
    buffer = io.BytesIO()
    kind = np.lib.format.dtype_to_descr(array.dtype)
    header = {"descr": kind, "fortran_order": False, "shape": array.shape, **replaced}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue() + array.tobytes()


class Trap:
    """Would write a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (open, ("trapped", "w"))


JOINTS = walk(2, 20).astype(np.float32)
FEATURES = joints_to_features(JOINTS)


def spoilt(values: np.ndarray, bad: float, *index: int) -> np.ndarray:
    copy = values.copy()
    copy[index] = bad
    return copy


def objects() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Trap()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


NPY: dict[str, tuple[str, bytes]] = {
    "empty": ("D114", b""),
    "no array": ("D801", b"hello" * 50),
    "a pickle": ("D801", pickle.dumps(Trap())),
    "objects": ("D811", objects()),
    "magic alone": ("D801", b"\x93NUMPY"),
    "a header that ends": ("D801", npy(JOINTS)[:40]),
    "an array that ends": ("D803", npy(JOINTS)[:-50]),
    "a huge shape": ("D803", npy(JOINTS, shape=(10**12, 22, 3))),
    "a shape beyond 64 bits": ("D803", npy(JOINTS, shape=(10**30, 22, 3))),
    "a negative shape": ("D801", npy(JOINTS, shape=(-20, 22, 3))),
    "a shape of words": ("D801", npy(JOINTS).replace(b"(20, 22, 3)", b"('a',22, 3)")),
    "code in the header": ("D801", npy(JOINTS).replace(b"(20, 22, 3)", b"exit(1)    ")),
    "brackets": ("D801", npy(JOINTS).replace(b"(20, 22, 3)", b"(((((((((((")),
    "another version": ("D801", npy(JOINTS).replace(b"\x93NUMPY\x01", b"\x93NUMPY\x09")),
    "a number that is none": ("D804", npy(spoilt(JOINTS, np.nan, 3, 4, 1))),
    "an infinite number": ("D804", npy(spoilt(JOINTS, np.inf, 3, 4, 1))),
    "a number beyond all": ("D804", npy(spoilt(JOINTS, 1e30, 3, 4, 1))),
    "features that are none": ("D804", npy(spoilt(FEATURES, np.nan, 3, 200))),
    "normalised features": ("D810", npy((FEATURES - 5) * 3)),
    "words": ("D810", npy(np.array(["walk", "run"]))),
    "complex numbers": ("D810", npy(JOINTS.astype(np.complex64))),
    "truth values": ("D810", npy(JOINTS > 0)),
    "records": ("D810", npy(np.zeros(3, dtype=[("x", "f4"), ("y", "f4")]))),
    "a table": ("D810", npy(np.zeros((20, 7)))),
    "a cloud": ("D810", npy(np.zeros((1000, 3)))),
    "a single number": ("D810", npy(np.float64(3))),
    "nine dimensions": ("D801", npy(np.zeros((1,) * 9))),
    "joints of another skeleton": ("D810", npy(np.zeros((20, 17, 3)))),
    "no frame": ("D813", npy(JOINTS[:0])),
    "one frame": ("D813", npy(JOINTS[:1])),
    "no row of features": ("D813", npy(FEATURES[:0])),
    "a day of frames": ("D802", npy(np.zeros((40_000, 22, 3), dtype=np.int8))),
    "a point": ("D808", npy(JOINTS * 0)),
}


@pytest.mark.parametrize("name", list(NPY))
def test_npy(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, content = NPY[name]
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    refuse(path, code)
    assert not (tmp_path / "trapped").exists()


def packed(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def amass(**replaced: Any) -> bytes:
    arrays = {
        "poses": vectors(1, 20).reshape(20, -1),
        "trans": roots(1, 20),
        "mocap_framerate": np.array(20.0),
        **replaced,
    }
    return packed(**{name: npy(values) for name, values in arrays.items() if values is not None})


def encrypted() -> bytes:
    data = bytearray(packed(joints=npy(JOINTS)))
    data[6] |= 1
    start = data.rfind(b"PK\x01\x02")
    data[start + 8] |= 1
    return bytes(data)


def lying(size: int) -> bytes:
    """A directory that says another size than its member has."""
    data = bytearray(packed(zipfile.ZIP_DEFLATED, joints=npy(JOINTS)))
    start = data.rfind(b"PK\x01\x02")
    data[start + 24 : start + 28] = size.to_bytes(4, "little")
    return bytes(data)


POSES = vectors(1, 20).reshape(20, -1)
NPZ: dict[str, tuple[str, bytes]] = {
    "empty": ("D114", b""),
    "no zip": ("D812", b"hello" * 50),
    "a pickle": ("D812", pickle.dumps(Trap())),
    "a zip that ends": ("D812", packed(joints=npy(JOINTS))[:-40]),
    "half a zip": ("D812", amass()[: len(amass()) // 2]),
    "an empty zip": ("D810", packed()),
    "damaged bytes": ("D812", packed(joints=npy(JOINTS)).replace(npy(JOINTS)[500:540], b"\0" * 40)),
    "encrypted": ("D812", encrypted()),
    "a bomb": ("D802", packed(zipfile.ZIP_DEFLATED, joints=npy(np.zeros(30_000_000, dtype=np.float32)))),
    "a member larger than said": ("D812 D803", lying(500)),
    "a member smaller than said": ("D812 D803 D802", lying(2**31)),
    "a thousand members": ("D802", packed(**{f"a{index}": b"x" for index in range(1200)})),
    "members of other names": ("D810", packed(weights=npy(JOINTS), biases=npy(JOINTS))),
    "objects": ("D811", packed(joints=objects())),
    "objects as poses": ("D811", packed(poses=objects(), trans=npy(roots(1, 20)), fps=npy(20.0))),
    "no array": ("D801", packed(joints=b"hello" * 20)),
    "a huge shape": ("D803", packed(joints=npy(JOINTS, shape=(10**12, 22, 3)))),
    "joints that are none": ("D804", packed(joints=npy(spoilt(JOINTS, np.nan, 0, 0, 0)))),
    "poses that are none": ("D804", amass(poses=spoilt(POSES, np.nan, 3, 3))),
    "infinite poses": ("D804", amass(poses=spoilt(POSES, -np.inf, 3, 3))),
    "positions that are none": ("D804", amass(trans=spoilt(roots(1, 20), np.nan, 2, 1))),
    "positions beyond all": ("D804", amass(trans=roots(1, 20) * 1e20)),
    "positions of other frames": ("D810", amass(trans=roots(1, 19))),
    "positions on a plane": ("D810", amass(trans=roots(1, 20)[:, :2])),
    "poses of hands": ("D810", amass(poses=POSES[:, :45])),
    "poses of 67 numbers": ("D810", amass(poses=np.zeros((20, 67)))),
    "a pose": ("D810", amass(poses=POSES[0])),
    "one frame": ("D813", amass(poses=POSES[:1], trans=roots(1, 1))),
    "no frame": ("D813", amass(poses=POSES[:0], trans=roots(1, 20)[:0])),
    "a day of frames": ("D802", amass(poses=np.zeros((40_000, 66), np.int8), trans=np.zeros((40_000, 3), np.int8))),
    "no rate": ("D806", amass(mocap_framerate=None)),
    "a negative rate": ("D806", amass(mocap_framerate=np.array(-20.0))),
    "a rate of none": ("D806", amass(mocap_framerate=np.array(np.nan))),
    "an endless rate": ("D806", amass(mocap_framerate=np.array(np.inf))),
    "a million a second": ("D806", amass(mocap_framerate=np.array(1e6))),
    "several rates": ("D806", amass(mocap_framerate=np.array([20.0, 30.0]))),
    "a rate in words": ("D810", amass(mocap_framerate=np.array("twenty"))),
    "roots and bodies apart": ("D810", packed(root_orient=npy(POSES[:, :3]), pose_body=npy(POSES[:9, 3:]))),
}


@pytest.mark.parametrize("name", list(NPZ))
def test_npz(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    codes, content = NPZ[name]
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    refuse(path, *codes.split())
    assert not (tmp_path / "trapped").exists()


def test_there_are_at_least_twenty_of_each() -> None:
    assert min(len(BVH), len(NPY), len(NPZ)) >= 20


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["bvh", "npy", "npz"]))
def test_mutated_files_are_read_or_refused(seed: int, kind: str) -> None:
    import tempfile

    random = np.random.default_rng(seed)
    data = bytearray({"bvh": GOOD[:-1].encode(), "npy": npy(JOINTS), "npz": amass()}[kind])
    for _ in range(int(random.integers(1, 6))):
        place = int(random.integers(len(data)))
        match int(random.integers(4)):
            case 0:
                data[place] = int(random.integers(256))
            case 1:
                del data[place : place + int(random.integers(1, 200))]
            case 2:
                data[place:place] = data[: int(random.integers(1, 200))]
            case _:
                data[place : place + 8] = random.bytes(8)
        if not data:
            break
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind}"
        path.write_bytes(data)
        try:
            motion = read_motion(path)
        except VlcliError as error:
            assert error.code[0] == "D" and error.message
        else:
            assert np.isfinite(motion.joints).all() and motion.frames >= 2


def test_the_ledger_names_every_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command refuses with exit code 1 and one sentence, and leaves nothing behind."""
    for name, (_, content) in list(BVH.items())[:6]:
        path = tmp_path / "a.bvh"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        assert run(["motion", "info", str(path), "--json"]) == 1, name
        told = capsys.readouterr()
        assert told.err.startswith("error[D") and told.err.count("\n") == 1
        assert not told.out
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bvh"]
