"""Discovery of plugins: each is loaded apart from the others, so a broken one costs a line on stderr.

A plugin is a Python module named by an entry point in the group `vlcli.plugins.v1`. The API's major version is in the
group's name: a plugin of another version is listed as incompatible and never imported. The registry is built after
the last plugin's code has run, so none of them can reach it while plugins are being loaded.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any

import pluggy

from vlcli import hookspecs
from vlcli.errors import VlcliError
from vlcli.isolation import CoreNames, describe, import_fence, stdout_to_stderr, time_limit
from vlcli.registry import Registry
from vlcli.validation import check_specs, recipe_folder

GROUP = "vlcli.plugins.v1"
GROUP_PATTERN = re.compile(r"vlcli\.plugins\.v(\d+)")
NAME_PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
BUILTIN = "core"
LOAD_SECONDS = 5.0


@dataclass
class PluginRecord:
    """What is known of one installed plugin.

    Attributes:
        api: major version of the plugin API that it was written for.
        state: `ok`, `disabled`, `incompatible`, `shadowed` or `broken`.
        module: what its entry point names.
        load_ms: time that its import and its hooks took, in milliseconds.
        error: why it is not ok, one line.
        provides: kind -> short names of what it registered.
        trace: the traceback behind `error`, for `--debug`.
    """

    name: str
    distribution: str
    version: str
    api: int
    state: str
    module: str = ""
    load_ms: float = 0.0
    error: str = ""
    provides: dict[str, list[str]] = field(default_factory=dict)
    trace: str = ""

    def as_json(self) -> dict[str, Any]:
        """The record as `vlcli plugins list --json` prints it."""
        return {key: value for key, value in vars(self).items() if key != "trace"} | {"load_ms": round(self.load_ms, 2)}

    def fail(self, error: str, trace: str = "") -> None:
        """Mark the plugin broken; the first reason is the one that is shown."""
        self.state = "broken"
        self.error = self.error or error
        self.trace += trace


@dataclass
class Plugins:
    """The outcome of discovery: the registry, a record of each plugin, and what the user should hear besides."""

    registry: Registry
    records: list[PluginRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def problems(self) -> list[PluginRecord]:
        """Records that deserve a line on stderr."""
        return [record for record in self.records if record.state in ("broken", "shadowed", "incompatible")]


@dataclass
class Found:
    """An entry point as it is installed, before anything of it is imported; `error` when it can not even be read."""

    entry_point: EntryPoint
    distribution: str = "?"
    version: str = "?"
    error: str = ""


def find_installed() -> list[Found]:
    """Entry points of every version of the plugin API, each with its distribution, in a fixed order.

    A distribution whose metadata can not be read gives an entry with its error instead of failing them all.
    """
    found: dict[tuple[str, str, str], Found] = {}
    for distribution in distributions():
        try:
            # Most distributions have nothing to do with vlcli: look before parsing.
            if "vlcli.plugins.v" not in (distribution.read_text("entry_points.txt") or ""):
                continue
            name, version = distribution.metadata["Name"], distribution.metadata["Version"]
            if not name or not version:
                raise ValueError("METADATA tells no name or no version")
            points = [Found(point, name, version) for point in distribution.entry_points
                      if GROUP_PATTERN.fullmatch(point.group)]  # fmt: skip
        except Exception as error:  # noqa: BLE001 - broken metadata raises anything from KeyError to TypeError
            label = folder_label(distribution)
            points = [Found(EntryPoint(label, "", GROUP), label, "?", f"its metadata is damaged ({describe(error)})")]
        for point in points:
            # The first distribution on sys.path wins, as it does for imports.
            found.setdefault((point.distribution, point.entry_point.group, point.entry_point.name), point)
    return [found[key] for key in sorted(found)]


def folder_label(distribution: Distribution) -> str:
    """A name for a distribution whose metadata does not tell it: its folder's."""
    location = str(getattr(distribution, "_path", "unknown"))
    return Path(location).name.partition("-")[0].replace("_", "-").lower()


@contextlib.contextmanager
def guarded(record: PluginRecord, seconds: float) -> Iterator[None]:
    """Run a step of a plugin's loading; whatever it raises is written into its record."""
    started = time.perf_counter()
    try:
        with time_limit(seconds), import_fence():
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit and exotic classes are mistakes of plugins as well
        import traceback

        record.fail(describe(error), "".join(traceback.format_exception(error)))
    finally:
        record.load_ms += (time.perf_counter() - started) * 1000


