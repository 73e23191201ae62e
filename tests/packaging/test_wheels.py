"""The wheels, installed into an environment of their own, work without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [ROOT, *sorted((ROOT / "plugins").glob("vlcli-*"))]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a second environment: our wheels are its own, the dependencies come through a .pth file."""
    folder = tmp_path_factory.mktemp("wheels")
    for package in PACKAGES:
        command = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(folder / "dist"),
            package,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=200)
    wheels = sorted((folder / "dist").glob("*.whl"))
    assert len(wheels) == len(PACKAGES)
    environment = folder / "venv"
    venv.create(environment, with_pip=False)
    binary = environment / ("Scripts" if os.name == "nt" else "bin")
    purelib = Path(
        subprocess.run(
            [binary / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()
    )  # fmt: skip
    (purelib / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(binary / "python"), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--ignore-installed", *map(str, wheels)], check=True, capture_output=True, timeout=200)
    return binary


def run(binary: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the second environment, far from the checkout."""
    environment = {**os.environ, "VLCLI_HOME": str(folder / "home"), "PYTHONPATH": ""}
    return subprocess.run(
        [binary / "vlcli", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_wheels_bring_their_plugins_and_recipes(installed: Path, tmp_path: Path) -> None:
    listed = run(installed, tmp_path, "plugins", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    states = {record["name"]: record["state"] for record in json.loads(listed.stdout)["plugins"]}
    assert states == dict.fromkeys(("core", "images", "molecules", "motion", "pointclouds", "text"), "ok")
    for recipe in ("core/demo", "core/quickstart", "images/align"):
        checked = run(installed, tmp_path, "recipes", "check", recipe)
        assert checked.returncode == 0, checked.stderr


def test_wheels_are_what_runs(installed: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [installed / "python", "-c", "import vlcli, vlcli_images; print(vlcli.__file__, vlcli_images.__file__)"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert str(ROOT) not in where.replace(str(installed.parent), "")


def test_starter_weights_are_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    shown = run(installed, tmp_path, "spaces", "show", "images/starter", "--json")
    assert shown.returncode == 0, shown.stderr
