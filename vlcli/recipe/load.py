"""From a name or path to a resolved recipe: files, `extends`, overrides, checks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from vlcli.recipe.check import arm_layer, check_recipe
from vlcli.recipe.document import Layer, read_document
from vlcli.recipe.find import RecipeFile, locate, locate_base
from vlcli.recipe.merge import apply_set, apply_unset, merge
from vlcli.recipe.problems import KeyPath, Origin, Problem, RecipeError, show_key
from vlcli.recipe.schema import SCHEMA_VERSION, Recipe

if TYPE_CHECKING:
    from vlcli.registry import Registry

MAX_EXTENDS_DEPTH = 16
MAX_FILES = 64
DEFAULT = Origin("default")
# A resumed run may move to another machine; these keys do not change what it computes.
FREE_ON_RESUME = ("device", "threads", "summary")


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe that passed all checks.

    Attributes:
        name: its name.
        model: the typed sections; `model.steps` holds the typed steps by name, in their order.
        values: the same as plain TOML values, defaults filled in.
        provenance: where every key was set; keys that are not in it have their default.
        files: the files it was made of, the one that was asked for last.
    """

    name: str
    model: Recipe
    values: dict[str, Any]
    provenance: dict[KeyPath, Origin]
    files: tuple[RecipeFile, ...]

    @property
    def hash(self) -> str:
        """SHA-256 over the values that decide what a run computes, in hex."""
        values = {key: value for key, value in self.values.items() if key not in FREE_ON_RESUME}
        text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def origin(self, path: KeyPath) -> Origin:
        """Where a key was set, or `default`."""
        return self.provenance.get(path, DEFAULT)


def load_recipe(
    name_or_path: str, registry: Registry, overrides: Sequence[str] = (), unsets: Sequence[str] = ()
) -> ResolvedRecipe:
    """Find, read, merge and check a recipe. Imports no torch and runs no code of the recipe.

    Args:
        name_or_path: `plugin/name`, a short name, or a path.
        registry: the plugins' specs.
        overrides: `key=value` in TOML syntax, laid over the recipe in their order.
        unsets: keys that are taken out before.

    Raises:
        RecipeError: with all problems that were found.
    """
    file = locate(name_or_path, registry)
    layer, files = read_with_bases(file, registry)
    layer = override(layer, overrides, unsets)
    layer.values.setdefault("name", file.name)
    return resolve(layer, registry, files)


def resolve(layer: Layer, registry: Registry, files: Sequence[RecipeFile]) -> ResolvedRecipe:
    """Check a merged recipe.

    Raises:
        RecipeError: with all problems, in the order of files and lines.
    """
    model, problems = check_recipe(layer, registry)
    if model is None:
        order = [file.label for file in files]

        def rank(problem: Problem) -> tuple[int, int]:
            source = problem.where.source
            return (order.index(source) if source in order else len(order)), problem.where.line or 0

        raise RecipeError(sorted(problems, key=rank))
    return ResolvedRecipe(model.name, model, plain_values(model), layer.origins, tuple(files))


def override(layer: Layer, overrides: Sequence[str], unsets: Sequence[str]) -> Layer:
    """The layer without the keys in `unsets`, then with `overrides` laid over it.

    Raises:
        RecipeError: R131 or R132, all at once.
    """
    problems: list[Problem] = []
    for apply, texts in ((apply_unset, unsets), (apply_set, overrides)):
        for text in texts:
            try:
                layer = apply(layer, text)
            except RecipeError as error:
                problems.extend(error.problems)
    if problems:
        raise RecipeError(problems)
    return layer