def read_plugins_file() -> dict[str, Any]:
    """The content of `plugins.toml`, an empty table when there is none.

    Raises:
        VlcliError: P101 when it can not be read.
    """
    from vlcli.runtime.paths import plugins_file

    file = plugins_file()
    if not file.exists():
        return {}
    import tomllib

    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise VlcliError("P101", str(file), f"can not be read ({error})", "mend it or delete it") from error
    disabled, installed = table.get("disabled", []), table.get("installed", [])
    if not isinstance(disabled, list) or not all(isinstance(name, str) for name in disabled):
        raise VlcliError("P101", str(file), "'disabled' must be a list of names", "mend it or delete it")
    if not isinstance(installed, list) or not all(isinstance(row, dict) for row in installed):
        raise VlcliError("P101", str(file), "'installed' must be a list of tables", "mend it or delete it")
    return table


def disabled_names(warnings: list[str]) -> set[str]:
    """Plugins switched off by `VLCLI_DISABLE_PLUGINS` or in `plugins.toml`; a damaged file becomes a warning."""
    names = {name.strip() for name in os.environ.get("VLCLI_DISABLE_PLUGINS", "").split(",") if name.strip()}
    try:
        names.update(read_plugins_file().get("disabled", []))
    except VlcliError as error:
        warnings.append(f"{error.where}: {error.message}, so no plugin counts as disabled — {error.help}")
    return names


def load_seconds() -> float:
    """How long one step of a plugin's loading may take, from `VLCLI_PLUGIN_TIMEOUT`, 0 for no limit.

    Raises:
        VlcliError: U102 when the variable is not a number.
    """
    text = os.environ.get("VLCLI_PLUGIN_TIMEOUT", "")
    try:
        return float(text) if text else LOAD_SECONDS
    except ValueError as error:
        raise VlcliError("U102", "VLCLI_PLUGIN_TIMEOUT", f"'{text}' is not a number of seconds") from error


def strict_by_environment() -> bool:
    """Whether `VLCLI_STRICT_PLUGINS` asks for failure on the first bad plugin."""
    return os.environ.get("VLCLI_STRICT_PLUGINS", "").lower() not in ("", "0", "false", "no")


Contribution = tuple[PluginRecord, str, Any]
"""(plugin, kind, spec)"""


def load_plugins(
    *, third_party: bool = True, strict: bool | None = None, entry_points: list[EntryPoint] | None = None
) -> Plugins:
    """Discover and load all plugins.

    Args:
        third_party: False loads the built-in plugin alone (`--no-plugins`).
        strict: raise when a plugin is not ok; default from `VLCLI_STRICT_PLUGINS`.
        entry_points: instead of those installed (tests).

    Raises:
        VlcliError: P102 in strict mode, P103 when the built-in plugin itself is broken.
    """
    from vlcli import __version__, builtin

    seconds = load_seconds()
    loader = Loader(seconds)
    core = PluginRecord(BUILTIN, "vlcli", __version__, 1, "ok", builtin.__name__)
    with stdout_to_stderr() as stand_in:
        loader.records.append(core)
        loader.register(core, builtin)
        if core.state != "ok":
            raise VlcliError("P103", "core", f"the built-in plugin is broken ({core.error})", "reinstall vlcli")
        if third_party:
            disabled = disabled_names(loader.warnings)
            given = None if entry_points is None else [from_entry_point(point) for point in entry_points]
            for found in find_installed() if given is None else given:
                record = loader.load(found, disabled)
                if stand_in.take_count():
                    loader.warnings.append(f"plugin '{record.name}' ({record.distribution} {record.version}) prints "
                                           "while it is loaded; that went to stderr")  # fmt: skip
    plugins = loader.finish()
    problems = plugins.problems()
    if problems and (strict_by_environment() if strict is None else strict):
        first, more = problems[0], f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise VlcliError("P102", first.name, f"plugin is {first.state} ({first.error}){more}",
                         "VLCLI_STRICT_PLUGINS allows none; see `vlcli plugins doctor`")  # fmt: skip
    return plugins


def from_entry_point(point: EntryPoint) -> Found:
    """An entry point that was handed in, with its distribution where it has one."""
    return Found(point, point.dist.name, point.dist.version) if point.dist else Found(point)


def triage(found: Found, earlier: list[PluginRecord], disabled: set[str]) -> PluginRecord:
    """The record of a plugin before it is imported; its state is `ok` when it may be."""
    point = found.entry_point
    match = GROUP_PATTERN.fullmatch(point.group)
    record = PluginRecord(point.name, found.distribution, found.version, int(match.group(1)) if match else 0, "ok",
                          point.value)  # fmt: skip
    holder = next((other for other in earlier if other.name == record.name and other.state in ("ok", "broken")), None)
    if point.group != GROUP:
        record.state = "incompatible"
        record.error = f"was written for plugin API v{record.api}, this vlcli has v1"
    elif found.error:
        record.fail(found.error)
    elif not NAME_PATTERN.fullmatch(record.name):
        record.fail(f"the name '{record.name}' is not lower case letters, digits and single dashes")
    elif record.name in disabled:
        record.state = "disabled"
    elif holder is not None:
        record.state = "shadowed"
        record.error = f"the name '{record.name}' is taken by {holder.distribution} {holder.version}"
    return record


