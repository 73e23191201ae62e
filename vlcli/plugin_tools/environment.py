"""The Python environment that vlcli runs in, and how packages get into it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vlcli.errors import VlcliError


@dataclass(frozen=True)
class Environment:
    """An environment.

    Attributes:
        kind: `uv tool`, `pipx`, `venv`, `conda` or `system`.
        prefix: its folder.
        has_pip: whether `python -m pip` works in it.
        managed: whether the operating system's package manager claims it (PEP 668).
    """

    kind: str
    prefix: Path
    has_pip: bool
    managed: bool


def detect() -> Environment:
    """The environment of this process."""
    prefix = Path(sys.prefix)
    virtual = sys.prefix != sys.base_prefix
    if (prefix / "uv-receipt.toml").exists():
        kind = "uv tool"
    elif (prefix / "pipx_metadata.json").exists():
        kind = "pipx"
    elif virtual:
        kind = "venv"
    elif (prefix / "conda-meta").is_dir():
        kind = "conda"
    else:
        kind = "system"
    managed = not virtual and (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").exists()
    return Environment(kind, prefix, importlib.util.find_spec("pip") is not None, managed)


def require_pip(arguments: Sequence[str], environment: Environment | None = None) -> None:
    """Say what to do where pip can not be used.

    Args:
        arguments: of the pip command that would be run, for the advice.

    Raises:
        VlcliError: P311 without pip, P312 in an environment that the operating system manages.
    """
    found = environment or detect()
    if found.managed:
        raise VlcliError("P312", str(found.prefix), "the operating system manages this Python",
                         "install vlcli in a virtual environment: python -m venv, pipx or uv tool")  # fmt: skip
    if found.has_pip:
        return
    words = " ".join(arguments)
    if found.kind == "uv tool" or shutil.which("uv"):
        remedy = f"run `uv pip {words} --python {sys.executable}`, then `vlcli plugins doctor`"
        if found.kind == "uv tool":
            remedy += "; `uv tool upgrade` forgets it, `--with` of `uv tool install` does not"
    else:
        remedy = f"run `{sys.executable} -m ensurepip`, then the same command again"
    raise VlcliError("P311", str(found.prefix), f"there is no pip in this environment ({found.kind})", remedy)


def run_pip(arguments: Sequence[str], *, show: bool = False) -> subprocess.CompletedProcess[str]:
    """Run pip in a subprocess of this environment's Python; with `show` its output goes to stderr as it comes."""
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    if show:
        # File descriptor 2 rather than sys.stderr, which may be a stream without one.
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, text=True, check=False)
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
