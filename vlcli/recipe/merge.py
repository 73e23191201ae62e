"""How layers of a recipe become one: tables merge, arrays and values replace, a changed `use` drops old options.

Overrides of the command line (`--set`, `--unset`) are layers too, so every key keeps the place it was set.
"""

from __future__ import annotations

import tomllib
from typing import Any

from vlcli.errors import did_you_mean
from vlcli.recipe.document import MAX_DEPTH, Layer
from vlcli.recipe.problems import KeyPath, Origin, Problem, RecipeError, show_key

# Keys that stay when the `use` beside them changes: they belong to the recipe, not to the component.
KEPT_WITH_NEW_USE: dict[str, frozenset[str]] = {"towers": frozenset({"head"})}


def merge(base: Layer, top: Layer) -> Layer:
    """`top` laid over `base`; neither is changed. Order: the keys of `base`, then those that are new."""
    merged = Layer(copy_value(base.values), dict(base.origins))
    merge_table(merged, merged.values, top.values, top, ())
    if () in top.origins:
        merged.origins[()] = top.origins[()]
    return merged


def merge_table(merged: Layer, target: dict[str, Any], source: dict[str, Any], top: Layer, path: KeyPath) -> None:
    """Lay one table over another in place, with origins."""
    if "use" in source and "use" in target and source["use"] != target["use"]:
        kept = KEPT_WITH_NEW_USE.get(str(path[0]), frozenset()) if len(path) == 2 else frozenset()
        for key in [key for key in target if key != "use" and key not in kept]:
            del target[key]
            forget(merged, (*path, key))
    for key, value in source.items():
        here = (*path, key)
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            merge_table(merged, target[key], value, top, here)
            if here not in merged.origins and here in top.origins:
                merged.origins[here] = top.origins[here]
        else:
            forget(merged, here)
            target[key] = copy_value(value)
            merged.origins.update((p, o) for p, o in top.origins.items() if p[: len(here)] == here)
            merged.origins.setdefault(here, top.origin(here))


def forget(layer: Layer, path: KeyPath) -> None:
    """Drop the origins of a path and of all below it."""
    for known in [known for known in layer.origins if known[: len(path)] == path]:
        del layer.origins[known]


def copy_value(value: Any) -> Any:
    """A copy of tables and arrays, so that no two layers share one."""
    if isinstance(value, dict):
        return {key: copy_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_value(item) for item in value]
    return value


def parse_key(text: str, option: str) -> tuple[str, ...]:
    """`a.b."c d"` as its names.

    Raises:
        RecipeError: R131 when it is no TOML key.
    """
    problem = Problem("R131", Origin(option), "", f"'{text}' is not a key", "write it as table.key, such as optim.lr")
    if not text.strip() or any(character in text for character in "\n\r=#[]{}"):
        raise RecipeError([problem])
    try:
        value = tomllib.loads(f"{text} = 0")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError([problem]) from error
    names: list[str] = []
    while isinstance(value, dict):
        name, value = next(iter(value.items()))
        names.append(name)
    if len(names) > MAX_DEPTH:
        raise RecipeError([problem])
    return tuple(names)


def parse_override(text: str) -> tuple[tuple[str, ...], Any]:
    """`optim.lr=1e-3` as names and value; a value that is not TOML is taken as a string, if it looks like a word.

    Raises:
        RecipeError: R131 when there is no `=`, or a quoted string, array or table is malformed.
    """
    option = f"--set {text}"
    key, equals, raw = text.partition("=")
    if not equals:
        raise RecipeError([Problem("R131", Origin(option), "", "has no '='", "write --set key=value")])
    names, raw = parse_key(key, option), raw.strip()
    try:
        parsed = tomllib.loads(f"value = {raw}")
        if list(parsed) == ["value"]:
            return names, parsed["value"]
    except tomllib.TOMLDecodeError as error:
        if raw[:1] in ('"', "'", "[", "{"):
            problem = Problem("R131", Origin(option), show_key(names), f"the value {raw} is not valid TOML",
                              "check its quotes and brackets, and quote the whole argument for the shell")  # fmt: skip
            raise RecipeError([problem]) from error
    except RecursionError as error:
        problem = Problem("R131", Origin(option), show_key(names), "the value is nested too deeply", "flatten it")
        raise RecipeError([problem]) from error
    return names, raw


def apply_set(layer: Layer, text: str) -> Layer:
    """The layer with one `--set key=value` laid over it.

    Raises:
        RecipeError: R131, or R132 when the key goes through something that is not a table.
    """
    names, value = parse_override(text)
    origin = Origin(f"--set {text}")
    found: Any = layer.values
    for number, name in enumerate(names[:-1]):
        found = found.get(name, {})
        if not isinstance(found, dict):
            kind = "an array; give it whole" if isinstance(found, list) else "not a table"
            outer = show_key(names[: number + 1])
            raise RecipeError([Problem("R132", origin, show_key(names), f"'{outer}' is {kind}")])
    values: dict[str, Any] = {names[-1]: value}
    for name in reversed(names[:-1]):
        values = {name: values}
    origins: dict[KeyPath, Origin] = {names[:end]: origin for end in range(1, len(names) + 1)}
    return merge(layer, Layer(values, origins))


def apply_unset(layer: Layer, text: str) -> Layer:
    """The layer without one key or table.

    Raises:
        RecipeError: R132 when the recipe does not set it.
    """
    origin = Origin(f"--unset {text}")
    names = parse_key(text, str(origin))
    changed = Layer(copy_value(layer.values), dict(layer.origins))
    table: Any = changed.values
    for number, name in enumerate(names):
        if not isinstance(table, dict) or name not in table:
            known = [show_key((*names[:number], key)) for key in table] if isinstance(table, dict) else []
            hint = did_you_mean(show_key(names), known) or (f"set there: {', '.join(known)}" if known else "")
            raise RecipeError([Problem("R132", origin, show_key(names), "is not set, so it can not be unset", hint)])
        if number == len(names) - 1:
            del table[name]
        else:
            table = table[name]
    forget(changed, names)
    return changed