class Loader:
    """Loads plugins one after the other and collects what they contribute."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.manager = pluggy.PluginManager("vlcli")
        self.manager.add_hookspecs(hookspecs)
        self.core_names = CoreNames.take()
        self.records: list[PluginRecord] = []
        self.warnings: list[str] = []
        self.contributions: list[Contribution] = []

    def load(self, found: Found, disabled: set[str]) -> PluginRecord:
        """Load the plugin behind one entry point and keep its record."""
        point = found.entry_point
        record = triage(found, self.records, disabled)
        self.records.append(record)
        if record.state != "ok":
            return record
        with guarded(record, self.seconds):
            if not EntryPoint.pattern.match(point.value):
                raise ValueError(f"the entry point '{point.value}' is not of the form 'package.module'")
            module = point.load()
            if not isinstance(module, types.ModuleType):
                raise TypeError(f"the entry point '{point.value}' names {type(module).__name__} instead of a module")
        if record.state == "ok":
            self.register(record, module)
        changed = self.core_names.restore()
        if changed:
            record.fail(f"overwrites '{changed}' of vlcli itself; that was undone")
        return record

    def register(self, record: PluginRecord, module: types.ModuleType) -> None:
        """Call each of a plugin's hooks apart from the others; a hook contributes all that it yields or nothing."""
        with guarded(record, self.seconds):
            try:
                self.manager.register(module, record.name)
            except pluggy.PluginValidationError as error:
                # Pluggy spreads its message over lines; a record has one.
                raise TypeError("; ".join(str(error).splitlines())) from error
            for name, value in vars(module).items():
                if hasattr(value, "vlcli_impl") and name not in hookspecs.HOOKS:
                    from vlcli.errors import did_you_mean

                    hint = did_you_mean(name, list(hookspecs.HOOKS))
                    raise ValueError(f"there is no hook '{name}'" + (f": {hint}" if hint else ""))
        for implementation in self.manager.get_hookcallers(module) or []:
            function = next(i.function for i in implementation.get_hookimpls() if i.plugin is module)
            kind, spec_type = hookspecs.HOOKS.get(implementation.name, ("", object))
            if not kind:
                continue
            with guarded(record, self.seconds):
                specs = collect(function, implementation.name, spec_type, record.name)
                self.contributions += [(record, kind, spec) for spec in specs]
        if record.state == "broken":
            with contextlib.suppress(ValueError, AssertionError):
                self.manager.unregister(module)

    def finish(self) -> Plugins:
        """Build the registry from what the plugins contributed."""
        registry = Registry()
        for record, kind, spec in self.contributions:
            if kind == "recipes":
                registry.recipe_folders.append((record.name, spec))
                record.provides.setdefault(kind, []).append(f"{spec.package}/{spec.folder}")
            else:
                registry.add(record.name, kind, spec)
                record.provides.setdefault(kind, []).append(spec.name)
        for record in self.records:
            if record.state != "ok":
                reason = f" ({record.error})" if record.error else ""
                registry.inactive.setdefault(record.name, f"{record.state}{reason}")
        registry.freeze()
        return Plugins(registry, self.records, self.warnings)


def collect(function: Any, hook_name: str, spec_type: type, plugin: str) -> list[Any]:
    """Exhaust a hook's generator and check what it yields; all or nothing.

    Raises:
        TypeError: when something is not of the hook's Spec type, or has a field of another type.
        ValueError: when a name is malformed, given twice, or taken by a core verb.
        FileNotFoundError: when a folder of recipes is not there.
    """
    yielded = function()
    if yielded is None:
        raise TypeError(f"{hook_name} returned None: yield {spec_type.__name__} objects")
    specs = list(yielded)
    check_specs(specs, spec_type, hook_name)
    if plugin == BUILTIN:
        return specs
    for spec in specs:
        if hook_name == "vlcli_commands":
            from vlcli.verbs import CORE_COMMANDS

            if spec.name in CORE_COMMANDS:
                raise ValueError(f"{hook_name}: '{spec.name}' is a verb of vlcli itself")
        if hook_name == "vlcli_recipes" and recipe_folder(spec.package, spec.folder) is None:
            raise FileNotFoundError(f"{hook_name}: the package '{spec.package}' has no folder '{spec.folder}'")
    return specs
