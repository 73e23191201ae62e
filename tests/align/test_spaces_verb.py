"""`vlcli spaces`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vlcli.cli.main import run


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spaces", "list", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    spaces = {space["name"]: space for space in content["spaces"]}
    assert content["schema"] == 1
    assert spaces["text/minilm"]["modalities"] == ["text"]
    assert "clip" in spaces["core/hf-dual"]["checkpoints"]
    assert run(["spaces", "list"]) == 0
    assert "text/minilm" in capsys.readouterr().out


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spaces", "show", "text/minilm", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["dim"], facts["towers"][0]["modality"]) == (384, "text")
    assert facts["identity"].startswith("sha256:")
    assert run(["spaces", "show", "text/minilm"]) == 0
    assert "22,713,216" in capsys.readouterr().out


def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["spaces", "show", "minilmm"]) == 4
    assert "did you mean 'minilm'" in capsys.readouterr().err
    assert run(["spaces", "show", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "holds no space.json" in error and error.count("\n") == 1
