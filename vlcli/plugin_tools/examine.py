"""The subprocess of `vlcli plugins doctor`: `python -m vlcli.plugin_tools.examine DISTRIBUTION NAME JOURNAL`.

Every step is written to the journal, a file of JSON lines, before it begins; when the process dies, the last line tells
the parent what it was doing.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any, Protocol, TextIO

from vlcli.errors import VlcliError
from vlcli.isolation import HEAVY_MODULES, describe, stdout_to_stderr
from vlcli.plugin_tools.names import normal
from vlcli.plugin_tools.promises import broken_promise
from vlcli.plugins import BUILTIN, Found, Loader, PluginRecord, find_installed
from vlcli.registry import Entry, Registry, import_target, missing_requirements
from vlcli.validation import recipe_folder


class Checks(Protocol):
    """Where findings go."""

    def write(self, **event: Any) -> None:
        """Take down what is about to be done."""
        ...

    def check(self, about: str, problem: str = "", *, warning: bool = False) -> None:
        """Take down the outcome of one check; no problem means that it is well."""
        ...


class Journal:
    """Appends events to the file that the parent reads."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, **event: Any) -> None:
        """Append one event and hand it to the operating system at once."""
        self.file.write(json.dumps(event) + "\n")
        self.file.flush()

    def check(self, about: str, problem: str = "", *, warning: bool = False) -> None:
        """Record the outcome of one check; no problem means that it is well."""
        status = "ok" if not problem else "warning" if warning else "failed"
        self.write(check={"about": about, "status": status, "message": problem})


def main(arguments: list[str]) -> None:
    """Examine one plugin and write down what was found."""
    distribution_name, name, journal_path = arguments
    with open(journal_path, "a", encoding="utf-8") as file:
        journal = Journal(file)
        installed = find_installed()
        found = next(f for f in installed if (f.distribution, f.entry_point.name) == (distribution_name, name))
        registry = load_with_dependencies(journal, found, installed)
        check_declared_requirements(journal, distribution_name)
        if registry is not None:
            for entry in [entry for entry in registry.all() if entry.plugin == name]:
                check_entry(journal, entry)
            check_recipes(journal, name, registry)
        journal.write(done=True)


def load_with_dependencies(journal: Checks, found: Found, installed: list[Found]) -> Registry | None:
    """Load the plugin, timed, after the core and those plugins that its distribution declares as dependencies."""
    from vlcli import __version__, builtin

    loader = Loader(seconds=0)
    core = PluginRecord(BUILTIN, "vlcli", __version__, 1, "ok", builtin.__name__)
    wanted = dependencies(found.distribution)
    needed = [other for other in installed if normal(other.distribution) in wanted]
    with stdout_to_stderr():
        loader.records.append(core)
        loader.register(core, builtin)
        for other in needed:
            journal.write(step=f"importing the plugin '{other.entry_point.name}' that it depends on")
            loader.load(other, set())
        journal.write(step=f"importing '{found.entry_point.value}' and calling its hooks")
        before = len(sys.modules)
        record = loader.load(found, set())
    journal.write(registered={
        "ms": round(record.load_ms, 2), "modules": len(sys.modules) - before, "error": record.error,
    })  # fmt: skip
    return loader.finish().registry


def requirements(distribution_name: str) -> Iterator[Any]:
    """The declared requirements that hold here (environment markers evaluated, no extras)."""
    from packaging.requirements import Requirement

    for text in distribution(distribution_name).requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def dependencies(distribution_name: str) -> set[str]:
    """Canonical names of all that a distribution depends on, directly or not, but not through vlcli itself."""
    seen = {"vlcli"}
    waiting = [distribution_name]
    while waiting:
        try:
            names = {normal(requirement.name) for requirement in requirements(waiting.pop())}
        except (PackageNotFoundError, ValueError):
            # What is missing or malformed is reported by the check of the declared requirements.
            continue
        waiting += sorted(names - seen)
        seen |= names
    return seen - {normal(distribution_name)}


