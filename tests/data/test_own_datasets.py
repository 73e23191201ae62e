"""Users' own folders and tables as data sets, without Python."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vlcli.data.datasets import open_dataset
from vlcli.errors import VlcliError
from vlcli.registry import Registry


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def error(registry: Registry, name: object, options: dict | None = None) -> VlcliError:
    with pytest.raises(VlcliError) as caught:
        open_dataset(str(name), registry, options)
    return caught.value


def test_class_folders(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "cat/1.toy", "cat/2.toy", "dog/x/3.toy", "README.txt")
    dataset = open_dataset(str(tmp_path), registry)
    assert [(dataset[i].id, dataset[i].label, dataset[i].split) for i in range(len(dataset))] == [
        ("cat/1.toy", "cat", None), ("cat/2.toy", "cat", None), ("dog/x/3.toy", "dog", None),
    ]  # fmt: skip
    assert [line.path for line in dataset.refused] == ["README.txt#1"]


def test_split_folders(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "train/cat/1.toy", "validation/dog/2.toy", "test/cat/3.toy")
    dataset = open_dataset(str(tmp_path), registry)
    assert [(e.label, e.split) for e in dataset.examples] == [("cat", "test"), ("cat", "train"), ("dog", "val")]
    assert [e.id for e in open_dataset(str(tmp_path), registry, {"split": "val"}).examples] == ["validation/dog/2.toy"]
    assert "test, train, val" in error(registry, tmp_path, {"split": "dev"}).help


def test_one_folder_is_no_class(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "images/1.toy", "images/2.toy")
    assert {e.label for e in open_dataset(str(tmp_path), registry).examples} == {None}


def test_a_table_beside_the_files(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "a.toy", "images/b.toy")
    (tmp_path / "captions.csv").write_text(
        "image,caption,label,split,by\na.toy,first,x,train,me\na.toy,second,x,train,me\nb.toy,third,,dev,\n"
        "a.toy,fourth,y,train,me\nno.md,fifth,,,\n"
    )
    dataset = open_dataset(str(tmp_path), registry)
    one, two = dataset.examples
    assert (one.id, one.captions, one.label, one.split, dict(one.metadata)) == (
        "a.toy", ("first", "second"), "x", "train", {"by": "me"},
    )  # fmt: skip
    assert (two.captions, two.label, two.split) == (("third",), None, "val")
    assert two.sources["toys"].path == tmp_path / "images" / "b.toy"
    assert [(Path(line.path).name, line.code) for line in dataset.refused] == [
        ("captions.csv#5", "D106"), ("captions.csv#6", "D103"),
    ]  # fmt: skip


def test_tables_in_split_folders(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "train/a.toy", "test/a.toy")
    for split in ("train", "test"):
        (tmp_path / split / "metadata.csv").write_text(f"file_name,text\na.toy,from {split}\n")
    dataset = open_dataset(str(tmp_path), registry)
    assert {(e.id, e.split, e.captions) for e in dataset.examples} == {
        ("train/a.toy", "train", ("from train",)), ("test/a.toy", "test", ("from test",)),
    }  # fmt: skip


def test_a_table_of_texts(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "good", "label": 1}\nnonsense\n{"text": "poor", "label": 0}\n')
    dataset = open_dataset(str(tmp_path / "t.jsonl"), registry)
    assert [(e.sources["text"].value, e.label) for e in dataset.examples] == [("good", "1"), ("poor", "0")]
    assert [line.code for line in dataset.refused] == ["D106"]


def test_columns_by_option(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "a.toy")
    (tmp_path / "t.csv").write_text("wo,was,klasse\na.toy,ein Spielzeug,k\n")
    options = {"path_column": "wo", "caption_column": "was", "label_column": "klasse"}
    (example,) = open_dataset(str(tmp_path / "t.csv"), registry, options).examples
    assert (example.captions, example.label) == (("ein Spielzeug",), "k")
    wrong = error(registry, tmp_path / "t.csv", {"caption_column": "wass"})
    assert wrong.code == "D107"
    assert "did you mean 'was'" in wrong.help


def test_missing_columns_are_told(registry: Registry, tmp_path: Path) -> None:
    make(tmp_path, "a.toy")
    (tmp_path / "t.csv").write_text("path,captoin\na.toy,x\n")
    wrong = error(registry, tmp_path / "t.csv")
    assert wrong.code == "D107"
    assert "'captoin': did you mean 'caption'" in wrong.help
    (tmp_path / "u.csv").write_text("pth,url\na.toy,x\n")
    assert error(registry, tmp_path / "u.csv").code == "D107"


def test_names_and_options_that_do_not_exist(registry: Registry, tmp_path: Path) -> None:
    assert "did you mean 'two-toys'" in error(registry, "two-toy").help
    assert error(registry, tmp_path / "nowhere").code == "D201"
    assert error(registry, tmp_path).code == "D202"
    make(tmp_path, "x/a.toy")
    assert error(registry, tmp_path, {"splt": "test"}).help == "did you mean 'split'?"
    assert len(open_dataset("tests/two-toys", registry)) == 2


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    make(tmp_path, "images/1.toy", "images/2.toy")
    record = {
        "images": [{"id": 1, "file_name": "1.toy"}, {"id": 2, "file_name": "2.toy"}, {"id": 3, "file_name": "3.toy"}],
        "annotations": [{"image_id": 1, "caption": " a  cat "}, {"image_id": 2, "caption": "b"},
                        {"image_id": 1, "caption": "c"}],
    }  # fmt: skip
    (tmp_path / "captions.json").write_text(json.dumps(record))
    return tmp_path


def test_coco(registry: Registry, coco: Path) -> None:
    dataset = open_dataset(str(coco), registry)
    assert [(e.id, e.captions) for e in dataset.examples] == [("1", ("a cat", "c")), ("2", ("b",))]


def test_damaged_coco(registry: Registry, coco: Path) -> None:
    (coco / "captions.json").write_text('{"images": [{"id": 1}], "annotations": []}')
    assert "images[0] has no 'file_name'" in error(registry, coco).message
    (coco / "captions.json").write_text("[")
    assert error(registry, coco).code == "D212"


def test_coco_without_pictures(registry: Registry, coco: Path) -> None:
    for path in (coco / "images").iterdir():
        path.unlink()
    assert error(registry, coco).code == "D212"


@pytest.mark.shared
def test_real_coco_and_class_folders() -> None:
    folder = os.environ.get("VLCLI_SHARED")
    if not folder:
        pytest.skip("VLCLI_SHARED names no folder of real data")
    from vlcli.plugins import load_plugins

    registry = load_plugins().registry
    coco = open_dataset(f"{folder}/data/coco_mini", registry)
    assert len(coco) == 51
    assert sum(len(coco[i].captions) for i in range(51)) == 255
    cifar = open_dataset(f"{folder}/data/cifar10", registry, {"split": "test"})
    assert len({cifar[i].label for i in range(len(cifar))}) == 10
