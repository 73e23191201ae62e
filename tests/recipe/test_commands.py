"""`vlcli recipes`, `config` and `cache` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vlcli.cli.main import run as vlcli


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VLCLI_HOME", str(folder / "home"))
    return folder / "home"


def test_check_needs_no_torch(folder: Path) -> None:
    code = (
        "import sys\nfrom vlcli.cli.main import run\n"
        "codes = [run(['recipes', 'check', 'demo', 'search-my-pictures']), run(['recipes', 'list', '--json']),\n"
        "         run(['recipes', 'show', 'demo', '--resolved']), run(['run', 'demo', '--dry-run']),\n"
        "         run(['config', 'show']), run(['cache', 'show'])]\n"
        "heavy = [name for name in ('torch', 'numpy', 'transformers', 'PIL', 'pyarrow') if name in sys.modules]\n"
        "print('RESULT', [int(code) for code in codes], heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "RESULT [0, 0, 0, 0, 0, 0] []", done.stderr


def test_list_and_show(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vlcli(["recipes", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["recipes"]}
    assert rows["core/demo"]["does"] == "embed → search" and rows["core/demo"]["error"] == ""
    assert vlcli(["recipes", "show", "core/demo"]) == 0
    assert capsys.readouterr().out == Path(rows["core/demo"]["file"]).read_text()
    assert vlcli(["recipes", "show", "core/demo", "--json", "--set", "seed=3"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["recipe"]["seed"] == 3 and shown["provenance"]["seed"] == "--set seed=3"
    assert shown["provenance"]["steps.embed.store"].startswith("@core/demo:")


def test_check_tells_all_and_exits_with_2(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bad.toml").write_text("schema = 1\nsed = 1\n")
    assert vlcli(["recipes", "check", "core/demo", "bad.toml"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "core/demo: ok\n"
    assert captured.err.splitlines()[0].startswith("error[R114] bad.toml:1: has nothing to do")
    assert captured.err.splitlines()[1] == "error[R101] bad.toml:2: sed: unknown key — did you mean 'seed'?"
    assert vlcli(["recipes", "check", "bad.toml", "--json"]) == 2
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is False and result["recipes"][0]["problems"][1] == {
        "code": "R101", "source": "bad.toml", "line": 2, "key": "sed", "message": "unknown key",
        "help": "did you mean 'seed'?",
    }  # fmt: skip


def test_copy(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vlcli(["recipes", "copy", "core/demo", "mine.toml"]) == 0
    assert vlcli(["recipes", "check", "mine.toml"]) == 0
    capsys.readouterr()
    assert vlcli(["recipes", "copy", "core/demo", "mine.toml"]) == 2
    assert "error[U151] mine.toml: is there already" in capsys.readouterr().err
    (folder / "top.toml").write_text('schema = 1\nextends = ["mine.toml"]\nseed = 5\n')
    (folder / "elsewhere").mkdir()
    assert vlcli(["recipes", "copy", "./top.toml", "elsewhere"]) == 0
    text = (folder / "elsewhere" / "top.toml").read_text()
    assert "seed = 5" in text and "extends" not in text
    assert vlcli(["recipes", "check", "elsewhere/top.toml"]) == 0


def test_config_shows_what_is_set(home: Path, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.setenv("VLCLI_THREDS", "2")
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert vlcli(["config", "show", "--json"]) == 0
    text = capsys.readouterr().out
    found = json.loads(text)
    assert found["home"] == str(home) and found["environment"]["VLCLI_HOME"] == str(home)
    assert "did you mean 'VLCLI_THREADS'" in found["unknown"]["VLCLI_THREDS"]
    assert "secret" not in text and "device" not in found


def test_cache_is_shown_and_cleared(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "cache" / "features").mkdir(parents=True)
    (home / "cache" / "features" / "a.npy").write_bytes(b"x" * 1500)
    (home / "cache" / "weights.bin").write_bytes(b"x" * 500)
    (folder / "outside").mkdir()
    (folder / "outside" / "keep").write_text("kept")
    (home / "cache" / "link").symlink_to(folder / "outside")
    (home / "stores").mkdir()
    assert vlcli(["cache", "show", "--json"]) == 0
    parts = {part["name"]: part for part in json.loads(capsys.readouterr().out)["parts"]}
    assert parts["features"] == {"name": "features", "files": 1, "bytes": 1500}
    assert vlcli(["cache", "clear"]) == 2
    assert "is only cleared after a yes — add --yes" in capsys.readouterr().err
    assert vlcli(["cache", "clear", "featurs", "--yes"]) == 2
    assert "did you mean 'features'?" in capsys.readouterr().err
    assert vlcli(["cache", "clear", "features", "--yes"]) == 0
    assert sorted(path.name for path in (home / "cache").iterdir()) == ["link", "weights.bin"]
    assert vlcli(["cache", "clear", "--yes"]) == 0
    assert list((home / "cache").iterdir()) == [] and (folder / "outside" / "keep").read_text() == "kept"
    assert (home / "stores").is_dir()
