"""The modality in the whole: contracts, commands, and the ordinary verbs' way of finding files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shape_files import CORNERS, FACES, GOOD, off, rows
from vlcli_pointclouds.commands.files import facts
from vlcli_pointclouds.health import check_reading
from vlcli_pointclouds.loading import load_cloud
from vlcli_pointclouds.modality import PointcloudsModality
from vlcli_pointclouds.plugin import EXTENSIONS
from vlcli_pointclouds.readers import READERS, read_shape

from vlcli.api import Source, Viewable
from vlcli.cli.main import run
from vlcli.data.inputs import InputItem, expand_inputs
from vlcli.testing import check_modality, check_plugin, check_registered_modality


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One good file of every format."""
    for ending, data in GOOD.items():
        (tmp_path / f"shape{ending}").write_bytes(data)
    return tmp_path


def test_contracts(folder: Path) -> None:
    registry = check_plugin("pointclouds")
    modality = PointcloudsModality()
    assert isinstance(modality, Viewable)
    for ending in GOOD:
        check_modality(modality, folder / f"shape{ending}")
    (folder / "bad.ply").write_bytes(b"ply\n")
    check_registered_modality(
        registry, "pointclouds",
        [Source(id=ending, path=folder / f"shape{ending}") for ending in (".off", ".xyz", ".glb")],
        bad=[Source(id="a", value="0 0 0"), *(Source(id=name, path=folder / name) for name in ("bad.ply", "none.ply"))],
    )  # fmt: skip
    assert {ending for ending in EXTENSIONS if not ending.endswith(".gz")} == set(READERS) - {".txt"}
    assert "PLY" in check_reading().upper()


def test_files_are_found(folder: Path) -> None:
    from vlcli.plugins import load_plugins

    registry = load_plugins().registry
    found = [entry for entry in expand_inputs([str(folder)], registry, "pointclouds") if isinstance(entry, InputItem)]
    assert len(found) == len(GOOD) and {entry.modality for entry in found} == {"pointclouds"}


def test_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(id="a", path=folder / "shape.off")
    plain = PointcloudsModality().load(source)
    monkeypatch.setenv("VLCLI_POINTCLOUDS", "up=z points=100")
    turned = PointcloudsModality().load(source)
    assert len(plain) == 8192 and len(turned) == 100
    assert turned.vertices is not None and plain.vertices is not None
    spread = np.ptp(plain.vertices * plain.scale, axis=0)
    assert np.allclose(np.ptp(turned.vertices * turned.scale, axis=0), spread[[0, 2, 1]], atol=1e-4)


def test_collate() -> None:
    import torch

    batch = PointcloudsModality().collate([{"points": torch.zeros(5, 3)}, {"points": torch.ones(5, 3)}])
    assert batch["points"].shape == (2, 5, 3)


def test_info(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pointclouds", "info", str(folder / "shape.off"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["vertices"], told["triangles"], told["highest"], told["colours"]) == (4, 4, [2, 2, 2], False)
    assert run(["pointclouds", "info", str(folder / "shape.off"), "--up", "z"]) == 0
    text = capsys.readouterr().out
    assert "lowest: 0  0  -2" in text and "sampled points: 8,192" in text and "normals: of the triangles" in text
    assert run(["pointclouds", "info", str(folder / "none.off")]) == 1
    assert "D111" in capsys.readouterr().err
    assert run(["pointclouds", "info", str(folder / "shape.off"), "--up", "w"]) == 2
    (folder / "line.off").write_bytes(off(faces="3 0 1 1\n" * 4))
    assert run(["pointclouds", "info", str(folder / "line.off")]) == 0
    assert "note: the triangles have no area" in capsys.readouterr().out
    assert facts(Path("a"), read_shape(folder / "shape.xyz"), load_cloud(folder / "shape.xyz"))["normals"] is False


def test_render(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out.png"
    assert run(["pointclouds", "render", str(folder / "shape.glb"), "-o", str(out), "--size", "128"]) == 0
    assert capsys.readouterr().out.strip() == str(out) and Image.open(out).size == (128, 128)
    assert (
        run(["pointclouds", "render", str(folder / "shape.xyz"), "-o", str(out), "--views", "6", "--size", "64"]) == 0
    )
    assert Image.open(out).size == (256, 128)
    assert run(["pointclouds", "render", str(folder / "shape.glb"), "-o", str(folder / "out.gif")]) == 2
    assert "U704" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["ply", "off", "obj", "stl", "xyz", "npy"])
def test_convert(folder: Path, ending: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / f"out.{ending}"
    assert run(["pointclouds", "convert", str(folder / "shape.glb"), "-o", str(out)]) == 0
    shape = read_shape(out)
    assert np.linalg.norm(shape.vertices, axis=1).max() < 1.2
    assert (shape.faces is None) == (ending in ("xyz", "npy"))
    assert run(["pointclouds", "convert", str(folder / "shape.glb"), "-o", str(out), "--keep-scale"]) == 0
    kept = read_shape(out)
    if kept.faces is not None:
        assert np.allclose(kept.vertices[kept.faces], CORNERS[FACES])
    else:
        assert len(kept.vertices) == 8192 and np.allclose(kept.vertices.max(axis=0), 2, atol=0.1)
        assert kept.normals is not None
    if ending != "stl":
        assert run(["pointclouds", "convert", str(folder / "shape.glb"), "-o", str(out), "--points", "50"]) == 0
        assert len(read_shape(out).vertices) == 50 and read_shape(out).faces is None
    capsys.readouterr()


def test_convert_refuses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for output, code in (("out.foo", "U702"), ("out.stl", "U703")):
        assert run(["pointclouds", "convert", str(folder / "shape.xyz"), "-o", str(folder / output)]) == 2
        assert code in capsys.readouterr().err
        assert not (folder / output).exists()


def test_commands_say_what_they_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pointclouds", "--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("info", "render", "convert"))


def test_table_of_points_is_no_shape(folder: Path) -> None:
    """A text of points under its own ending is read whichever separator it has."""
    (folder / "a.xyz").write_text(rows(CORNERS).replace(" ", ";"))
    assert len(load_cloud(folder / "a.xyz")) == 4
