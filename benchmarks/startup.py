"""How quickly `vlcli --help` answers, with 8 and with 50 plugins, beside a bare `import typer` and `llm --help`.

    python benchmarks/startup.py --out startup.json [--quick]

Runs take turns, so that a busy machine slows all of them alike. `llm` is measured where it is installed, in an
environment of its own if `VLCLI_BENCH_LLM` names its command there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import common
from common import Part, Report, Settings, Spec

PLUGIN = """from vlcli.api import FilterSpec, hookimpl


@hookimpl
def vlcli_filters():
    yield FilterSpec(name="all", summary="keeps everything", target="{module}.filters:keep")
"""
COUNT = """
import json, sys
from vlcli.cli.main import run
run(["--help"])
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def make_site(folder: Path, plugins: int) -> Path:
    """A folder with so many trivial plugins, laid out as an installer does."""
    for number in range(plugins):
        name, module = f"trivial-{number}", f"vlcli_trivial_{number}"
        (folder / module).mkdir(parents=True)
        (folder / module / "__init__.py").write_text(PLUGIN.format(module=module))
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vlcli-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[vlcli.plugins.v1]\n{name} = {module}\n")
    return folder


def environment(site: Path | None, home: Path) -> dict[str, str]:
    """The process environment with one site, without this user's settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("VLCLI_", "PYTHON"))}
    return {**kept, "VLCLI_HOME": str(home), **({"PYTHONPATH": str(site)} if site else {})}


def run(command: list[str], variables: dict[str, str]) -> None:
    """Run a command to its end."""
    subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)


def llm_command() -> str | None:
    """Where `llm` lies: `$VLCLI_BENCH_LLM`, beside this Python, or on the path."""
    named = os.environ.get("VLCLI_BENCH_LLM")
    return named or shutil.which("llm", path=str(Path(sys.executable).parent)) or shutil.which("llm")


def measure(report: Report, settings: Settings) -> None:
    """All rows."""
    with tempfile.TemporaryDirectory(prefix="vlcli-startup-") as folder:
        measure_in(Path(folder), report, settings)


def measure_in(scratch: Path, report: Report, settings: Settings) -> None:
    """The rows, with sites of plugins in a scratch folder."""
    runs = settings.pick(20, 1)
    home = scratch / "home"
    home.mkdir()
    few, many = make_site(scratch / "few", 8), make_site(scratch / "many", 50)
    vlcli = [sys.executable, "-m", "vlcli", "--help"]
    cases: dict[str, tuple[list[str], dict[str, str]]] = {
        "python": ([sys.executable, "-c", "pass"], environment(None, home)),
        "import typer": ([sys.executable, "-c", "import typer"], environment(None, home)),
        "8 plugins": (vlcli, environment(few, home)),
        "50 plugins": (vlcli, environment(many, home)),
    }
    llm = llm_command()
    if llm is not None:
        cases["llm"] = ([llm, "--help"], environment(None, home))
    # The warm-up round only writes byte code.
    times = common.interleave({name: partial(run, *case) for name, case in cases.items()}, runs)
    medians = common.medians(times)
    listed = subprocess.run([sys.executable, "-c", COUNT], env=environment(few, home), capture_output=True, text=True)
    modules = json.loads(listed.stderr.splitlines()[-1])
    heavy = sorted({"torch", "numpy", "transformers", "pydantic"} & set(modules))
    peers = {f"{name}, s": value for name, value in medians.items()}
    detail = f"median of {runs} interleaved runs"
    report.add("help, 8 plugins", medians["8 plugins"], peers=peers, detail=detail)
    report.add("help, 50 / 8 plugins", common.ratio(times["50 plugins"], times["8 plugins"]), detail=detail)
    report.add("help / import typer", common.ratio(times["8 plugins"], times["import typer"]),
               detail=f"{detail}; 8 plugins")  # fmt: skip
    report.add("modules of help", len(modules), detail=f"8 plugins; heavy ones: {', '.join(heavy) or 'none'}")
    if llm is None:
        report.fill("llm is not installed (set VLCLI_BENCH_LLM to its command)")
    else:
        report.add("help / llm --help", common.ratio(times["8 plugins"], times["llm"]), detail=f"{detail}; 8 plugins")


PARTS = (
    Part(
        "startup",
        (
            Spec("help, 8 plugins", "start-up", "s", None),
            Spec("help, 50 / 8 plugins", "start-up", "ratio", 1.5),
            Spec("help / import typer", "start-up", "ratio", None),
            Spec("modules of help", "start-up", "modules", 300),
            Spec("help / llm --help", "start-up", "ratio", 0.35),
        ),
        measure,
    ),
)

if __name__ == "__main__":
    common.main(__doc__, PARTS)
