"""The stable surface of the plugin API, as text to compare: `python -m vlcli.plugin_tools.surface FILE` writes it."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

MODULES = ("vlcli.api", "vlcli.align", "vlcli.data", "vlcli.train", "vlcli.evaluate", "vlcli.testing")


def stable_surface() -> dict[str, Any]:
    """Module -> public name -> what a plugin can see of it; and the hooks with what they yield."""
    from vlcli.hookspecs import HOOKS

    surface: dict[str, Any] = {"hooks": {name: spec.__name__ for name, (_, spec) in sorted(HOOKS.items())}}
    for name in MODULES:
        module = importlib.import_module(name)
        public = sorted(getattr(module, "__all__", []))
        surface[name] = {symbol: describe(getattr(module, symbol)) for symbol in public}
    return surface


def describe(value: Any) -> Any:
    """A class as its members, a function as its signature, anything else as the name of its type."""
    if inspect.isclass(value):
        return describe_class(value)
    if callable(value) and not isinstance(value, type) and inspect.isfunction(value):
        return str(inspect.signature(value))
    return type(value).__name__


def describe_class(value: type) -> dict[str, str]:
    """Public members that vlcli itself defines, inherited ones included; those of torch and others are theirs."""
    members: dict[str, str] = {}
    for owner in reversed([base for base in value.__mro__ if base.__module__.split(".")[0] == "vlcli"]):
        for name, annotation in vars(owner).get("__annotations__", {}).items():
            if not name.startswith("_"):
                members[name] = str(annotation)
        for name, member in vars(owner).items():
            if name.startswith("_") and name != "__init__":
                continue
            function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
            if inspect.isfunction(function):
                members[name] = str(inspect.signature(function))
            elif isinstance(member, property):
                members[name] = "property"
            elif isinstance(member, value):
                # Members of an enumeration.
                members[name] = repr(getattr(member, "value", member))
    return dict(sorted(members.items()))


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Differences for a reader: `- ` what is gone or was, `+ ` what is new or is."""
    old, new = flatten(before), flatten(after)
    lines = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            lines += [f"- {key}: {old[key]}"] if key in old else []
            lines += [f"+ {key}: {new[key]}"] if key in new else []
    return lines


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as `a.b.c` -> text."""
    flat: dict[str, str] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat[f"{prefix}{key}"] = "{}"
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(stable_surface(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
