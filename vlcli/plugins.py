"""Discovery of plugins: each is loaded apart from the others, so a broken one costs a line on stderr.

A plugin is a Python module named by an entry point in the group `vlcli.plugins.v1`. The API's major version is in the
group's name: a plugin of another version is listed as incompatible and never imported. Plugins are trusted code;
isolation protects against mistakes, not against malice.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.util
import os
import re
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, distributions
from typing import Any

import pluggy

from vlcli import hookspecs
from vlcli.errors import VlcliError
from vlcli.registry import Registry

GROUP = "vlcli.plugins.v1"
GROUP_PATTERN = re.compile(r"vlcli\.plugins\.v(\d+)")
NAME_PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
BUILTIN = "core"
LOAD_SECONDS = 5.0

# Importing any of these while plugins register would make every `--help` slow.
HEAVY_MODULES = frozenset(
    "torch torchvision torchaudio transformers diffusers accelerate peft numpy scipy pandas pyarrow sklearn skimage "
    "matplotlib PIL rdkit selfies tensorflow jax cv2 numba trimesh soundfile librosa lancedb ray pydantic".split()
)


@dataclass
class PluginRecord:
    """What is known of one installed plugin.

    Attributes:
        state: `ok`, `disabled`, `incompatible`, `shadowed` or `broken`.
        api: major version of the plugin API that it was written for.
        load_ms: time that its import and its hooks took.
        error: why it is not ok, one line.
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
    trace: str = ""

    def as_json(self) -> dict[str, Any]:
        """The record as `vlcli plugins list --json` prints it."""
        return {key: value for key, value in vars(self).items() if key != "trace"}


@dataclass
class Plugins:
    """The outcome of discovery."""

    registry: Registry
    records: list[PluginRecord] = field(default_factory=list)

    def problems(self) -> list[PluginRecord]:
        """Records that deserve a line on stderr."""
        return [record for record in self.records if record.state in ("broken", "shadowed", "incompatible")]


class PluginTimeout(BaseException):
    """A plugin took too long; a BaseException, so that its own `except Exception` can not swallow it."""


