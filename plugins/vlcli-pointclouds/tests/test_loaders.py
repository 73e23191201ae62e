"""Data sets that the user brings: ModelNet, HDF5 files, ShapeNet's parts, and JM3D's names."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from vlcli_pointclouds.cloud import normalise
from vlcli_pointclouds.data.files import hold_out
from vlcli_pointclouds.data.h5 import SCANOBJECTNN, H5Dataset
from vlcli_pointclouds.data.hierarchy import read_names
from vlcli_pointclouds.data.modelnet import ModelNetDataset
from vlcli_pointclouds.data.shapenetpart import ShapeNetPartDataset
from vlcli_pointclouds.modality import PointcloudsModality

from vlcli.data.dataset import Example
from vlcli.errors import VlcliError
from vlcli.testing import check_dataset

TETRAHEDRON = "4 4 6\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 0 3 2\n3 1 2 3\n"


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of its own."""
    before = os.environ.get("VLCLI_HOME")
    os.environ["VLCLI_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    os.environ.pop("VLCLI_HOME") if before is None else os.environ.__setitem__("VLCLI_HOME", before)


def shared(relative: str) -> Path:
    folder = os.environ.get("VLCLI_SHARED")
    if not folder:
        pytest.skip("VLCLI_SHARED names no folder of real data")
    return Path(folder) / "data" / relative


def write_modelnet(root: Path) -> Path:
    for name in ("night_stand", "bathtub"):
        for split, count in (("train", 10), ("test", 3)):
            folder = root / name / split
            folder.mkdir(parents=True)
            for number in range(count):
                # The first has the keyword glued to the counts, as some files of ModelNet40 have.
                glue = "OFF" if number == 0 else "OFF\n"
                (folder / f"{name}_{number:04d}.off").write_text(glue + TETRAHEDRON)
    return root


def loaded(example: Example) -> np.ndarray:
    return PointcloudsModality().load(example.sources["pointclouds"]).points


def test_modelnet_folders(tmp_path: Path) -> None:
    root = write_modelnet(tmp_path / "ModelNet10" / "ModelNet10")
    (root / "bathtub" / "train" / "notes.txt").write_text("not a mesh")
    (root / "bathtub" / "train" / ".DS_Store").write_text("x")
    (root / "README.txt").write_text("x")
    data = ModelNetDataset(str(tmp_path / "ModelNet10"))
    check_dataset(data, modalities=["pointclouds"])
    assert Counter((e.label, e.split) for e in data.examples) == {
        (name, split): count for name in ("night stand", "bathtub")
        for split, count in (("train", 9), ("val", 1), ("test", 3))}  # fmt: skip
    assert [(line.path, line.code) for line in data.refused] == [("bathtub/train/notes.txt", "D103")]
    first = next(e for e in data.examples if e.id == "night_stand/train/night_stand_0000.off")
    assert first.captions == ("a night stand",)
    assert loaded(first).shape == (8192, 3)
    only = ModelNetDataset(str(root), classes=["night_stand"], split="test", val=0)
    assert {(e.label, e.split) for e in only.examples} == {("night stand", "test")}
    assert [e.id for e in ModelNetDataset(str(root)).examples] == [e.id for e in data.examples]


def test_modelnet_resampled(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("night_stand_0001", "night_stand_0002", "sofa_0001"):
        folder = tmp_path / name.rpartition("_")[0]
        folder.mkdir(exist_ok=True)
        points = random.normal(size=(50, 3))
        normals = points / np.linalg.norm(points, axis=1, keepdims=True)
        np.savetxt(folder / f"{name}.txt", np.hstack([points, normals]), delimiter=",", fmt="%.6f")
    (tmp_path / "modelnet40_train.txt").write_text("night_stand_0001\nsofa_0001\nsofa_0009\n../evil_0001\n")
    (tmp_path / "modelnet40_test.txt").write_text("night_stand_0002\n")
    data = ModelNetDataset(str(tmp_path))
    assert [(e.id, e.label, e.split) for e in data.examples] == [
        ("night_stand/night_stand_0001", "night stand", "train"), ("sofa/sofa_0001", "sofa", "train"),
        ("night_stand/night_stand_0002", "night stand", "test")]  # fmt: skip
    assert len(data.refused) == 2
    cloud = PointcloudsModality().load(data[0].sources["pointclouds"])
    assert cloud.points.shape == (50, 3)
    assert cloud.normals is not None
    (tmp_path / "modelnet40_test.txt").unlink()
    with pytest.raises(VlcliError, match="D756"):
        ModelNetDataset(str(tmp_path))


def test_modelnet_errors(tmp_path: Path) -> None:
    with pytest.raises(VlcliError, match="D754"):
        ModelNetDataset(str(tmp_path / "missing"))
    with pytest.raises(VlcliError, match="D753"):
        ModelNetDataset(str(tmp_path))
    write_modelnet(tmp_path / "data")
    with pytest.raises(VlcliError, match=r"D755.*night stand"):
        ModelNetDataset(str(tmp_path / "data"), classes=["teapot"])


def test_real_modelnet() -> None:
    data = ModelNetDataset(str(shared("point_clouds/ModelNet10")), val=0.2)
    assert Counter(e.split for e in data.examples) == {"train": 4, "val": 1}
    assert {e.label for e in data.examples} == {"bathtub"}
    assert all(np.isfinite(loaded(example)).all() for example in data.examples)


def write_h5(path: Path, labels: list[int], **more: np.ndarray) -> np.ndarray:
    data = np.random.default_rng(len(labels)).normal(size=(len(labels), 64, 3)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=data, compression="gzip")
        file.create_dataset("label", data=np.array(labels, np.uint8)[:, None])
        for name, values in more.items():
            file.create_dataset(name, data=values)
    return data


def test_h5_of_modelnet40(tmp_path: Path) -> None:
    (tmp_path / "shape_names.txt").write_text("airplane\nnight_stand\n")
    data = write_h5(tmp_path / "ply_data_train0.h5", [0, 1] * 10)
    write_h5(tmp_path / "ply_data_test0.h5", [1, 0, 5])
    held = H5Dataset(str(tmp_path))
    check_dataset(held, modalities=["pointclouds"])
    assert Counter(e.split for e in held.examples) == {"train": 18, "val": 2, "test": 3}
    by_id = {e.id: e for e in held.examples}
    assert [by_id[f"ply_data_test0.h5#{row}"].label for row in range(3)] == ["night stand", "airplane", "5"]
    assert by_id["ply_data_test0.h5#2"].captions == ()
    third = by_id["ply_data_train0.h5#3"]
    assert third.captions == ("a night stand",)
    assert third.sources["pointclouds"].id == f"{tmp_path / 'ply_data_train0.h5'}#3"
    # The reader draws a cloud's points in an order of its own.
    assert sorted(map(tuple, loaded(third).round(5))) == sorted(map(tuple, normalise(data[3]).round(5)))
    again = H5Dataset(str(tmp_path / "ply_data_train0.h5"), names=["plane", "stand"], classes=["stand"], val=0)
    assert {(e.label, e.split) for e in again.examples} == {("stand", "train")}


def test_h5_of_scanobjectnn(tmp_path: Path) -> None:
    mask = np.zeros((3, 64), np.int64)
    mask[0, :40], mask[1] = -1, -1
    path = tmp_path / "test_objectdataset.h5"
    write_h5(path, [14, 0, 4], mask=mask)
    whole = H5Dataset(str(path))
    assert [e.label for e in whole.examples] == [SCANOBJECTNN[14], SCANOBJECTNN[0], SCANOBJECTNN[4]]
    assert [len(loaded(e)) for e in whole.examples] == [64, 64, 64]
    front = H5Dataset(str(path), foreground=True)
    assert [(e.id, len(loaded(e))) for e in front.examples] == [(f"{path.name}#0", 24), (f"{path.name}#2", 64)]
    assert [line.path for line in front.refused] == [f"{path.name}#1"]
    assert front.examples[0].split == "test"


def test_h5_with_normals(tmp_path: Path) -> None:
    normal = np.random.default_rng(1).normal(size=(2, 64, 3))
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    write_h5(tmp_path / "train.h5", [0, 1], normal=normal.astype(np.float32))
    data = H5Dataset(str(tmp_path))
    assert [e.label for e in data.examples] == ["0", "1"]
    assert PointcloudsModality().load(data[0].sources["pointclouds"]).normals is not None


def test_hostile_h5(tmp_path: Path) -> None:
    def made(name: str, build: object) -> str:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            build(file)  # type: ignore[operator]
        return str(path)

    secret = tmp_path / "secret.h5"
    write_h5(secret, [0])
    cases = {
        "no_data.h5": ("D759", lambda file: file.create_dataset("points", data=np.zeros((2, 3)))),
        "flat.h5": ("D759", lambda file: file.create_dataset("data", data=np.zeros((2, 3)))),
        "words.h5": ("D759", lambda file: file.create_dataset("data", data=np.full((1, 4, 3), b"word"))),
        "group.h5": ("D759", lambda file: file.create_group("data")),
        "bomb.h5": ("D759", lambda file: file.create_dataset("data", (10**6, 2048, 3), "f4", chunks=(1, 2048, 3))),
        "link.h5": ("D759", lambda file: file.__setitem__("data", h5py.ExternalLink(str(secret), "/data"))),
        "soft.h5": ("D759", lambda file: file.__setitem__("data", h5py.SoftLink("/other"))),
    }
    for name, (code, build) in cases.items():
        with pytest.raises(VlcliError) as raised:
            H5Dataset(made(name, build))
        assert raised.value.code == code, name
    labels = tmp_path / "labels.h5"
    with h5py.File(labels, "w") as file:
        file["data"], file["label"] = np.zeros((3, 8, 3)), np.zeros(2)
    with pytest.raises(VlcliError, match="D759"):
        H5Dataset(str(labels))
    broken = tmp_path / "broken.h5"
    broken.write_bytes(secret.read_bytes()[:900])
    with pytest.raises(VlcliError, match="D758"):
        H5Dataset(str(broken))
    broken.write_text("not at all")
    with pytest.raises(VlcliError, match="D758"):
        H5Dataset(str(broken))
    with pytest.raises(VlcliError, match="D754"):
        H5Dataset(str(tmp_path / "missing.h5"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(VlcliError, match="D754"):
        H5Dataset(str(tmp_path / "empty"))


def write_part(root: Path) -> Path:
    random = np.random.default_rng(3)
    (root / "train_test_split").mkdir(parents=True)
    (root / "synsetoffset2category.txt").write_text("Airplane\t02691156\nMotor bike\t03790512\n")
    models = {"train": ["02691156/a1", "02691156/a2", "03790512/m1", "99999999/z", "02691156/gone"],
              "val": ["02691156/a3"], "test": ["03790512/m2"]}  # fmt: skip
    for split, names in models.items():
        listing = root / "train_test_split" / f"shuffled_{split}_file_list.json"
        listing.write_text(json.dumps([f"shape_data/{name}" for name in names]))
        for name in names:
            if name.endswith("gone"):
                continue
            points = random.normal(size=(40, 3))
            normals = points / np.linalg.norm(points, axis=1, keepdims=True)
            part = np.full((40, 1), 3.0)
            file = root / f"{name}.txt"
            if name.endswith("m2"):
                file = root / "03790512" / "points" / "m2.pts"
            file.parent.mkdir(parents=True, exist_ok=True)
            rows = points if name.endswith("m2") else np.hstack([points, normals, part])
            np.savetxt(file, rows, fmt="%.6f")
    return root


def test_shapenetpart(tmp_path: Path) -> None:
    data = ShapeNetPartDataset(str(write_part(tmp_path / "parts")))
    check_dataset(data, modalities=["pointclouds"])
    assert [(e.id, e.label, e.split) for e in data.examples] == [
        ("02691156/a1", "airplane", "train"), ("02691156/a2", "airplane", "train"),
        ("03790512/m1", "motor bike", "train"), ("02691156/a3", "airplane", "val"),
        ("03790512/m2", "motor bike", "test")]  # fmt: skip
    assert data[0].captions == ("an airplane",)
    assert sorted(line.path for line in data.refused) == ["02691156/gone", "99999999/z"]
    cloud = PointcloudsModality().load(data[0].sources["pointclouds"])
    assert cloud.points.shape == (40, 3)
    assert cloud.normals is not None
    assert cloud.colours is None
    assert PointcloudsModality().load(data[4].sources["pointclouds"]).points.shape == (40, 3)
    listing = tmp_path / "parts" / "train_test_split" / "shuffled_val_file_list.json"
    for damage in ("{", "{}", "[1]"):
        listing.write_text(damage)
        with pytest.raises(VlcliError, match="D756"):
            ShapeNetPartDataset(str(tmp_path / "parts"))


def write_names(folder: Path) -> Path:
    folder.mkdir()
    labels = {"super": {"02691156": 0, "03790512": 1}, "sub": {"02690373": 0, "03335030": 1}}
    names = {"super": {"0": "airplane", "1": "motorcycle"}, "sub": {"0": "airliner", "1": "fighter"}}
    (folder / "ShapeNet_Class2Labels.json").write_text(json.dumps(labels))
    (folder / "ShapeNet_Label2Names.json").write_text(json.dumps(names))
    (folder / "ShapeNet_train.csv").write_text("1,02691156,02690373,a1,train\n2,02691156,03335030,a2,train\n")
    return folder


def test_names_on_two_levels(tmp_path: Path) -> None:
    folder = write_names(tmp_path / "names")
    names = read_names(folder)
    assert names.of_model("a1") == ("airplane", "airliner")
    assert names.of_model("unknown", "03790512") == ("motorcycle",)
    assert names.children() == {"airplane": ["airliner", "fighter"], "motorcycle": []}
    data = ShapeNetPartDataset(str(write_part(tmp_path / "parts")), names=str(folder))
    assert data[1].captions == ("an airplane", "a fighter")
    assert data[1].metadata["hierarchy"] == "airplane > fighter"
    assert data[2].captions == ("a motor bike", "a motorcycle")
    (folder / "ShapeNet_Label2Names.json").write_text("[]")
    with pytest.raises(VlcliError, match="D757"):
        read_names(folder)
    (folder / "ShapeNet_Label2Names.json").unlink()
    with pytest.raises(VlcliError, match="D757"):
        read_names(folder)


def test_real_names_of_jm3d() -> None:
    names = read_names(shared("point_clouds/jm3d_text"))
    assert (len(names.super), len(names.sub), len(names.models)) == (55, 205, 409)
    assert names.of_model("521eab9363fdc2a07209009cfb89d4bd") == ("airplane", "airliner")
    children = names.children()
    assert "jet-propelled plane" in {name for inner in children.values() for name in inner} | set(names.sub.values())
    assert all(inner != [] for name, inner in children.items() if name == "airplane")


def test_hold_out_is_stratified_and_does_not_depend_on_order() -> None:
    examples = [Example(f"{label}{n}", {}, ("x",), label, "train") for label in "ab" for n in range(20)]
    held = {e.id for e in hold_out(examples, 0.25) if e.split == "val"}
    assert Counter(name[0] for name in held) == {"a": 5, "b": 5}
    assert {e.id for e in hold_out(examples[::-1], 0.25) if e.split == "val"} == held
    own = [*examples, Example("v", {}, ("x",), "a", "val")]
    assert hold_out(own, 0.25) == own
