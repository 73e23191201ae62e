"""Pictures with a few bad ones among them, an empty home, and the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.append(str(Path(__file__).parents[1] / "shared"))

Vlcli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def quiet_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """40 pictures of four colours each, and four files that are refused; two have equal content."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(40):
        pixels = rng.integers(0, 255, (2, 2, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40 + index % 7, 32), 0).save(folder / f"p{index:02d}.png")
    (folder / "p40.png").write_bytes((folder / "p03.png").read_bytes())
    (folder / "torn.png").write_bytes((folder / "p00.png").read_bytes()[:60])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "words.jpg").write_text("no picture")
    (folder / "folder.png").mkdir()
    for file in folder.iterdir():
        # A file that is younger than two seconds gets no stored time, so runs would differ by their speed.
        os.utime(file, (10**9, 10**9))
    return folder


@pytest.fixture
def vlcli(tmp_path: Path) -> Vlcli:
    """`vlcli("embed", …)` runs the command as a user does."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "vlcli", *arguments], cwd=tmp_path, env=os.environ | variables, text=True,
            capture_output=True, timeout=240, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def registry_space() -> Any:
    """A small space of texts, and the registry."""
    from vlcli.align import Space, Tower
    from vlcli.plugins import load_plugins

    registry = load_plugins().registry
    encoder = registry.build("encoder", "text/small-gru", {"width": 8, "dim": 8})
    encoder.fit(["red cat", "green dog"])
    return Space("demo", {"text": Tower(encoder, name="text/small-gru")}).eval(), registry
