"""Recipes that try to run code, read what is not theirs, or write outside their run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

TRAINS = """\
schema = 1
name = "evil"
[data]
use = "images/shapes"
options = {{ size = 40 }}
[towers.images]
use = {tower}
[towers.text]
use = "text/small-gru"
[objective]
use = {objective}
[train]
steps = 1
batch_size = 4
"""
STEP = """\
schema = 1
name = "evil"
[steps.one]
use = "{verb}"
{lines}
"""


def refused_recipes(outside: Path) -> dict[str, str]:
    """Name -> a recipe that `recipes check` must refuse. `outside` is a file that is no recipe's business."""
    code = (
        "os:system", "builtins:exec", "subprocess:Popen", "vlcli.cli.main:run", "../evil:run", "/bin/sh",
        "images/../../evil", "os.system('id')", "{__import__('os')}", "!!python/object/apply:os.system",
    )  # fmt: skip
    found = {}
    for name in code:
        text = f'"{name}"'
        found[f"tower {name}"] = TRAINS.format(tower=text, objective='"core/info-nce"')
        found[f"objective {name}"] = TRAINS.format(tower='"images/small-cnn"', objective=text)
        found[f"step {name}"] = STEP.format(verb=name, lines="")
    for name in (
        str(outside),
        "../../../etc/passwd",
        "/etc/passwd",
        "/dev/zero",
        "~/.ssh/id_rsa",
        "http://localhost/x",
    ):
        found[f"extends {name}"] = f'schema = 1\nname = "evil"\nextends = ["{name}"]\n'
    for target in (
        "../escaped.html",
        "/tmp/escaped.html",
        "a/../../escaped.html",
        "~/escaped.html",
        "..\\\\escaped.html",
    ):
        search = f'store = "@run/x"\nqueries = ["x"]\npage = "{target}"'
        found[f"search page to {target}"] = STEP.format(verb="search", lines=search)
        found[f"preview to {target}"] = STEP.format(
            verb="preview", lines=f'data = "images/shapes"\noutput = "{target}"'
        )
    found["a Python key"] = 'schema = 1\nname = "evil"\n__class__ = 1\n'
    found["a name that is a path"] = 'schema = 1\nname = "../../evil"\n'
    found["deep nesting"] = "schema = 1\nx = " + "[" * 50_000 + "]" * 50_000 + "\n"
    found["an endless chain"] = 'schema = 1\nname = "evil"\nextends = ["./evil.toml"]\n'
    return found


def check_all(folder: Path) -> tuple[int, list[str]]:
    """How many recipes were tried, and what is wrong with those that were not refused."""
    from fuzz_targets import registry_of

    from vlcli.recipe import RecipeError, load_recipe

    registry = registry_of()
    outside = folder / "outside.txt"
    outside.write_text("SECRET-CONTENT = 1\n")
    place = folder / "inner" / "evil.toml"
    place.parent.mkdir()
    wrong = []
    recipes = refused_recipes(outside)
    for name, text in recipes.items():
        place.write_text(text)
        try:
            load_recipe(str(place), registry)
            wrong.append(f"{name}: accepted")
        except RecipeError as error:
            if "SECRET" in str(error):
                wrong.append(f"{name}: the message shows the content of another file")
    return len(recipes), wrong


def written_outside(folder: Path, before: Sequence[Path]) -> list[Path]:
    """Files that are new below a folder."""
    known = set(before)
    return sorted(path for path in folder.rglob("*") if path not in known)


def copies_stay_inside(folder: Path) -> list[str]:
    """`recipes copy` and `run` with hostile names write where they were told to, or nothing."""
    from vlcli.cli.main import run

    wrong = []
    work, elsewhere = folder / "work", folder / "elsewhere"
    for place in (work, elsewhere):
        place.mkdir()
    before = list(folder.rglob("*"))
    here = Path.cwd()
    os.chdir(work)
    try:
        with mock.patch.dict(os.environ, {"VLCLI_HOME": str(work / "home")}):
            for arguments in (["recipes", "copy", "../../etc/passwd"], ["run", "../elsewhere"], ["run", "/etc/passwd"]):
                if run(arguments) == 0:
                    wrong.append(f"{' '.join(arguments)}: accepted")
    finally:
        os.chdir(here)
    wrong += [f"written: {path}" for path in written_outside(elsewhere, before)]
    return wrong