def check_declared_requirements(journal: Checks, distribution_name: str) -> None:
    """Is every declared requirement installed, in a version that satisfies it?"""
    try:
        declared = list(requirements(distribution_name))
    except (PackageNotFoundError, ValueError) as error:
        journal.check("declared requirements", f"can not be read ({describe(error)})")
        return
    if not any(normal(requirement.name) == "vlcli" for requirement in declared):
        journal.check("requirement vlcli", "is not declared: add vlcli with its major version", warning=True)
    for requirement in declared:
        try:
            version = distribution(requirement.name).version
        except PackageNotFoundError:
            journal.check(f"requirement {requirement}", "is not installed")
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        journal.check(f"requirement {requirement}", "" if fits else f"{version} is installed")


def check_entry(journal: Checks, entry: Entry) -> None:
    """Do the options and the target of a spec resolve, and are they what its kind promises?"""
    about = f"{entry.kind} '{entry.spec.name}'"
    missing = missing_requirements(entry.spec)
    if missing:
        journal.check(about, f"needs {', '.join(missing)}, not installed; its target was not examined", warning=True)
        return
    fields: list[str] = []
    if entry.spec.options is not None:
        journal.write(step=f"importing the options '{entry.spec.options}' of {about}")
        fields, problem = check_options_model(entry.spec.options)
        journal.check(f"options of {about}", problem)
    journal.write(step=f"importing the target '{entry.spec.target}' of {about}")
    started = time.perf_counter()
    try:
        target = import_target(entry.spec.target)
        problem = broken_promise(entry.kind, entry.spec, target, fields)
    except Exception as error:  # noqa: BLE001 - whatever the plugin's module raises is the finding
        journal.check(about, f"target '{entry.spec.target}' can not be loaded ({describe(error)})")
        return
    seconds = time.perf_counter() - started
    journal.check(f"{about} ({seconds:.2f} s to import)", f"target '{entry.spec.target}' {problem}" if problem else "")
    if entry.kind == "health check" and not problem:
        journal.write(step=f"running the {about}")
        run_health_check(journal, about, target)


def check_options_model(path: str) -> tuple[list[str], str]:
    """The names of the fields of an options model, and what is wrong with it."""
    before = HEAVY_MODULES & set(sys.modules)
    try:
        model = import_target(path)
    except Exception as error:  # noqa: BLE001 - whatever the plugin's module raises is the finding
        return [], f"'{path}' can not be loaded ({describe(error)})"
    from pydantic import BaseModel

    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return [], f"'{path}' is not a pydantic model"
    fields = list(model.model_fields)
    heavy = sorted((HEAVY_MODULES & set(sys.modules)) - before - {"pydantic", "numpy"})
    if heavy:
        return fields, f"importing '{path}' imports {', '.join(heavy)}: recipes must be checkable without"
    if model.model_config.get("extra") != "forbid":
        return fields, f"'{path}' accepts unknown keys: set model_config = ConfigDict(extra=\"forbid\")"
    return fields, ""


def run_health_check(journal: Checks, about: str, target: Any) -> None:
    """Run a plugin's own check."""
    try:
        sentence = target()
    except VlcliError as error:
        journal.check(f"{about} run", str(error))
    except Exception as error:  # noqa: BLE001 - a health check says that something is wrong by raising
        journal.check(f"{about} run", describe(error))
    else:
        good = isinstance(sentence, str)
        journal.check(f"{about} run", "" if good else f"returned {sentence!r:.40} instead of a sentence")


def check_recipes(journal: Checks, plugin: str, registry: Registry) -> None:
    """Are the recipes that the plugin ships valid?"""
    from vlcli.plugin_tools.recipes import recipe_problems

    for owner, spec in registry.recipe_folders:
        if owner != plugin:
            continue
        folder = recipe_folder(spec.package, spec.folder)
        for path in sorted(folder.glob("*.toml")) if folder is not None else []:
            if path.name.startswith("_"):
                # Only a base that other recipes extend; it need not be complete.
                continue
            journal.write(step=f"checking the recipe '{path.name}'")
            journal.check(f"recipe '{path.name}'", recipe_problems(f"{plugin}/{path.stem}", registry))


if __name__ == "__main__":
    main(sys.argv[1:])
