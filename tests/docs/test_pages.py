"""The pages agree with the code: generated parts, excerpts, commands, and what getting-started tells to run."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from vlcli.cli.main import app, as_command, run
from vlcli.plugins import load_plugins
from vlcli.registry import import_target
from vlcli.verbs import CORE_COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXCERPT = re.compile(r"<!-- from: (\S+) -->\n```python\n(.*?)```", re.DOTALL)
TO_RUN = re.compile(r"<!-- run -->\n```sh\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def build_reference() -> ModuleType:
    """`docs/build_reference.py` as a module."""
    spec = importlib.util.spec_from_file_location("build_reference", DOCS / "build_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_up_to_date(build_reference: ModuleType) -> None:
    for path, text in build_reference.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"run: python docs/build_reference.py ({path.name})"


def test_reference_does_not_depend_on_the_terminal(
    build_reference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = build_reference.reference_page()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERMINAL_WIDTH", "40")
    assert build_reference.reference_page() == wide


def test_every_command_is_in_the_reference() -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    for verb in CORE_COMMANDS:
        assert f"\n## vlcli {verb}\n" in text
    assert "\n### vlcli store repair\n" in text
    assert "`--resume RUN`" in text


def evidence(passed: bool) -> dict[str, Any]:
    """An evidence file's content."""
    value = {"mean": 0.4125, "ci95": [0.4, 0.425], "values": [0.4, 0.425]}
    condition = {"text": "a < b", "passed": passed, "difference": -0.1, "ci95": [-0.2, 0.0], "margin": 0.05}
    return {"schema": 1, "method": "toy", "paper": "A paper", "claim": "It helps.", "data": "d", "metric": "test/R@1",
            "seeds": [1, 2], "arms": {"plain": {"test/R@1": value}}, "conditions": [condition], "passed": passed,
            "negative_control": condition | {"passed": False}, "seconds": 90.0, "device": "cpu",
            "command": "vlcli -q reproduce toy --out /somewhere/else"}  # fmt: skip


@pytest.mark.parametrize(("passed", "word"), [(True, "reproduced"), (False, "**not reproduced**")])
def test_evidence_is_told_whichever_way_it_turned_out(
    build_reference: ModuleType, tmp_path: Path, passed: bool, word: str
) -> None:
    import json

    (tmp_path / "toy.json").write_text(json.dumps(evidence(passed)), encoding="utf-8")
    (tmp_path / "bench.json").write_text(json.dumps({"schema": 1, "rows": [], "machine": "m"}), encoding="utf-8")
    section = build_reference.evidence_section(tmp_path)
    assert f"| [toy](#toy) | {word} | – | A paper |" in section
    assert "| `plain` | 0.412 (0.400 – 0.425) |" in section
    assert "| a &lt; b | -0.100 (-0.200 – +0.000) | +0.050 | " + ("holds |" if passed else "**fails** |") in section
    assert "fails, as it should" in section
    assert "`vlcli reproduce toy`" in section
    assert "not measured" in section, "methods without evidence are listed too"


def test_a_method_without_evidence_is_not_measured(build_reference: ModuleType, tmp_path: Path) -> None:
    assert "| mod-x | not measured | core/mod-x |" in build_reference.evidence_section(tmp_path)


def test_excerpts_are_the_code() -> None:
    found = [pair for page in PAGES for pair in EXCERPT.findall(page.read_text(encoding="utf-8"))]
    assert len(found) >= 8
    for name, block in found:
        assert block in (ROOT / name).read_text(encoding="utf-8"), f"no longer in {name}:\n{block}"


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every vlcli command in a page's shell blocks."""
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language not in ("sh", "console"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            if language == "console" and not line.startswith("$ "):
                continue
            for text in re.split(r" && | \| ", line.removeprefix("$ ").split("#")[0]):
                if text.startswith("vlcli "):
                    yield shlex.split(text)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    groups = {entry.spec.name: entry.spec.target for entry in load_plugins().registry.list("command")}
    root = typer.main.get_command(app)
    root_options = {option for parameter in root.params for option in parameter.opts} | {"--help", "-h"}
    for words in commands(page):
        command: Any = root
        options = set(root_options)
        for word in words:
            if word.startswith("-") and word != "-":
                assert word.split("=")[0] in options, f"{page.name}: vlcli {' '.join(words)}: no option {word}"
            elif command is root:
                target = CORE_COMMANDS[word][0] if word in CORE_COMMANDS else groups.get(word)
                assert target is not None, f"{page.name}: no verb {word}"
                command = as_command(import_target(target), word)
                options |= {
                    option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]
                }
            elif getattr(command, "commands", None):
                assert word in command.commands, f"{page.name}: no command {' '.join(words)}"
                command = command.commands[word]
                options |= {
                    option for parameter in command.params for option in [*parameter.opts, *parameter.secondary_opts]
                }


def test_getting_started_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    blocks = TO_RUN.findall((DOCS / "getting-started.md").read_text(encoding="utf-8"))
    lines = [line for block in blocks for line in block.splitlines() if line]
    assert len(lines) >= 10
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "vlcli"
        assert run(words[1:]) == 0, f"{line}\n{capsys.readouterr()}"
        assert capsys.readouterr().out.strip() or words[1:] == ["store", "list"], line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
