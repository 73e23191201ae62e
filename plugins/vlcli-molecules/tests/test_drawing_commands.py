"""`vlcli molecules convert`, `describe` and `draw`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlcli.cli.main import run


def test_convert(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["molecules", "convert", "OCC", "CCO.Cl", "C1CC", "--salts", "largest", "--json"]) == 3
    told = capsys.readouterr()
    rows = json.loads(told.out)["molecules"]
    assert [(row["smiles"], row["selfies"]) for row in rows] == [("CCO", "[C][C][O]"), ("CCO", "[C][C][O]")]
    assert rows[1]["notes"] == ["largest of 2 fragments kept"]
    assert "unclosed ring" in told.err
    assert run(["molecules", "convert", "C", "--salts", "all"]) == 2
    assert "U601" in capsys.readouterr().err
    assert run(["molecules", "convert", "C" * 5000]) == 1


def test_describe_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "t.csv"
    table.write_text("name,SMILES\nethanol,OCC\nbroken,C1CC\n")
    assert run(["molecules", "describe", str(table), "--json"]) == 3
    told = capsys.readouterr()
    (row,) = json.loads(told.out)["molecules"]
    assert (row["smiles"], row["formula"]) == ("CCO", "C2H6O")
    assert "t.csv#3" in told.err


def test_draw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, start in (("a.png", b"\x89PNG"), ("b.svg", b"<?xml")):
        assert run(["molecules", "draw", "CCO", "c1ccccc1", "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_bytes().startswith(start)
    assert run(["molecules", "draw", "CCO", "-o", str(tmp_path / "c.pdf")]) == 2
    assert "U603" in capsys.readouterr().err
