"""What `vlcli --help` and <TAB> import, and how they answer."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

COUNT = """
import json, os, sys
from vlcli.cli.main import run
code = run({arguments!r})
print(json.dumps({{"code": code, "modules": sorted(sys.modules)}}), file=sys.stderr)
"""
# Typer itself imports pydantic to convert parameters, though not for `--help`.
HEAVY = {"torch", "numpy", "transformers", "PIL", "sklearn", "pyarrow"}


def modules_after(site: Any, arguments: list[str], **environment: str) -> tuple[str, set[str]]:
    """stdout and the modules that a run of the command line leaves in `sys.modules`."""
    result = site.python("-c", COUNT.format(arguments=arguments), **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout, set(json.loads(result.stderr.splitlines()[-1])["modules"])


def test_help_is_light(site: Any) -> None:
    output, modules = modules_after(site, ["--help"])
    assert "embed" in output
    assert not modules & (HEAVY | {"pydantic"})
    assert len(modules) <= 300


@pytest.mark.parametrize("arguments", [["plugins", "list"], ["plugins", "--help"]])
def test_plugins_can_be_listed_without_heavy_modules(site: Any, arguments: list[str]) -> None:
    output, modules = modules_after(site, arguments)
    assert output
    assert not modules & HEAVY


def test_fifty_plugins_add_two_modules_each(site: Any) -> None:
    _, before = modules_after(site, ["--help"])
    for number in range(50):
        site.add(f"trivial-{number}", "@hookimpl\ndef vlcli_filters(): return []")
    output, after = modules_after(site, ["plugins", "list"])
    assert output.count("trivial-") == 100  # name and distribution
    assert not after & HEAVY
    assert len({name for name in after - before if name.startswith("vlcli_trivial")}) == 50


def test_help_names_the_commands_of_plugins_without_loading_them(site: Any) -> None:
    site.add("shout", "@hookimpl\ndef vlcli_commands(): yield CommandSpec(name='shout', summary='Loud.', "
             "target='vlcli_shout.app:app')", files={"app.py": "raise RuntimeError"})  # fmt: skip
    output, modules = modules_after(site, ["--help"])
    assert re.search(r"shout +Loud. \[shout\]", output)
    assert "vlcli_shout.app" not in modules


def complete(site: Any, shell: str, line: str) -> tuple[list[str], set[str]]:
    """The answers to <TAB> at the end of `line`, and the modules that it took."""
    words = line.split(" ")
    environment = {
        "_VLCLI_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }  # fmt: skip
    output, modules = modules_after(site, [], **environment)
    return output.splitlines(), modules


GREET = """
import typer
from typing import Annotated
app = typer.Typer()
@app.command()
def hail(space: Annotated[str, typer.Option()] = "", store: Annotated[str, typer.Option()] = ""): ...
@app.command()
def wave(method: str): ...
"""


@pytest.fixture
def completing(site: Any) -> Any:
    site.add("greeter", """
        @hookimpl
        def vlcli_commands(): yield CommandSpec(name="greet", summary="Greet.", target="vlcli_greeter.app:app")
        @hookimpl
        def vlcli_spaces(): yield SpaceSpec(name="meadow", summary="a space", target="vlcli_greeter.x:y")
        @hookimpl
        def vlcli_methods(): yield MethodSpec(name="mowing", summary="a method", target="vlcli_greeter.x:y")
        @hookimpl
        def vlcli_datasets(): yield DatasetSpec(name="grass", summary="data", target="vlcli_greeter.x:y")
        @hookimpl
        def vlcli_recipes(): yield RecipeFolderSpec(package="vlcli_greeter")
    """, files={"app.py": GREET, "recipes/mow.toml": "schema = 1", "recipes/_base.toml": ""})  # fmt: skip
    site.add("broken", "raise RuntimeError('must not reach the prompt')")
    (site.home / "stores" / "photos").mkdir(parents=True)
    return site


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("vlcli gre", "greet"), ("vlcli greet ha", "hail"), ("vlcli greet hail --space mea", "meadow"),
        ("vlcli spaces show greeter/m", "greeter/meadow"), ("vlcli run mo", "mow"), ("vlcli eval mead", "meadow"),
        ("vlcli greet hail --store ph", "photos"), ("vlcli greet wave mow", "mowing"),
        ("vlcli plugins show gree", "greeter"), ("vlcli plugins doctor gree", "greeter"),
        ("vlcli greet hail --sp", "--space"),
    ],
)  # fmt: skip
def test_completion(completing: Any, shell: str, line: str, expected: str) -> None:
    output, modules = complete(completing, shell, line)
    assert any(expected in answer for answer in output), output
    assert not modules & HEAVY


def test_completers_know_recipes_and_data_sets(completing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlcli.cli.completion import COMPLETERS
    from vlcli.cli.state import State

    monkeypatch.chdir(completing.home)
    (completing.home / "mine.toml").write_text("")
    names = {kind: [name for name, _ in COMPLETERS[kind](State())] for kind in ("recipe", "data", "plugin")}
    assert {"mow", "greeter/mow", "mine.toml"} <= set(names["recipe"]) and "_base" not in names["recipe"]
    assert "grass" in names["data"]
    assert {"greeter", "broken"} <= set(names["plugin"])
