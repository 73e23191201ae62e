"""`vlcli plugins new` for every kind: installed together, each distribution's own tests pass; then one whole life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vlcli.cli.main import run
from vlcli.cli.plugins import KINDS as NAMED_KINDS
from vlcli.errors import VlcliError
from vlcli.plugin_tools.scaffold import KINDS, new_plugin, render

REQUIRES_PLUGINS = ("encoder", "objective", "method", "recipe", "generator")


def test_the_command_line_names_every_kind() -> None:
    assert tuple(KINDS) == NAMED_KINDS


@pytest.mark.timeout(280)
def test_every_kind_installs_and_passes_its_own_tests(rebuilt: Any, tmp_path: Path) -> None:
    folders = [new_plugin(f"my-{kind}", kind, tmp_path) for kind in KINDS]
    flags = [argument for folder in folders for argument in ("-e", str(folder))]
    installed = rebuilt.python("-m", "pip", "install", "-q", "--no-deps", *flags)
    assert installed.returncode == 0, installed.stderr
    tests = [str(folder / "tests") for folder in folders]
    result = rebuilt.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *tests)
    assert result.returncode == 0, result.stdout[-4000:]
    names = [f"my-{kind}" for kind in KINDS]
    listed = json.loads(rebuilt.python("-m", "vlcli", "plugins", "list", "--json").stdout)["plugins"]
    assert {p["name"] for p in listed if p["state"] == "ok"} >= set(names)
    removed = rebuilt.python("-m", "vlcli", "plugins", "uninstall", "--yes", *names)
    assert removed.returncode == 0, removed.stderr


@pytest.mark.timeout(280)
def test_a_method_of_a_stranger_from_new_to_run(rebuilt: Any, tmp_path: Path) -> None:
    """`plugins new`, `install`, `run`, `methods`, then the environment is rebuilt and `sync` brings it back."""

    source = str(tmp_path / "vlcli-own-way")
    short = ["--set", "train.steps=4", "--set", "data.limit=16"]
    made, refused, installed, trained, reproduced = rebuilt.vlcli(
        ["plugins", "new", "own-way", "--kind", "method", "--dir", str(tmp_path)],
        ["plugins", "install", source],
        ["plugins", "install", "--yes", "--json", source],
        ["run", "own-way", *short, "--device", "cpu"],
        ["reproduce", "own-way", "--quick", "--json", "--device", "cpu", "--out", "claim"],
    )
    assert made[0] == 0, made
    assert refused[0] == 2 and "give --yes" in refused[2] and "add       vlcli-own-way" in refused[1]
    assert installed[0] == 0, installed
    payload = json.loads(installed[1])
    assert payload["plan"][0]["name"] == "vlcli-own-way" and payload["plan"][0]["before"] is None
    assert payload["installed"][0]["plugins"] == ["own-way"] and payload["doctor"][0]["ok"]
    assert trained[0] == 0, trained
    assert reproduced[0] == 0, reproduced
    evidence = json.loads(reproduced[1])
    assert evidence["method"] == "own-way" and evidence["quick"] and evidence["conditions"] and evidence["arms"]
    [run_folder] = (rebuilt.folder / "runs").iterdir()
    assert (run_folder / "space" / "space.json").exists()
    assert rebuilt.python("-m", "pip", "uninstall", "-q", "-y", "vlcli-own-way").returncode == 0
    before, synced, after, again = rebuilt.vlcli(
        ["plugins", "list"], ["plugins", "sync", "--yes"], ["plugins", "list"], ["plugins", "sync"]
    )
    assert "own-way" not in before[1]
    assert synced[0] == 0, synced
    assert "own-way" in after[1]
    assert "is installed" in again[1]


def test_what_would_change_a_pinned_package_is_refused(rebuilt: Any, tmp_path: Path) -> None:
    folder = new_plugin("greedy", "metric", tmp_path)
    project = folder / "pyproject.toml"
    project.write_text(project.read_text().replace('"numpy>=2"', '"numpy<2"'))
    result = rebuilt.python("-m", "vlcli", "plugins", "install", "--yes", str(folder))
    assert result.returncode == 4
    assert "error[P313]" in result.stderr
    assert "vlcli-greedy 0.1.0 depends on numpy<2, but this environment holds numpy==" in result.stderr


def test_names_that_can_not_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Upper", "a--b", "-x", "core", "json", "9lives", "a/b", "../up"):
        assert run(["plugins", "new", "--kind", "metric", "--dir", str(tmp_path), "--", name]) == 2, name
        assert "U310" in capsys.readouterr().err
    assert run(["plugins", "new", "search", "--kind", "command", "--dir", str(tmp_path)]) == 2
    assert "a verb of vlcli itself" in capsys.readouterr().err
    assert run(["plugins", "new", "fine", "--kind", "wizard", "--dir", str(tmp_path)]) == 2
    assert "choose from encoder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    new_plugin("twice", "metric", tmp_path)
    with pytest.raises(VlcliError, match="is there already"):
        new_plugin("twice", "codec", tmp_path)


@pytest.mark.parametrize("kind", list(KINDS))
def test_files_are_complete(kind: str) -> None:
    files = render("a-b2", kind)
    assert {"pyproject.toml", "README.md", "tests/test_a_b2.py", "src/vlcli_a_b2/plugin.py"} <= set(files)
    for path, text in files.items():
        assert "{{" not in text and text.endswith("\n"), path
        if path.endswith(".py"):
            compile(text, path, "exec")
    needs = "vlcli-images" in files["pyproject.toml"]
    assert needs == (kind in REQUIRES_PLUGINS)
