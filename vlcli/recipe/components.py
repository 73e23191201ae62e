"""The names of plugins' components inside a recipe: do they exist, and do their options fit? Never imports a target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.errors import VlcliError, did_you_mean
from vlcli.recipe.document import Layer
from vlcli.recipe.problems import KeyPath, Problem, show_key
from vlcli.recipe.schema import DATA_PREFIX, RUN_PREFIX
from vlcli.recipe.validate import unknown_key, validate
from vlcli.registry import missing_requirements

if TYPE_CHECKING:
    from vlcli.registry import Entry, Registry

HUB_PREFIX = "hf:"
SPACE_PREFIX = "space:"
FILE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")


def check_components(layer: Layer, registry: Registry) -> Iterator[Problem]:
    """All problems with the components that a recipe names. Values of a wrong type are the schema's business."""
    values = layer.values
    for kind in ("objective", "method"):
        yield from check_flat(layer, registry, kind, (kind,), values.get(kind))
    data = values.get("data")
    if isinstance(data, dict):
        yield from check_data(layer, registry, ("data", "use"), data, "use")
        filters = data.get("filters")
        for index, table in enumerate(filters if isinstance(filters, list) else []):
            yield from check_flat(layer, registry, "filter", ("data", "filters", index), table)
    for modality, tower in tables(values.get("towers")):
        yield from check_tower(layer, registry, modality, tower)
    for name, step in tables(values.get("steps")):
        yield from check_step(layer, registry, ("steps", name), step)


