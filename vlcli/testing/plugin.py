"""The check of a whole plugin, as `vlcli plugins doctor` makes it, inside a test."""

from __future__ import annotations

from typing import Any

from vlcli.registry import Registry


def check_plugin(name: str) -> Registry:
    """An installed plugin loads, and all that it registers resolves and is what it promises.

    Args:
        name: of its entry point.

    Returns:
        the registry of all installed plugins, for further checks.

    Raises:
        AssertionError: with everything that is not well.
    """
    from vlcli.plugin_tools.examine import check_declared_requirements, check_entry, check_recipes
    from vlcli.plugins import load_plugins

    plugins = load_plugins(strict=False)
    record = next((record for record in plugins.records if record.name == name), None)
    assert record is not None, f"no plugin '{name}' is installed: run `pip install -e .` first"
    assert record.state == "ok", f"plugin '{name}' is {record.state}: {record.error}"
    assert record.provides, f"plugin '{name}' registers nothing: is each hook marked with @hookimpl?"
    journal = Findings()
    check_declared_requirements(journal, record.distribution)
    for entry in [entry for entry in plugins.registry.all() if entry.plugin == name]:
        check_entry(journal, entry)
    check_recipes(journal, name, plugins.registry)
    assert not journal.failed, "; ".join(journal.failed)
    return plugins.registry


class Findings:
    """Collects what fails."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def write(self, **event: Any) -> None:
        """Steps matter only to the doctor's parent process."""

    def check(self, about: str, problem: str = "", *, warning: bool = False) -> None:
        """Keep a failure."""
        if problem and not warning:
            self.failed.append(f"{about}: {problem}")
