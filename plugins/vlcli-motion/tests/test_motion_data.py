"""The data sets of motions: splits, captions, and that nothing unreadable is lost silently."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from vlcli_motion.data.bandai import BandaiMotions, sentences
from vlcli_motion.data.humanml3d import HumanML3D, read_lines
from vlcli_motion.data.kinematics import act
from vlcli_motion.data.procedural import ProceduralMotions, split_of
from vlcli_motion.data.scripts import Move, Script
from vlcli_motion.features import joints_to_features
from vlcli_motion.modality import MotionModality

from vlcli.errors import VlcliError
from vlcli.testing import check_dataset

SHARED = os.environ.get("VLCLI_SHARED")


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own."""
    before = os.environ.get("VLCLI_HOME")
    os.environ["VLCLI_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    os.environ.pop("VLCLI_HOME") if before is None else os.environ.__setitem__("VLCLI_HOME", before)


@pytest.fixture(scope="module")
def motions(home: None) -> ProceduralMotions:
    return ProceduralMotions(size=120, held_out=40)


def test_procedural_keeps_the_contract(motions: ProceduralMotions) -> None:
    check_dataset(motions, modalities=["motion"])


def test_splits_do_not_share_scripts(motions: ProceduralMotions) -> None:
    by_split = {name: [e for e in motions if e.split == name] for name in ("train", "val", "test")}
    assert {name: len(part) for name, part in by_split.items()} == {"train": 120, "val": 40, "test": 40}
    keys = {name: {example.metadata["key"] for example in part} for name, part in by_split.items()}
    assert not keys["train"] & keys["test"] and not keys["train"] & keys["val"] and not keys["val"] & keys["test"]
    assert len(keys["test"]) == 40 == len({example.captions[0] for example in by_split["test"]})
    assert len({example.id for example in motions}) == len(motions)
    seen = {name for example in by_split["train"] for name in example.metadata["classes"]}
    assert {name for part in by_split.values() for example in part for name in example.metadata["classes"]} <= seen


def test_pairs_come_in_both_orders(motions: ProceduralMotions) -> None:
    test = [example for example in motions if example.split == "test"]
    keys = {tuple(example.metadata["classes"]) for example in test if len(example.metadata["classes"]) == 2}
    both = [pair for pair in keys if pair[::-1] in keys]
    assert len(both) > len(keys) / 2
    for example in test:
        assert example.label == ", ".join(example.metadata["classes"])
        assert [f"{move['action']} {move['direction']}".strip() for move in example.metadata["script"]] == list(
            example.metadata["classes"]
        )
    alone = ProceduralMotions(size=10, held_out=40, order_pairs=False, split="test")
    keys = {tuple(example.metadata["classes"]) for example in alone}
    assert sum(pair[::-1] in keys for pair in keys if len(pair) == 2) < len(both)


def test_a_script_its_reverse_and_its_mirror_are_in_one_split() -> None:
    for moves in ((Move("walk", "left"), Move("wave", "right")), (Move("sit"), Move("rise")), (Move("bow", count=2),)):
        for style in ("", "sad", "old", "happy"):
            one = Script(moves, style)
            assert split_of(one) == split_of(one.reversed()) == split_of(one.mirrored())


def test_files_are_motions_and_are_written_once(motions: ProceduralMotions) -> None:
    source = motions[0].sources["motion"]
    assert source.path is not None
    before = source.path.stat().st_mtime_ns
    again = ProceduralMotions(size=120, held_out=40)
    assert again[0] == motions[0] and source.path.stat().st_mtime_ns == before
    motion = MotionModality().load(source)
    assert np.allclose(motion.joints, np.load(source.path), atol=1e-5)
    assert not list(source.path.parent.glob("*.tmp"))


def test_seeds_and_options() -> None:
    first, other = (ProceduralMotions(size=60, held_out=4, seed=seed) for seed in (1, 2))
    assert [e.id for e in first if e.split == "test"] == [e.id for e in other if e.split == "test"]
    assert {e.id for e in first if e.split == "train"}.isdisjoint(e.id for e in other if e.split == "train")
    plain = ProceduralMotions(size=80, held_out=4, movements=1, styles=False, modifiers=False, split="train")
    assert {len(e.metadata["classes"]) for e in plain} == {1} and not any(e.metadata["style"] for e in plain)
    assert all(move["count"] == 1 and not move["speed"] for e in plain for move in e.metadata["script"])
    few = ProceduralMotions(size=30, held_out=6, actions=("walk", "turn"))
    assert {move["action"] for e in few for move in e.metadata["script"]} == {"walk", "turn"}
    with pytest.raises(VlcliError, match=r"D854.*'wlak'") as caught:
        ProceduralMotions(size=4, held_out=2, actions=("wlak",))
    assert "walk" in str(caught.value)
    short = ProceduralMotions(size=20, held_out=2, min_seconds=1, max_seconds=2, split="train")
    assert max(len(np.load(str(e.sources["motion"].path))) for e in short) <= 40


def test_mirror_images_are_added_with_their_own_words() -> None:
    found = ProceduralMotions(size=60, held_out=2, mirrored=True, split="train")
    assert len({example.id for example in found}) == len(found) > 60
    by_id = [example for example in found if example.metadata["classes"] in (["wave left"], ["wave right"])]
    joints = [np.load(str(example.sources["motion"].path)) for example in by_id[:2]]
    from vlcli_motion.skeleton import HUMANML3D

    pair = [example.captions[0] for example in by_id[:2]]
    assert ("left" in pair[0]) != ("left" in pair[1])
    assert np.allclose(joints[0], joints[1][:, list(HUMANML3D.mirror)] * np.array([-1, 1, 1]), atol=1e-5)


def test_static_clips_show_one_pose() -> None:
    for example in ProceduralMotions(size=20, held_out=2, static=True, split="train"):
        joints = np.load(str(example.sources["motion"].path))
        assert len(joints) >= 40 and np.array_equal(joints[0], joints[-1])
        assert joints[0, 0, [0, 2]] == pytest.approx(0, abs=1e-6)


def test_bandai_reads_content_and_style_from_names(tmp_path: Path) -> None:
    names = ["dataset-1_walk-left_tired_001.bvh", "dataset-1_walk-left_normal_002.bvh", "dataset-2_run_happy_003.bvh",
             "dataset-1_moon-walk_funky_001.bvh", "holiday.bvh", "notes.txt"]  # fmt: skip
    (tmp_path / "data").mkdir()
    for name in names:
        (tmp_path / "data" / name).write_text("HIERARCHY\n")
    found = BandaiMotions(str(tmp_path))
    by_id = {Path(example.id).name: example for example in found}
    assert set(by_id) == set(names[:4])
    tired, normal = by_id[names[0]], by_id[names[1]]
    assert tired.captions[0] == "a person walks to the left in a tired manner"
    assert normal.captions[0] == "a person walks to the left" and tired.label == normal.label == "walk-left"
    assert (tired.split, normal.split, by_id[names[2]].split) == ("test", "train", "val")
    assert by_id[names[3]].captions[0] == "a person performs the movement moon walk in the style funky"
    assert [Path(line.path).name for line in found.refused] == ["holiday.bvh"]
    content = BandaiMotions(str(tmp_path), say="content", split="test")
    assert [example.captions[0] for example in content] == ["a person walks to the left"]
    other = BandaiMotions(str(tmp_path), styles=("normal",))
    assert {e.split for e in other if e.metadata["style"] == "normal"} == {"test"}
    with pytest.raises(VlcliError, match="D850"):
        BandaiMotions(str(tmp_path / "nowhere"))


def test_sentences_differ_and_say_the_same() -> None:
    found = sentences("wave-left-hand", "proud", 4, "x")
    assert len(set(found)) == 4
    assert all("left" in text and text.endswith("in a proud manner") for text in found)


@pytest.mark.skipif(not SHARED, reason="VLCLI_SHARED names no folder: real clips were not read")
def test_real_bandai_clips() -> None:
    folder = Path(str(SHARED)) / "data" / "bandai_motion" / "bvh"
    found = BandaiMotions(str(folder))
    assert len(found) == 200 and not found.refused
    assert {example.split for example in found} == {"train", "val", "test"}
    train = {example.metadata["style"] for example in found if example.split == "train"}
    assert train.isdisjoint(example.metadata["style"] for example in found if example.split == "test")
    motion = MotionModality().load(found[0].sources["motion"])
    assert motion.joints.shape[1:] == (22, 3) and 1.2 < motion.joints[0, 15, 1] < 2.0


@pytest.fixture
def humanml(tmp_path: Path) -> Path:
    for folder in ("new_joint_vecs", "texts"):
        (tmp_path / folder).mkdir()
    features = joints_to_features(act(Script((Move("walk", "forward"), Move("clap"))), 0, 5, 6))
    for name, part in {"000001": features, "M000001": features, "000002": features[:20], "000003": features}.items():
        np.save(tmp_path / "new_joint_vecs" / f"{name}.npy", part)
    np.save(tmp_path / "new_joint_vecs" / "000009.npy", np.zeros((50, 7)))
    whole = "a man walks.#a/DET man/NOUN walk/VERB#0.0#0.0\nhe goes  on#x/y#0.0#0.0\n"
    (tmp_path / "texts" / "000001.txt").write_text(whole + "he claps#x/y#2.0#4.5\n\nlate#x/y#4.9#9.0\n")
    (tmp_path / "texts" / "M000001.txt").write_text("mirrored#x/y#nan#nan\n")
    for name in ("000002", "000003", "000009"):
        (tmp_path / "texts" / f"{name}.txt").write_text("a caption without times\n")
    (tmp_path / "train.txt").write_text("000001\nM000001\n000002\n000009\n")
    (tmp_path / "test.txt").write_text("000003\n000004\n../000001\n")
    return tmp_path


def test_humanml3d_folders(humanml: Path) -> None:
    found = HumanML3D(str(humanml))
    assert [(example.id, example.split) for example in found] == [
        ("000001", "train"), ("000001#2-4.5", "train"), ("M000001", "train"), ("000003", "test")
    ]  # fmt: skip
    assert found[0].captions == ("a man walks.", "he goes on") and found[1].captions == ("he claps",)
    stretch = np.load(str(found[1].sources["motion"].path))
    whole = np.load(humanml / "new_joint_vecs" / "000001.npy")
    assert np.array_equal(stretch, whole[40:90])
    assert MotionModality().load(found[1].sources["motion"]).joints.shape[1:] == (22, 3)
    reasons = {line.path.rsplit("/", 1)[-1]: line.code for line in found.refused}
    assert reasons == {"000001#4.9-9": "D853", "000002": "D853", "000009.npy": "D852", "000004.npy": "D111",
                       "000001.npy": "D111"}  # fmt: skip
    plain = HumanML3D(str(humanml), mirrored=False, split="train", limit=1)
    assert [example.id for example in plain] == ["000001"]


def test_humanml3d_folders_that_lack_something(humanml: Path, tmp_path: Path) -> None:
    with pytest.raises(VlcliError, match=r"D851.*val\.txt"):
        HumanML3D(str(humanml), split="val")
    with pytest.raises(VlcliError, match=r"D851.*new_joint_vecs"):
        HumanML3D(str(tmp_path / "texts"))


def test_lines_of_captions(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one#x#0.5#1.5\n#x#0#0\ntwo\nthree#x#later#-1\n")
    assert [(line.caption, line.start, line.end) for line in read_lines(tmp_path / "a.txt")] == [
        ("one", 0.5, 1.5), ("two", 0.0, 0.0), ("three", 0.0, 0.0)
    ]  # fmt: skip
