"""Sample files, and the way of someone with own files: show, train, embed, search, classify."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from vlcli_pointclouds.cloud import PointCloud
from vlcli_pointclouds.data.sample_files import ENDINGS, write_samples
from vlcli_pointclouds.loading import load_cloud

from vlcli.cli.main import run
from vlcli.data.datasets import open_dataset
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.testing import check_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 sample files."""
    place = tmp_path_factory.mktemp("samples") / "shapes"
    write_samples(place, 40, ("mug", "chair", "star", "car"))
    return place


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "captions.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_samples_are_of_all_formats_and_readable(folder: Path) -> None:
    rows = rows_of(folder)
    assert len(rows) == 40
    assert Counter(Path(row["path"]).suffix for row in rows) == dict.fromkeys(ENDINGS, 8)
    assert Counter(row["label"] for row in rows) == dict.fromkeys(("mug", "chair", "star", "car"), 10)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.suffix != ".csv"} == {
        row["path"] for row in rows}  # fmt: skip
    clouds: dict[str, PointCloud] = {row["path"]: load_cloud(folder / row["path"]) for row in rows[:10]}
    for row in rows[:10]:
        cloud = clouds[row["path"]]
        assert cloud.faces is not None
        assert row["description"].startswith(row["caption"])
        if row["path"].endswith(".stl"):
            assert cloud.colours is None
            assert not any(f" {colour} " in row["description"] for colour in ("red", "white", "black", "pink"))
        else:
            assert cloud.colours is not None
            assert len(np.unique(cloud.colours, axis=0)) >= 1


def test_samples_are_the_same_again(folder: Path, tmp_path: Path) -> None:
    write_samples(tmp_path / "again", 40, ("mug", "chair", "star", "car"))
    for row in rows_of(folder):
        assert (tmp_path / "again" / row["path"]).read_bytes() == (folder / row["path"]).read_bytes()
    write_samples(tmp_path / "other", 40, ("mug", "chair", "star", "car"), seed=1)
    assert rows_of(tmp_path / "other") != rows_of(folder)


def test_samples_never_overwrite(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(VlcliError, match="U750"):
        write_samples(folder, 4)
    (tmp_path / "file").write_text("x")
    with pytest.raises(VlcliError, match="U750"):
        write_samples(tmp_path / "file", 4)
    with pytest.raises(VlcliError, match="D750"):
        write_samples(tmp_path / "new", 4, ("chiar",))
    assert not (tmp_path / "new").exists()
    assert len(write_samples(tmp_path / "few", 2)) == 2


def test_samples_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pointclouds", "samples", "-o", str(tmp_path / "out"), "--n", "3", "--category", "vase", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] == ["vase/round_vase_0000.ply", "vase/trumpet_vase_0000.obj", "vase/amphora_0000.off"]
    assert run(["pointclouds", "samples", "-o", str(tmp_path / "out")]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_tables_of_own_files(folder: Path, tmp_path: Path) -> None:
    registry = load_plugins().registry
    data = open_dataset(str(folder), registry)
    assert len(data) == 40
    assert all(list(data[index].sources) == ["pointclouds"] for index in range(40))
    assert len(data[0].captions) == 2
    table = tmp_path / "mine.csv"
    table.write_text(f"Mesh,caption\n{folder / 'mug' / 'plain_mug_0000.ply'},a mug\nmissing.off,nothing\n")
    named = open_dataset(str(table), registry)
    assert [named[index].captions for index in range(2)] == [("a mug",), ("nothing",)]
    assert {*named[0].sources, *named[1].sources} == {"pointclouds"}
    classes = tmp_path / "classes"
    for row in rows_of(folder)[:8]:
        target = classes / row["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((folder / row["path"]).read_bytes())
    assert {open_dataset(str(classes), registry)[index].label for index in range(8)} == {"mug", "chair", "star", "car"}


def test_the_recipe_for_own_shapes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    check_recipe("align-pointclouds", load_plugins().registry)
    (folder / "mug" / "broken.off").write_text("OFF\n9 9 9\n")
    small = "{ num_points = 64, groups = [16, 4], neighbours = [4, 4] }"
    assert run(["run", "align-pointclouds", "--set", f'data.use="{folder}"', "--set", "train.epochs=2",
                "--set", f"towers.pointclouds.options={small}", "--out", "out"]) == 0  # fmt: skip
    assert run(["embed", str(folder), "--space", "out/space", "--store", "./mine"]) == 3  # the broken file is refused
    capsys.readouterr()
    mug = folder / "mug" / "plain_mug_0000.ply"
    assert run(["search", "./mine", "--file", str(mug), "--top", "1", "--json"]) == 0
    (first,) = json.loads(capsys.readouterr().out)["results"]
    assert (first["path"], first["modality"]) == (str(mug), "pointclouds")
    assert first["score"] == pytest.approx(1, abs=1e-4)
    assert run(["search", "./mine", "a mug", "--html", "hits.html"]) == 0
    assert "data:image/" in (tmp_path / "hits.html").read_text()
    (folder / "mug" / "broken.off").unlink()
