"""`docs/writing-a-plugin.md`, followed to the letter: its files are written, its commands run, its output compared."""

from __future__ import annotations

import re
import shlex
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-plugin.md"
BLOCK = re.compile(r"<!-- (file|run)(?:: ?(.+?))? -->\n```\w+\n(.*?)```", re.DOTALL)


def sessions(text: str) -> list[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that its output must contain."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line.strip())
    return found


def test_every_console_block_is_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```console") == len([1 for kind, _, _ in BLOCK.findall(text) if kind == "run"])
    assert text.count("```python") == len([1 for _, name, _ in BLOCK.findall(text) if name.endswith(".py")])


@pytest.mark.timeout(280)
def test_the_page_works_as_it_stands(rebuilt: Any) -> None:
    for kind, argument, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "file":
            path = rebuilt.folder / argument
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            continue
        steps = sessions(content)
        for (command, expected), (code, output) in zip(steps, execute(rebuilt, [c for c, _ in steps]), strict=True):
            assert code == int(argument or 0), f"{command}\n{output}"
            for line in expected:
                assert line in output, f"`{command}` does not print `{line}`, but:\n{output}"


def execute(rebuilt: Any, commands: list[str]) -> list[tuple[int, str]]:
    """Exit code and output of each command; neighbours that are vlcli's share a process."""
    results: list[tuple[int, str]] = []
    for is_vlcli, group in groupby(commands, key=lambda command: command.startswith("vlcli ")):
        words = [shlex.split(command)[1:] for command in group]
        if is_vlcli:
            results += [(code, output + errors) for code, output, errors in rebuilt.vlcli(*words)]
        else:
            finished = [rebuilt.python(*arguments) for arguments in words]
            results += [(result.returncode, result.stdout + result.stderr) for result in finished]
    return results