class ImportFence(importlib.abc.MetaPathFinder):
    """Refuses heavy imports while it stands in `sys.meta_path`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> None:
        """Raise for a heavy module, leave every other to the finders that follow."""
        if fullname.partition(".")[0] in HEAVY_MODULES:
            raise ImportError(
                f"a plugin's registration module must not import '{fullname}': name the implementation lazily "
                "as 'package.module:attribute'"
            )


@contextlib.contextmanager
def import_fence() -> Iterator[None]:
    """Keep heavy modules out for the duration."""
    fence = ImportFence()
    sys.meta_path.insert(0, fence)
    try:
        yield
    finally:
        sys.meta_path.remove(fence)


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `PluginTimeout` after `seconds`, where the platform and the thread allow a timer."""
    usable = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not usable or seconds <= 0:
        yield
        return

    def expire(signum: int, frame: types.FrameType | None) -> None:
        raise PluginTimeout(f"took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def guarded(record: PluginRecord, seconds: float) -> Iterator[None]:
    """Run a step of a plugin's loading; whatever it raises is written into its record.

    stdout is sent to stderr meanwhile, so that a plugin that prints can not spoil `--json`.
    """
    started = time.perf_counter()
    meta_path = list(sys.meta_path)
    try:
        with contextlib.redirect_stdout(sys.stderr), time_limit(seconds), import_fence():
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        import traceback

        record.state = "broken"
        message = str(error).strip().splitlines()
        text = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
        record.error = record.error or text
        record.trace += "".join(traceback.format_exception(error))
    finally:
        sys.meta_path[:] = [finder for finder in meta_path if not isinstance(finder, ImportFence)]
        record.load_ms += (time.perf_counter() - started) * 1000


def installed_entry_points() -> list[EntryPoint]:
    """Entry points of every version of the plugin API, each with its distribution, in a fixed order."""
    found: dict[tuple[str, str, str], EntryPoint] = {}
    for distribution in distributions():
        for entry_point in distribution.entry_points:
            if GROUP_PATTERN.fullmatch(entry_point.group):
                # The first distribution on sys.path wins, as it does for imports.
                found.setdefault((distribution.name, entry_point.group, entry_point.name), entry_point)
    return [found[key] for key in sorted(found)]


def disabled_names() -> set[str]:
    """Plugins switched off by `VLCLI_DISABLE_PLUGINS` or in `plugins.toml`."""
    from vlcli.runtime.paths import plugins_file

    names = {name.strip() for name in os.environ.get("VLCLI_DISABLE_PLUGINS", "").split(",") if name.strip()}
    file = plugins_file()
    if file.exists():
        import tomllib

        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise VlcliError("P101", str(file), f"is not valid TOML ({error})", "mend it or delete it") from error
        names |= {str(name) for name in table.get("disabled", [])}
    return names


def load_plugins(
    *, third_party: bool = True, strict: bool | None = None, entry_points: list[EntryPoint] | None = None
) -> Plugins:
    """Discover and load all plugins.

    Args:
        third_party: False loads the built-in plugin alone (`--no-plugins`).
        strict: raise on the first plugin that is not ok; default from `VLCLI_STRICT_PLUGINS`.
        entry_points: instead of those installed (tests).

    Raises:
        VlcliError: P102 in strict mode.
    """
    if strict is None:
        strict = os.environ.get("VLCLI_STRICT_PLUGINS", "") not in ("", "0")
    seconds = float(os.environ.get("VLCLI_PLUGIN_TIMEOUT", LOAD_SECONDS))
    manager = pluggy.PluginManager("vlcli")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(Registry())

    from vlcli import __version__, builtin

    core = PluginRecord(BUILTIN, "vlcli", __version__, 1, "ok", builtin.__name__)
    plugins.records.append(core)
    register(manager, plugins.registry, core, builtin, seconds)
    if core.state != "ok":
        raise VlcliError("P103", "core", f"the built-in plugin is broken ({core.error})", "reinstall vlcli")

    if third_party:
        disabled = disabled_names()
        for entry_point in installed_entry_points() if entry_points is None else entry_points:
            load_one(manager, plugins, entry_point, disabled, seconds)
    if strict and plugins.problems():
        first = plugins.problems()[0]
        raise VlcliError("P102", first.name, f"plugin is {first.state} ({first.error})", "VLCLI_STRICT_PLUGINS is set")
    return plugins


def load_one(
    manager: pluggy.PluginManager, plugins: Plugins, entry_point: EntryPoint, disabled: set[str], seconds: float
) -> None:
    """Load the plugin behind one entry point and append its record."""
    match = GROUP_PATTERN.fullmatch(entry_point.group)
    distribution = entry_point.dist
    record = PluginRecord(
        name=entry_point.name,
        distribution=distribution.name if distribution else "?",
        version=distribution.version if distribution else "?",
        api=int(match.group(1)) if match else 0,
        state="ok",
        module=entry_point.value,
    )
    holder = next((other for other in plugins.records if other.name == record.name and other.state == "ok"), None)
    plugins.records.append(record)
    if entry_point.group != GROUP:
        record.state = "incompatible"
        record.error = f"was written for plugin API v{record.api}, this vlcli has v1"
    elif not NAME_PATTERN.fullmatch(record.name):
        record.state = "broken"
        record.error = f"the name '{record.name}' is not lower case letters, digits and single dashes"
    elif record.name in disabled:
        record.state = "disabled"
    elif holder is not None:
        record.state = "shadowed"
        record.error = f"the name '{record.name}' is taken by {holder.distribution} {holder.version}"
    else:
        module: Any = None
        with guarded(record, seconds):
            module = entry_point.load()
            if not isinstance(module, types.ModuleType):
                raise TypeError(f"the entry point '{entry_point.value}' must name a module")
        if module is not None and record.state == "ok":
            register(manager, plugins.registry, record, module, seconds)


def register(
    manager: pluggy.PluginManager, registry: Registry, record: PluginRecord, module: types.ModuleType, seconds: float
) -> None:
    """Call each of a plugin's hooks apart from the others and put what it yields into the registry."""
    with guarded(record, seconds):
        manager.register(module, record.name)
        unknown = [name for name in vars(module) if name.startswith("vlcli_") and name not in hookspecs.HOOKS]
        unknown = [name for name in unknown if hasattr(getattr(module, name), "vlcli_impl")]
        if unknown:
            raise ValueError(f"there is no hook '{unknown[0]}'")
    for hook_name, (kind, spec_type) in hookspecs.HOOKS.items():
        for implementation in getattr(manager.hook, hook_name).get_hookimpls():
            if implementation.plugin_name != record.name:
                continue
            specs: list[Any] = []
            with guarded(record, seconds):
                specs = collect(implementation.function, hook_name, spec_type, record.name)
            with guarded(record, 0):
                for spec in specs:
                    if kind == "recipes":
                        registry.recipe_folders.append((record.name, spec))
                    else:
                        registry.add(record.name, kind, spec)


def collect(function: Any, hook_name: str, spec_type: type, plugin: str) -> list[Any]:
    """Exhaust a hook's generator and check what it yields; all or nothing.

    Raises:
        TypeError: when something is not of the hook's Spec type.
        ValueError: when a name is malformed, given twice, or taken by a core verb.
    """
    yielded = function()
    if yielded is None:
        raise TypeError(f"{hook_name} returned None: yield {spec_type.__name__} objects")
    specs = list(yielded)
    names: set[str] = set()
    for spec in specs:
        if type(spec) is not spec_type:
            raise TypeError(f"{hook_name} yielded {type(spec).__name__}, not {spec_type.__name__}")
        name = getattr(spec, "name", None)
        if name is None:
            continue
        if not NAME_PATTERN.fullmatch(name.replace(".", "-").replace("_", "-")):
            raise ValueError(f"{hook_name}: the name '{name}' is malformed")
        if name in names:
            raise ValueError(f"{hook_name}: the name '{name}' is given twice")
        names.add(name)
        if hook_name == "vlcli_commands" and plugin != BUILTIN:
            from vlcli.cli import CORE_COMMANDS

            if name in CORE_COMMANDS:
                raise ValueError(f"{hook_name}: '{name}' is a verb of vlcli itself")
    return specs
