"""Fake installations: distributions written into a folder that stands on `sys.path`."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import sysconfig
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HEAD = "from vlcli.api import *\n"


@dataclass
class Site:
    """A folder like site-packages; distributions are added file by file, as an installer would."""

    folder: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        name: str,
        code: str | bytes = "",
        *,
        distribution: str = "",
        group: str = "vlcli.plugins.v1",
        value: str = "",
        entry_points: str | bytes | None = None,
        metadata: str | None = None,
        files: dict[str, str] | None = None,
        requires: tuple[str, ...] = ("vlcli",),
    ) -> str:
        """Install a plugin; returns the name of its module."""
        distribution = distribution or f"vlcli-{name}"
        module = distribution.replace("-", "_").lower()
        package = self.folder / module
        package.mkdir()
        source = code if isinstance(code, bytes) else (HEAD + textwrap.dedent(code)).encode()
        (package / "__init__.py").write_bytes(source)
        for path, text in (files or {}).items():
            (package / path).parent.mkdir(parents=True, exist_ok=True)
            (package / path).write_text(textwrap.dedent(text))
        info = self.folder / f"{module}-1.0.dist-info"
        info.mkdir()
        if metadata is None:
            lines = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
            metadata = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{lines}"
        if metadata:
            (info / "METADATA").write_text(metadata)
        if entry_points is None:
            entry_points = f"[{group}]\n{name} = {value or module}\n"
        (info / "entry_points.txt").write_bytes(
            entry_points if isinstance(entry_points, bytes) else entry_points.encode()
        )
        # The import system remembers folders by their time of change, which is coarser than a test is fast.
        importlib.invalidate_caches()
        return module

    def run(self, *arguments: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `vlcli` in a process that sees this site besides the real one."""
        return self.python("-m", "vlcli", *arguments, timeout=timeout, **environment)

    def several(self, *commands: list[str], timeout: float = 120) -> list[tuple[int, str, str]]:
        """Run commands one after the other in one process, which imports torch once: code, stdout, stderr of each."""
        result = self.python("-c", SEVERAL, json.dumps(commands), timeout=timeout)
        assert result.returncode == 0, result.stderr
        return [(code, output, errors) for code, output, errors in json.loads(result.stdout.splitlines()[-1])]

    def python(self, *arguments: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python in a process that sees this site besides the real one."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("VLCLI_")}
        merged = {
            **inherited, "PYTHONPATH": str(self.folder), "VLCLI_HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1", "COLUMNS": "100", **self.environment, **environment,
        }  # fmt: skip
        return subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=timeout, env=merged, cwd=self.home
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty site, visible to this process and to `site.run`; no third-party state leaks in or out."""
    folder, home = tmp_path / "site", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("VLCLI_HOME", str(home))
    for name in ("VLCLI_DISABLE_PLUGINS", "VLCLI_STRICT_PLUGINS", "VLCLI_PLUGIN_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    yield Site(folder, home)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def site_class() -> type[Site]:
    """For fixtures of a wider scope."""
    return Site


@dataclass
class Rebuilt:
    """A virtual environment that sees everything installed here, and takes more without touching it."""

    folder: Path

    def python(self, *arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        """Run its Python: nothing is asked of a network, distributions are built with the tools that are here."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("VLCLI_", "PYTEST_"))}
        environment = {
            **inherited, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "VLCLI_HOME": str(self.folder / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [str(self.folder / "bin" / "python"), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment, cwd=self.folder
        )

    def vlcli(self, *commands: list[str]) -> list[tuple[int, str, str]]:
        """Run commands of vlcli one after the other in one process, which imports torch once: code, stdout, stderr."""
        result = self.python("-c", SEVERAL, json.dumps(commands))
        assert result.returncode == 0, result.stderr
        return [(code, output, errors) for code, output, errors in json.loads(result.stdout.splitlines()[-1])]


SEVERAL = """
import contextlib, io, json, sys
from vlcli.cli.main import run
results = []
for arguments in json.loads(sys.argv[1]):
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = run(arguments)
    results.append([int(code), output.getvalue(), errors.getvalue()])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Rebuilt:
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    site = next((folder / "lib").glob("python*/site-packages"))
    # addsitedir rather than a plain path: the editable installs here are .pth files themselves.
    (site / "base.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return Rebuilt(folder)
