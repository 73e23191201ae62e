"""What plugins rely on changes only on purpose."""

from __future__ import annotations

import json
from pathlib import Path

from vlcli import hookspecs
from vlcli.plugin_tools.surface import changes, stable_surface

SNAPSHOT = Path(__file__).parent / "stable_surface.json"
DOCS = Path(__file__).parents[2] / "docs"


def test_the_stable_surface_is_the_committed_one() -> None:
    differences = changes(json.loads(SNAPSHOT.read_text()), stable_surface())
    assert not differences, (
        "the stable surface of the plugin API changed. Removing or changing a line breaks plugins (docs/plugins.md); "
        f"if it is meant: python -m vlcli.plugin_tools.surface {SNAPSHOT.relative_to(Path(__file__).parents[2])}\n"
        + "\n".join(differences)
    )


def test_changes_are_told() -> None:
    before = {"m": {"f": "(a)", "C": {"x": "int"}}}
    after = {"m": {"f": "(a, b=1)", "C": {"x": "int", "y": "str"}, "g": "()"}}
    assert changes(before, after) == ["+ m.C.y: str", "- m.f: (a)", "+ m.f: (a, b=1)", "+ m.g: ()"]
    assert changes(after, after) == []


def test_every_hook_and_spec_is_documented() -> None:
    page = (DOCS / "plugins.md").read_text(encoding="utf-8")
    for hook, (_, spec) in hookspecs.HOOKS.items():
        assert f"`{hook}`" in page, f"docs/plugins.md does not explain {hook}"
        assert spec.__name__ in page, f"docs/plugins.md does not name {spec.__name__}"
        assert getattr(hookspecs, hook).__doc__, f"{hook} has no docstring"
