"""Installing plugins: pip in a subprocess, held by constraints to the packages that vlcli stands on."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vlcli.errors import VlcliError
from vlcli.plugin_tools.environment import require_pip, run_pip
from vlcli.plugin_tools.names import normal
from vlcli.plugins import find_installed

# Another version of one of these under an installed vlcli breaks more than the new plugin gains.
PINNED = ("torch", "torchvision", "torchaudio", "numpy", "transformers", "vlcli")


@dataclass(frozen=True)
class Change:
    """One distribution that an installation would add or replace.

    Attributes:
        name, version: what would be installed.
        before: the version that is installed now, or None.
        requested: named by the user, rather than needed by something.
        source: where it would come from.
        editable: installed in place.
    """

    name: str
    version: str
    before: str | None
    requested: bool
    source: str
    editable: bool

    def line(self) -> str:
        """The change for a reader."""
        what = "add" if self.before is None else "reinstall" if self.before == self.version else "change"
        versions = self.version if self.before in (None, self.version) else f"{self.before} -> {self.version}"
        return f"  {what:<9} {self.name} {versions}  ({self.source})"


@dataclass(frozen=True)
class Wish:
    """What the user wants: a name with or without version, a path, a wheel or an address; perhaps in place."""

    spec: str
    editable: bool = False

    def arguments(self) -> list[str]:
        """As pip takes it. A folder that exists is meant as such even without a slash."""
        spec = str(Path(self.spec).expanduser()) if Path(self.spec).expanduser().exists() else self.spec
        if "/" not in spec and Path(spec).is_dir():
            spec = f"./{spec}"
        return ["-e", spec] if self.editable else [spec]


def installed_version(name: str) -> str | None:
    """The installed version of a distribution, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@contextmanager
def constraints_file() -> Iterator[Path]:
    """A constraints file that pins what vlcli stands on to what is installed."""
    with tempfile.TemporaryDirectory(prefix="vlcli-install-") as folder:
        path = Path(folder, "constraints.txt")
        pins = [(name, installed_version(name)) for name in PINNED]
        path.write_text("".join(f"{name}=={held}\n" for name, held in pins if held is not None), encoding="utf-8")
        yield path


def plan(wishes: Sequence[Wish]) -> list[Change]:
    """What pip would do; nothing is changed.

    Raises:
        VlcliError: P311 or P312 where pip can not be used, P313 when a pinned package would have to change, P314 when
            pip can not find or build something.
    """
    arguments = [part for wish in wishes for part in wish.arguments()]
    require_pip(["install", *arguments])
    with constraints_file() as constraints:
        report = constraints.with_name("report.json")
        result = run_pip(["install", "--dry-run", "--report", str(report), "-c", str(constraints), *arguments])
        if result.returncode != 0:
            raise explain_failure(arguments, result.stdout, result.stderr)
        content: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    changes = [change_from(item) for item in content["install"]]
    for change in changes:
        if change.name in PINNED and change.before not in (None, change.version):
            raise VlcliError("P313", change.name, f"the plan would change it from {change.before} to {change.version}",
                             "install that plugin in an environment of its own")  # fmt: skip
    return changes


def change_from(item: dict[str, Any]) -> Change:
    """One entry of pip's report."""
    name = str(item["metadata"]["name"])
    download = item["download_info"]
    url = str(download["url"])
    source = url if item.get("is_direct") or url.startswith("file:") else "package index"
    return Change(name, str(item["metadata"]["version"]), installed_version(name), bool(item.get("requested")), source,
                  bool(download.get("dir_info", {}).get("editable")))  # fmt: skip


def explain_failure(arguments: Sequence[str], stdout: str, stderr: str) -> VlcliError:
    """pip's failure in one sentence; both sides of a conflict are named."""
    where = " ".join(argument for argument in arguments if argument != "-e")
    lines = [line.strip() for line in stdout.splitlines()]
    wanted = [line for line in lines if " depends on " in line]
    held = [line.removeprefix("The user requested (constraint) ") for line in lines if "(constraint)" in line]
    if held:
        sides = "; ".join(dict.fromkeys(wanted)) or "it needs another version"
        return VlcliError("P313", where, f"{sides}, but this environment holds {', '.join(dict.fromkeys(held))}",
                          "ask for a version of the plugin that fits, or use an environment of its own")  # fmt: skip
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    reason = (errors or [line for line in stderr.splitlines() if line.strip()] or ["pip failed without a word"])[-1]
    if errors and "No matching distribution" in errors[-1] and len(errors) > 1:
        reason = errors[0].split(" (from versions", 1)[0]
    return VlcliError("P314", where, f"pip refuses ({reason})", "check the name, the path and the network")


def install(wishes: Sequence[Wish]) -> None:
    """Install, with pip's output on stderr.

    Raises:
        VlcliError: P315 when pip fails; what was there before is what pip leaves.
    """
    arguments = [part for wish in wishes for part in wish.arguments()]
    require_pip(["install", *arguments])
    with constraints_file() as constraints:
        result = run_pip(["install", "--quiet", "-c", str(constraints), *arguments], show=True)
    importlib.invalidate_caches()
    if result.returncode != 0:
        raise VlcliError("P315", " ".join(arguments), f"pip ended with exit code {result.returncode}",
                         "its reasons are above; `vlcli plugins list` shows what is installed")  # fmt: skip


def uninstall(distributions: Sequence[str]) -> None:
    """Remove distributions.

    Raises:
        VlcliError: P315 when pip fails.
    """
    require_pip(["uninstall", *distributions])
    result = run_pip(["uninstall", "--quiet", "--yes", *distributions], show=True)
    importlib.invalidate_caches()
    if result.returncode != 0:
        raise VlcliError("P315", " ".join(distributions), f"pip ended with exit code {result.returncode}",
                         "its reasons are above")  # fmt: skip


def plugins_of(distribution: str) -> list[str]:
    """Names of the plugins that an installed distribution registers."""
    wanted = normal(distribution)
    return [found.entry_point.name for found in find_installed() if normal(found.distribution) == wanted]
