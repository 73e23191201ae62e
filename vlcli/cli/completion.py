"""Names for the shell's <TAB>: recipes, methods, spaces, data sets, stores, plugins. Nothing heavy is imported.

A parameter is completed by what it is called: one named `space` is offered the names of spaces in every command, a
plugin's commands included. A parameter that brings its own completion keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from typer.core import CompletionItem  # type: ignore[attr-defined]

from vlcli.cli.state import State, state_of

if TYPE_CHECKING:
    from vlcli.registry import Registry

Names = Iterable[tuple[str, str]]
"""(name, one line of help)"""


def registered(kind: str) -> Callable[[State], Names]:
    """Names of a kind in the registry with their summaries, both as `plugin/name` and short where that is unique."""

    def names(state: State) -> Names:
        registry = state.registry
        every = [entry.name for entry in registry.list(kind)] + registry.names(kind)
        return [(name, registry.find(kind, name).spec.summary) for name in dict.fromkeys(every)]

    return names


def recipe_names(state: State) -> Names:
    """Recipes of all plugins, and recipe files of the current folder."""
    from pathlib import Path

    yield from ((name, "") for name in shipped_recipes(state.registry))
    yield from ((str(path), "") for path in sorted(Path().glob("*.toml")) if path.name != "pyproject.toml")


def shipped_recipes(registry: Registry) -> list[str]:
    """Names of the recipes that plugins ship, both as `plugin/name` and short where that is unique.

    `vlcli.recipe` knows them too, but importing it loads pydantic, which is too slow for <TAB>.
    """
    from pathlib import Path

    import vlcli
    from vlcli.validation import recipe_folder

    full: list[str] = []
    for plugin, spec in registry.recipe_folders:
        folder = recipe_folder(spec.package, spec.folder)
        if folder is None and spec.package == vlcli.__name__:
            # In a checkout the core's recipes lie beside the package, in a wheel inside it.
            folder = Path(vlcli.__file__).parent.parent / spec.folder
        if folder is not None:
            full += [f"{plugin}/{path.stem}" for path in folder.glob("*.toml") if not path.name.startswith("_")]
    short = [name.partition("/")[2] for name in full]
    return sorted({*full, *(part for part in short if short.count(part) == 1)})


def store_names(state: State) -> Names:
    """Stores below `$VLCLI_HOME/stores`."""
    from vlcli.runtime.paths import home

    folder = home() / "stores"
    return [(path.name, "") for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []


def plugin_names(state: State) -> Names:
    """Installed plugins, whatever state they are in; none of them is imported."""
    from vlcli.plugins import find_installed

    return [(found.entry_point.name, found.distribution) for found in find_installed()]


COMPLETERS: dict[str, Callable[[State], Names]] = {
    "space": registered("space"),
    "space_a": registered("space"),
    "space_b": registered("space"),
    "spaces": registered("space"),
    "modality": registered("modality"),
    "method": registered("method"),
    "methods": registered("method"),
    "dataset": registered("dataset"),
    "data": registered("dataset"),
    "recipe": recipe_names,
    "recipes": recipe_names,
    "store": store_names,
    "stores": store_names,
    "plugin": plugin_names,
    "plugins": plugin_names,
}
# `vlcli spaces show NAME`: the argument is called `name`, the group says of what.
GROUP_COMPLETERS: dict[str, str] = {
    "spaces": "space", "methods": "method", "data": "data", "recipes": "recipe", "store": "store", "plugins": "plugin",
    "reproduce": "method",
}  # fmt: skip


def add_completions(command: Any, group: str = "") -> Any:
    """Give every parameter of a command and its sub-commands the completion that goes with its name."""
    for parameter in command.params:
        key = GROUP_COMPLETERS.get(group, "") if parameter.name in ("name", "names") else parameter.name
        if key in COMPLETERS and parameter._custom_shell_complete is None:
            parameter._custom_shell_complete = complete_with(COMPLETERS[key])
    for child in getattr(command, "commands", {}).values():
        add_completions(child, command.name or "")
    return command


def complete_with(names: Callable[[State], Names]) -> Callable[[Any, Any, str], list[CompletionItem]]:
    """The function that Typer calls for a parameter's completions."""

    def complete(ctx: Any, parameter: Any, incomplete: str) -> list[CompletionItem]:
        found = names(state_of(ctx))
        return [CompletionItem(name, help=summary) for name, summary in found if name.startswith(incomplete)]

    return complete