def read_with_bases(
    file: RecipeFile, registry: Registry, chain: tuple[RecipeFile, ...] = (), files: list[RecipeFile] | None = None
) -> tuple[Layer, list[RecipeFile]]:
    """A file laid over all that it extends, and the files that were read, bases first.

    Raises:
        RecipeError: of the files, or R111/R112 when `extends` goes in a circle, too deep or over too many files.
    """
    files = [] if files is None else files
    own = read_document(file.path, file.label)
    problems = header_problems(own)
    if problems:
        raise RecipeError(problems)
    merged = Layer()
    here = (*chain, file)
    for index, text in enumerate(own.values.get("extends", [])):
        where, key = own.origin(("extends", index)), show_key(("extends", index))
        base = locate_base(text, file, registry, where, key)
        seen = [link.path.resolve() for link in here]
        if base.path.resolve() in seen:
            circle = " → ".join([*(link.label for link in here[seen.index(base.path.resolve()) :]), base.label])
            raise RecipeError([Problem("R111", where, key, f"goes in a circle: {circle}", "take one of them out")])
        if not base.path.exists():
            message = f"there is no file '{base.label}'"
            raise RecipeError([Problem("R106", where, key, message, "the path is relative to the file that names it")])
        if len(here) >= MAX_EXTENDS_DEPTH:
            raise RecipeError(
                [Problem("R112", where, key, f"is more than {MAX_EXTENDS_DEPTH} files deep", "flatten it")]
            )
        if len(files) >= MAX_FILES:
            raise RecipeError([Problem("R112", where, key, f"reads more than {MAX_FILES} files", "flatten it")])
        layer, _ = read_with_bases(base, registry, here, files)
        # What a recipe is called is its own business.
        merged = merge(merged, without(layer, ("name", "summary", "extends")))
    files.append(file)
    return merge(merged, own), files


def header_problems(layer: Layer) -> list[Problem]:
    """What is wrong with `schema` and `extends`, which have to be right before anything else is looked at."""
    problems = []
    schema = layer.values.get("schema")
    if schema is None:
        problems.append(Problem("R103", layer.origin(()), "schema", "missing key", f"write schema = {SCHEMA_VERSION}"))
    elif schema != SCHEMA_VERSION or isinstance(schema, bool):
        problems.append(Problem("R104", layer.origin(("schema",)), "schema",
                                f"this vlcli reads schema {SCHEMA_VERSION}, not {schema!r}",
                                "update vlcli if the recipe is newer"))  # fmt: skip
    extends = layer.values.get("extends", [])
    if not isinstance(extends, list) or not all(isinstance(text, str) for text in extends):
        problems.append(Problem("R102", layer.origin(("extends",)), "extends", "expected an array of strings",
                                'write extends = ["@plugin/recipe"]'))  # fmt: skip
    return problems


def without(layer: Layer, keys: tuple[str, ...]) -> Layer:
    """A layer without some top-level keys."""
    return Layer(
        {key: value for key, value in layer.values.items() if key not in keys},
        {path: origin for path, origin in layer.origins.items() if not path or path[0] not in keys},
    )


def plain_values(model: Recipe) -> dict[str, Any]:
    """The recipe as TOML values with defaults; sections that play no part in it are left out."""
    values: dict[str, Any] = plain(model)
    values.pop("extends", None)
    unused = () if model.trains or model.claim else ("optim", "schedule")
    return {key: value for key, value in values.items() if key not in unused and value not in ({}, [])}


def plain(value: Any) -> Any:
    """Models and tuples as tables and arrays; None, which TOML does not have, is left out."""
    if isinstance(value, BaseModel):
        names = {name: field.alias or name for name, field in type(value).model_fields.items()}
        fields = {names.get(name, name): getattr(value, name) for name in (*names, *(value.model_extra or {}))}
        return plain(fields)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def changed_keys(before: Any, after: Any, path: KeyPath = ()) -> list[KeyPath]:
    """The keys in which two recipes' values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = dict.fromkeys([*before, *after])
        return [found for key in keys for found in changed_keys(before.get(key), after.get(key), (*path, key))]
    return [] if before == after and type(before) is type(after) else [path]


def arm_recipe(recipe: ResolvedRecipe, arm: str, registry: Registry, overrides: Sequence[str] = ()) -> ResolvedRecipe:
    """The recipe of one arm of a claim, with further overrides (its seed).

    A data set that has a `seed` option follows the recipe's seed, so that seeds differ in their data too.
    """
    layer = arm_layer(Layer(recipe.values, recipe.provenance), arm)
    layer = override(layer, overrides, ())
    data = layer.values.get("data")
    if isinstance(data, dict):
        entry = next((e for e in registry.list("dataset") if data.get("use") in (e.name, e.spec.name)), None)
        model = registry.options_model(entry) if entry is not None else None
        if model is not None and "seed" in model.model_fields:
            layer = override(layer, [f"data.options.seed={layer.values.get('seed', 0)}"], ())
    return resolve(layer, registry, recipe.files)
