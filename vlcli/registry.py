"""Kind and name to spec: short names, clashes, and the import of a spec's target."""

from __future__ import annotations

import builtins
import importlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from vlcli.api import Spec
from vlcli.errors import VlcliError, did_you_mean


@dataclass(frozen=True)
class Entry:
    """A spec together with the plugin that registered it."""

    plugin: str
    kind: str
    spec: Any

    @property
    def name(self) -> str:
        """The full name, `plugin/name`."""
        return f"{self.plugin}/{self.spec.name}"


def import_target(target: str) -> Any:
    """The object that `"package.module:attribute"` names.

    Raises:
        ImportError, AttributeError: when it is not there.
        ValueError: when the text has another form.
    """
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise ValueError(f"'{target}' is not of the form 'package.module:attribute'")
    found: Any = importlib.import_module(module_name)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


@dataclass
class Registry:
    """All specs of all plugins that loaded. Built by `vlcli.plugins.load_plugins`."""

    entries: dict[str, dict[str, Entry]] = field(default_factory=dict)
    """kind -> full name -> entry"""
    recipe_folders: builtins.list[tuple[str, Any]] = field(default_factory=list)
    """(plugin, RecipeFolderSpec)"""
    inactive: dict[str, str] = field(default_factory=dict)
    """plugins that are installed but contribute nothing or not all -> why"""
    _frozen: bool = False

    def freeze(self) -> None:
        """Allow no further registration, and hand out read-only tables from now on."""
        read_only: Any = MappingProxyType({kind: MappingProxyType(table) for kind, table in self.entries.items()})
        self.entries = read_only
        self.inactive = MappingProxyType(self.inactive)  # type: ignore[assignment]
        self.recipe_folders = tuple(self.recipe_folders)  # type: ignore[assignment]
        self._frozen = True

    def add(self, plugin: str, kind: str, spec: Spec) -> None:
        """Register a spec.

        Raises:
            ValueError: when the plugin has registered that name already, or the registry is frozen.
        """
        if self._frozen:
            raise ValueError(f"{kind} '{plugin}/{spec.name}': the registry is complete, register through a hook")
        entry = Entry(plugin, kind, spec)
        of_kind = self.entries.setdefault(kind, {})
        if entry.name in of_kind:
            raise ValueError(f"{kind} '{entry.name}' is registered twice")
        of_kind[entry.name] = entry

    def list(self, kind: str) -> builtins.list[Entry]:
        """All entries of a kind, sorted by full name."""
        return [self.entries[kind][name] for name in sorted(self.entries.get(kind, {}))]

    def names(self, kind: str) -> builtins.list[str]:
        """Names as a user would type them: short where unique, else full."""
        entries = self.list(kind)
        short = [entry.spec.name for entry in entries]
        return sorted(e.spec.name if short.count(e.spec.name) == 1 else e.name for e in entries)

    def find(self, kind: str, name: str) -> Entry:
        """The entry for a full or short name.

        Raises:
            VlcliError: P201 when nothing has that name, P202 when several plugins have it.
        """
        of_kind = self.entries.get(kind, {})
        if name in of_kind:
            return of_kind[name]
        matches = [entry for entry in self.list(kind) if entry.spec.name == name]
        if len(matches) == 1:
            return matches[0]
        if matches:
            full = " or ".join(entry.name for entry in matches)
            raise VlcliError("P202", "", f"{kind} '{name}' is ambiguous", f"write {full}")
        known = sorted({*of_kind, *(entry.spec.name for entry in of_kind.values())})
        hint = did_you_mean(name, known)
        plugin = name.partition("/")[0]
        if "/" in name and plugin in self.inactive:
            hint = f"plugin '{plugin}' is {self.inactive[plugin]}; see `vlcli plugins doctor {plugin}`"
        elif not hint and "/" in name and plugin not in {entry.plugin for entry in self.all()}:
            hint = f"no plugin '{plugin}' is installed; see `vlcli plugins list`, or `vlcli plugins install`"
        if not hint:
            hint = f"known: {', '.join(self.names(kind))}" if known else f"no plugin registers a {kind}"
        raise VlcliError("P201", "", f"no {kind} is named '{name}'", hint)

    def all(self) -> Iterable[Entry]:
        """Every entry of every kind."""
        for of_kind in self.entries.values():
            yield from of_kind.values()

    def load(self, entry: Entry) -> Any:
        """Import the target of an entry.

        Raises:
            VlcliError: P203 when a declared requirement is not installed, P204 when the import fails.
        """
        missing = missing_requirements(entry.spec)
        if missing:
            raise VlcliError(
                "P203", entry.name, f"needs {', '.join(missing)}", f"install it: pip install {' '.join(missing)}"
            )
        try:
            return import_target(entry.spec.target)
        except (VlcliError, KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:
            # A SystemExit in a plugin's module must not end vlcli without a word.
            raise VlcliError(
                "P204",
                entry.name,
                f"its target '{entry.spec.target}' can not be loaded ({type(error).__name__}: {error})",
                f"run `vlcli plugins doctor {entry.plugin}`",
            ) from error

    def options_model(self, entry: Entry) -> type[Any] | None:
        """The pydantic model of an entry's options, or None when it takes none."""
        if entry.spec.options is None:
            return None
        try:
            model: type[Any] = import_target(entry.spec.options)
        except Exception as error:
            raise VlcliError(
                "P205",
                entry.name,
                f"its options '{entry.spec.options}' can not be loaded ({type(error).__name__}: {error})",
                f"run `vlcli plugins doctor {entry.plugin}`",
            ) from error
        return model

    def check_options(self, entry: Entry, options: dict[str, Any] | None = None) -> dict[str, Any]:
        """The validated options of an entry, defaults filled in.

        Raises:
            VlcliError: P206 when an option is unknown or has a wrong type.
        """
        model = self.options_model(entry)
        given = dict(options or {})
        if model is None:
            if given:
                raise VlcliError("P206", entry.name, f"takes no options, got {', '.join(sorted(given))}")
            return {}
        from pydantic import ValidationError

        try:
            checked = model.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            hint = did_you_mean(key, list(model.model_fields)) if first["type"] == "extra_forbidden" else ""
            raise VlcliError("P206", entry.name, f"option '{key}': {first['msg']}", hint) from error
        return {name: getattr(checked, name) for name in model.model_fields}

    def build(self, kind: str, name: str, options: dict[str, Any] | None = None, **extra: Any) -> Any:
        """Find a spec, check the options against its model, import its target and call it."""
        entry = self.find(kind, name)
        checked = self.check_options(entry, options)
        return self.load(entry)(**extra, **checked)

    def modality_of(self, suffix: str) -> builtins.list[Entry]:
        """Modalities that read files with this extension (lower case, with its dot)."""
        return [entry for entry in self.list("modality") if suffix.lower() in entry.spec.extensions]


def missing_requirements(spec: Spec) -> list[str]:
    """The distributions in `spec.requires` that are not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    missing = []
    for name in spec.requires:
        try:
            distribution(name)
        except PackageNotFoundError:
            missing.append(name)
    return missing