def tables(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables inside a table; what has another type is left out."""
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, dict):
                yield name, item


def find(layer: Layer, registry: Registry, kind: str, name: str, path: KeyPath) -> tuple[Entry | None, list[Problem]]:
    """The entry behind a name, or what keeps it from being used."""
    where, key = layer.origin(path), show_key(path)
    try:
        entry = registry.find(kind, name)
    except VlcliError as error:
        plugin = name.partition("/")[0]
        active = {"core", *(found.plugin for found in registry.all())}
        if "/" in name and plugin not in active and "did you mean" not in error.help:
            remedy = f"install it, such as `pip install vlcli-{plugin}`; `vlcli plugins list` shows what is active"
            message = f"the plugin '{plugin}' of '{name}' is not active"
            return None, [Problem("R122", where, key, message, remedy)]
        return None, [Problem("R121", where, key, error.message, error.help)]
    missing = missing_requirements(entry.spec)
    if missing:
        remedy = f"install it: pip install {' '.join(missing)}"
        return entry, [Problem("R122", where, key, f"'{entry.name}' needs {', '.join(missing)}", remedy)]
    return entry, []


def check_options(
    layer: Layer, registry: Registry, entry: Entry, options: dict[str, Any], path: KeyPath
) -> Iterator[Problem]:
    """Options, which stand in the table at `path`, against the component's own model."""
    try:
        model = registry.options_model(entry)
    except VlcliError as error:
        yield Problem(error.code, layer.origin(path), show_key(path), f"{entry.name}: {error.message}", error.help)
        return
    if model is None:
        for key in options:
            problem = unknown_key((*path, key), layer.origin((*path, key)), [])
            yield Problem(problem.code, problem.where, problem.key, problem.message, f"{entry.name} takes no options")
        return
    yield from validate(model, options, path, layer)[1]


def check_flat(layer: Layer, registry: Registry, kind: str, path: KeyPath, table: Any) -> Iterator[Problem]:
    """A component whose options stand beside its `use`."""
    if not isinstance(table, dict) or not isinstance(table.get("use"), str):
        return
    entry, problems = find(layer, registry, kind, table["use"], (*path, "use"))
    yield from problems
    if entry is not None:
        options = {key: value for key, value in table.items() if key != "use"}
        yield from check_options(layer, registry, entry, options, path)


def check_nested(
    layer: Layer, registry: Registry, kind: str, table: dict[str, Any], path: KeyPath, name: str
) -> Iterator[Problem]:
    """A component whose options stand in `options` beside the key at `path` that names it."""
    entry, problems = find(layer, registry, kind, name, path)
    yield from problems
    options = table.get("options", {})
    if entry is not None and isinstance(options, dict):
        yield from check_options(layer, registry, entry, options, (*path[:-1], "options"))


def check_tower(layer: Layer, registry: Registry, modality: str, tower: dict[str, Any]) -> Iterator[Problem]:
    """A tower: a modality that exists, with an encoder of that modality."""
    path: KeyPath = ("towers", modality)
    yield from check_modality(layer, registry, modality, path)
    name = tower.get("use")
    if not isinstance(name, str):
        return
    if name.startswith(SPACE_PREFIX):
        space = name.removeprefix(SPACE_PREFIX)
        if not names_a_folder(space) and not space.startswith(HUB_PREFIX):
            yield from find(layer, registry, "space", space, (*path, "use"))[1]
        return
    yield from check_nested(layer, registry, "encoder", tower, (*path, "use"), name)
    entry = find(layer, registry, "encoder", name, path)[0]
    if entry is not None and entry.spec.modality != modality:
        others = [found.name for found in registry.list("encoder") if found.spec.modality == modality]
        hint = f"encoders of '{modality}': {', '.join(others)}" if others else "no plugin has an encoder of it"
        message = f"the encoder '{entry.name}' is of modality '{entry.spec.modality}', not '{modality}'"
        yield Problem("R123", layer.origin((*path, "use")), show_key((*path, "use")), message, hint)


def check_modality(layer: Layer, registry: Registry, modality: str, path: KeyPath) -> Iterator[Problem]:
    """A modality's name."""
    known = [entry.spec.name for entry in registry.list("modality")]
    if modality not in known:
        hint = did_you_mean(modality, known) or (f"known: {', '.join(sorted(known))}" if known else "")
        hint = hint or "install the plugin of this modality; `vlcli plugins list` shows what is active"
        yield Problem("R121", layer.origin(path), show_key(path), f"no modality is named '{modality}'", hint)


def check_data(layer: Layer, registry: Registry, path: KeyPath, table: dict[str, Any], key: str) -> Iterator[Problem]:
    """A data set: a registered one, or a file or folder of the user, which is looked for when the recipe runs."""
    name = table.get(key)
    if not isinstance(name, str):
        return
    if is_user_path(name) or (not is_registered(registry, "dataset", name) and on_disk(name)):
        from vlcli.data.datasets import PATH_OPTIONS

        options = table.get("options")
        for option in options if isinstance(options, dict) else ():
            if option not in PATH_OPTIONS:
                at = (*path[:-1], "options", option)
                yield unknown_key(at, layer.origin(at), list(PATH_OPTIONS))
        return
    yield from check_nested(layer, registry, "dataset", table, path, name)


def check_step(layer: Layer, registry: Registry, path: KeyPath, step: dict[str, Any]) -> Iterator[Problem]:
    """Names in the keys `space`, `data`, `modality` and `inputs` of a step."""
    space, modality, inputs = step.get("space"), step.get("modality"), step.get("inputs")
    if isinstance(space, str) and not names_a_folder(space) and not space.startswith(HUB_PREFIX):
        yield from find(layer, registry, "space", space, (*path, "space"))[1]
    if isinstance(modality, str):
        yield from check_modality(layer, registry, modality, (*path, "modality"))
    if "data" in step:
        yield from check_data(layer, registry, (*path, "data"), step, "data")
    for index, text in enumerate(inputs if isinstance(inputs, list) else []):
        if isinstance(text, str) and text.startswith(DATA_PREFIX):
            name = text.removeprefix(DATA_PREFIX)
            yield from find(layer, registry, "dataset", name, (*path, "inputs", index))[1]


def is_registered(registry: Registry, kind: str, name: str) -> bool:
    """Whether some plugin registers a component of this kind under this full or short name."""
    return any(name in (entry.name, entry.spec.name) for entry in registry.list(kind))


def is_user_path(name: str) -> bool:
    """Whether a name is written as a path of the user's: by its beginning, or by the suffix of a table file."""
    return name.startswith((".", "/", "~", "\\", RUN_PREFIX)) or name.lower().endswith(FILE_SUFFIXES)


def on_disk(name: str) -> bool:
    """Whether there is a file or folder of this name; text that can be no file's name is none."""
    try:
        return Path(name).exists()
    except OSError:
        return False


def names_a_folder(name: str) -> bool:
    """Whether a space's name is a folder: written as a path, or there already."""
    return is_user_path(name) or on_disk(name)
