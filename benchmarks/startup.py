"""How quickly `vlcli --help` answers, with 8 and with 50 plugins, beside a bare `import typer` and `llm --help`.

    python benchmarks/startup.py [--runs 20] [--install-llm] [--out FILE]

Runs are interleaved, so that a busy machine slows all of them alike; medians are compared. `--install-llm` builds a
virtual environment for `llm` (needs the network) and compares with it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RATIO_OF_PLUGINS = 1.5
RATIO_TO_LLM = 0.35
MODULES = 300
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


def seconds(command: list[str], variables: dict[str, str]) -> float:
    """Wall time of one run."""
    started = time.perf_counter()
    subprocess.run(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return time.perf_counter() - started


def install_llm(folder: Path) -> Path:
    """A virtual environment with `llm`; the path of its command."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run([str(folder / "bin" / "pip"), "install", "-q", "llm"], check=True)
    return folder / "bin" / "llm"


def measure(runs: int, with_llm: bool, scratch: Path) -> list[dict[str, Any]]:
    """Rows as in `docs/evidence/bench.json`."""
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
    if with_llm:
        cases["llm"] = ([str(install_llm(scratch / "llm")), "--help"], environment(None, home))
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(runs + 1):
        for name, (command, variables) in cases.items():
            taken = seconds(command, variables)
            if number:  # The first round only writes byte code.
                times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    listed = subprocess.run([sys.executable, "-c", COUNT], env=environment(few, home), capture_output=True, text=True)
    modules = json.loads(listed.stderr.splitlines()[-1])
    heavy = sorted({"torch", "numpy", "transformers", "pydantic"} & set(modules))
    peers = {name: round(value, 4) for name, value in medians.items()}

    def row(name: str, value: float, unit: str, bar: float | None, detail: str) -> dict[str, Any]:
        passed = None if bar is None else value <= bar
        return {"name": name, "value": round(value, 4), "unit": unit, "bar": bar, "passed": passed, "peers": peers,
                "detail": detail}  # fmt: skip

    rows = [
        row("help, 8 plugins", medians["8 plugins"], "s", None, f"median of {runs} interleaved runs"),
        row("help, 50 / 8 plugins", medians["50 plugins"] / medians["8 plugins"], "ratio", RATIO_OF_PLUGINS, "medians"),
        row("help / import typer", medians["8 plugins"] / medians["import typer"], "ratio", None, "8 plugins"),
        row(
            "modules of help", len(modules), "modules", MODULES, f"8 plugins; heavy ones: {', '.join(heavy) or 'none'}"
        ),
    ]
    if with_llm:
        rows.append(row("help / llm --help", medians["8 plugins"] / medians["llm"], "ratio", RATIO_TO_LLM, "8 plugins"))
    return rows


def main() -> None:
    """Measure and print; exit 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--install-llm", action="store_true")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vlcli-startup-") as folder:
        rows = measure(arguments.runs, arguments.install_llm, Path(folder))
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(),
               "python": platform.python_version()}  # fmt: skip
    if arguments.out is not None:
        arguments.out.write_text(json.dumps({"schema": 1, "rows": rows, "machine": machine}, indent=1) + "\n")
    for item in rows:
        verdict = "" if item["passed"] is None else "passed" if item["passed"] else "MISSED"
        bar = "" if item["bar"] is None else f"bar {item['bar']}"
        print(f"{item['name']:<24}{item['value']:>9} {item['unit']:<8}{bar:<10}{verdict}  {item['detail']}")
    sys.exit(any(item["passed"] is False for item in rows))


if __name__ == "__main__":
    main()
