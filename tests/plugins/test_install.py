"""Plans, failures, environments and plugins.toml, without running pip."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from vlcli.cli.main import run
from vlcli.cli.plugins_install import belongs
from vlcli.errors import VlcliError
from vlcli.plugin_tools import environment, install, ledger
from vlcli.plugin_tools.environment import Environment

CONFLICT = """INFO: pip is looking
The conflict is caused by:
    vlcli-x 1.0 depends on numpy<2
    vlcli-y 2.0 depends on numpy<2.1
    The user requested (constraint) numpy==2.4.6
"""


def test_a_conflict_names_both_sides() -> None:
    error = install.explain_failure(["vlcli-x"], CONFLICT, "ERROR: ResolutionImpossible: for help visit …")
    assert error.code == "P313"
    assert "vlcli-x 1.0 depends on numpy<2; vlcli-y 2.0 depends on numpy<2.1" in error.message
    assert "holds numpy==2.4.6" in error.message


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("ERROR: Could not find a version that satisfies the requirement nope (from versions: none)\n"
         "ERROR: No matching distribution found for nope", "satisfies the requirement nope)"),
        ("ERROR: Invalid requirement: 'a b'", "Invalid requirement: 'a b'"),
        ("something odd", "something odd"),
        ("", "pip failed without a word"),
    ],
)  # fmt: skip
def test_other_failures_give_the_reason(stderr: str, reason: str) -> None:
    error = install.explain_failure(["nope"], "", stderr)
    assert error.code == "P314" and reason in error.message


def test_constraints_pin_what_vlcli_stands_on() -> None:
    with install.constraints_file() as path:
        lines = path.read_text().split()
    names = {line.partition("==")[0] for line in lines}
    assert {"torch", "numpy", "transformers", "vlcli"} <= names
    assert f"numpy=={install.installed_version('numpy')}" in lines
    assert not path.exists()


def test_a_plan_that_changes_a_pinned_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(arguments: list[str], *, show: bool = False) -> subprocess.CompletedProcess[str]:
        report = Path(arguments[arguments.index("--report") + 1])
        report.write_text('{"install": [{"metadata": {"name": "numpy", "version": "1.0"}, "download_info": '
                          '{"url": "https://example.org/numpy.whl"}}]}')  # fmt: skip
        return subprocess.CompletedProcess(arguments, 0, "", "")

    monkeypatch.setattr(install, "run_pip", pip)
    with pytest.raises(VlcliError, match=r"error\[P313\] numpy: the plan would change it from .* to 1.0"):
        install.plan([install.Wish("vlcli-x")])


@pytest.mark.parametrize(
    ("found", "code", "advice"),
    [
        (Environment("uv tool", Path("/t"), False, False), "P311", "uv pip install vlcli-x --python"),
        (Environment("venv", Path("/t"), False, False), "P311", "ensurepip"),
        (Environment("system", Path("/usr"), True, True), "P312", "virtual environment"),
    ],
)
def test_where_pip_can_not_be_used(found: Environment, code: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(VlcliError) as caught:
        environment.require_pip(["install", "vlcli-x"], found)
    assert caught.value.code == code and advice in caught.value.help
    environment.require_pip(["install"], Environment("pipx", Path("/t"), True, False))


@pytest.mark.parametrize(("marker", "kind"), [("uv-receipt.toml", "uv tool"), ("pipx_metadata.json", "pipx")])
def test_environments_are_told_apart(marker: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    assert environment.detect().kind == "venv"
    (tmp_path / marker).touch()
    assert environment.detect().kind == kind


def test_a_folder_is_meant_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert install.Wish("mine").arguments() == ["./mine"]
    assert install.Wish("mine", editable=True).arguments() == ["-e", "./mine"]
    assert install.Wish("vlcli-video>=1").arguments() == ["vlcli-video>=1"]


def test_wishes_find_their_distribution(tmp_path: Path) -> None:
    def change(name: str, source: str) -> install.Change:
        return install.Change(name, "1", None, True, source, False)

    assert belongs(install.Wish("Vlcli_Video[extra]>=1"), change("vlcli-video", "package index"))
    assert not belongs(install.Wish("vlcli-video"), change("vlcli-text", "package index"))
    assert belongs(install.Wish(str(tmp_path)), change("x", tmp_path.as_uri()))
    git = "git+https://example.org/x.git"
    assert belongs(install.Wish(git), change("x", "https://example.org/x.git"))


def test_the_ledger_keeps_what_it_does_not_know(site: Any) -> None:
    file = site.home / "plugins.toml"
    file.write_text('later = 1\ndisabled = ["a"]\n')
    ledger.record([ledger.Installed("vlcli-x", "1.0", "/x", True, ["x"])])
    ledger.record([ledger.Installed("vlcli-x", "2.0", "/x", True, ["x"]), ledger.Installed("vlcli-a", "1.0", "a")])
    table = tomllib.loads(file.read_text())
    assert table["later"] == 1 and table["disabled"] == ["a"]
    assert [(row["distribution"], row["version"]) for row in table["installed"]] == [
        ("vlcli-a", "1.0"), ("vlcli-x", "2.0"),
    ]  # fmt: skip
    ledger.forget(["vlcli-x"])
    assert [row.distribution for row in ledger.installed()] == ["vlcli-a"]


def test_disable_and_enable(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("kills", "import os\nos._exit(9)")
    assert run(["plugins", "disable", "kills"]) == 0
    assert run(["plugins", "list", "--json"]) == 0
    assert '"name": "kills"' in capsys.readouterr().out
    assert run(["plugins", "enable", "kills"]) == 0
    assert tomllib.loads((site.home / "plugins.toml").read_text())["disabled"] == []
    assert run(["plugins", "disable", "kils"]) == 4
    assert "did you mean 'kills'" in capsys.readouterr().err
    assert run(["plugins", "disable", "core"]) == 4


def test_a_plugin_that_ends_the_process_is_found_by_the_doctor(site: Any) -> None:
    site.add("kills", "import os\nos._exit(9)")
    assert site.run("plugins", "list").returncode == 9
    result = site.run("plugins", "doctor", "kills")
    assert result.returncode == 1
    assert "its process ended with exit code 9 while importing 'vlcli_kills'" in result.stdout
    assert site.run("plugins", "disable", "kills").returncode == 0
    assert site.run("plugins", "list").returncode == 0


def test_nothing_to_install_or_remove(site: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plugins", "install"]) == 2
    assert run(["plugins", "uninstall", "vlcli"]) == 4
    assert "is vlcli itself" in capsys.readouterr().err
    assert run(["plugins", "sync"]) == 0
