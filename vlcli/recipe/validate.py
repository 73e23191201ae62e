"""Values against a pydantic model, with every error turned into a problem at its line."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from vlcli.errors import did_you_mean
from vlcli.recipe.document import Layer
from vlcli.recipe.problems import KeyPath, Origin, Problem, show_key, show_value

Model = TypeVar("Model", bound=BaseModel)

EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "an array",
    "tuple_type": "an array",
    "set_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "dataclass_type": "a table",
}
"""pydantic's error type -> what it expected, in TOML's words."""


def validate(model: type[Model], values: Any, prefix: KeyPath, layer: Layer) -> tuple[Model | None, list[Problem]]:
    """The model filled from `values`, which stand at `prefix` in the recipe; or None and all that is wrong."""
    try:
        return model.model_validate(values), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    by_path: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in details:
        by_path.setdefault(real_path(detail, values), []).append(detail)
    return None, [problem(model, values, prefix, path, found, layer) for path, found in by_path.items()]


def real_path(detail: ErrorDetails, values: Any) -> KeyPath:
    """pydantic's location without the tags of unions, which are no keys of the recipe."""
    path: KeyPath = ()
    found = values
    for part in detail["loc"]:
        if isinstance(found, list | tuple):
            found = dict(enumerate(found))
        if isinstance(found, dict) and part in found:
            path, found = (*path, part), found[part]
    if detail["type"] == "missing":
        path = (*path, detail["loc"][-1])
    return path


def problem(
    model: type[BaseModel], values: Any, prefix: KeyPath, path: KeyPath, details: list[ErrorDetails], layer: Layer
) -> Problem:
    """One problem for all that pydantic says about one key."""
    detail, full = details[0], (*prefix, *path)
    where, key = layer.origin(full), show_key(full)
    if detail["type"] == "missing":
        return Problem("R103", layer.origin(full[:-1]), key, "missing key")
    if detail["type"] == "extra_forbidden":
        return unknown_key(full, where, known_keys(model, path[:-1]))
    expected = [EXPECTED[found["type"]] for found in details if found["type"] in EXPECTED]
    literals = [word for found in details if found["type"] == "literal_error" for word in literal_words(found)]
    given = value_at(values, path)
    if literals:
        return unknown_choice(full, where, given, literals, expected)
    if expected:
        kinds = " or ".join(dict.fromkeys(expected))
        hint = f"write [{show_value(given)}]" if kinds == "an array" and isinstance(given, str | int | float) else ""
        return Problem("R102", where, key, f"expected {kinds}, got {show_value(given)}", hint)
    if detail["type"] == "expected":
        return Problem("R102", where, key, f"{detail['msg']}, got {show_value(given)}")
    return Problem("R104", where, key, f"{show_value(given)} is not allowed: {plain(detail)}")


def unknown_key(full: KeyPath, where: Origin, known: list[str]) -> Problem:
    """The problem of a key that its table does not have."""
    hint = did_you_mean(str(full[-1]), known) or (f"known: {', '.join(sorted(known))}" if known else "")
    return Problem("R101", where, show_key(full), "unknown key", hint)


def unknown_choice(full: KeyPath, where: Origin, given: Any, words: list[str], expected: list[str]) -> Problem:
    """The problem of a value that is none of those listed."""
    hint = did_you_mean(given, words) if isinstance(given, str) else ""
    choices = " or ".join([*(f'"{word}"' for word in words), *expected])
    code = "R104" if isinstance(given, str) else "R102"
    return Problem(code, where, show_key(full), f"expected {choices}, got {show_value(given)}", hint)


def literal_words(detail: ErrorDetails) -> list[str]:
    """The words in pydantic's `'a', 'b' or 'c'`."""
    text = str(detail.get("ctx", {}).get("expected", "")).replace(" or ", ", ")
    return [word.strip("'") for word in text.split(", ")]


def plain(detail: ErrorDetails) -> str:
    """pydantic's sentence in the words used here."""
    context: Mapping[str, Any] = detail.get("ctx", {})
    sentences = {
        "greater_than_equal": "it must be at least {ge}",
        "greater_than": "it must be above {gt}",
        "less_than_equal": "it must be at most {le}",
        "less_than": "it must be below {lt}",
        "too_short": "it needs at least {min_length} entries",
        "too_long": "it may have at most {max_length} entries",
        "string_too_short": "it may not be empty",
        "string_pattern_mismatch": "it must match {pattern}",
        "finite_number": "it must be finite",
    }
    if detail["type"] in sentences:
        return sentences[detail["type"]].format(**context)
    message = detail["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def value_at(values: Any, path: KeyPath) -> Any:
    """The value at a path that is known to exist."""
    for part in path:
        values = values[part]
    return values


def known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys of the table at a path inside a model, as the recipe writes them."""
    found = model_at(model, path)
    return [] if found is None else [field.alias or name for name, field in found.model_fields.items()]


def model_at(annotation: Any, path: KeyPath) -> type[BaseModel] | None:
    """The model of the table at a path, found along type annotations."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return annotation
        for name, field in annotation.model_fields.items():
            if path[0] == (field.alias or name):
                return model_at(field.annotation, path[1:])
        return None
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return model_at(arguments[0], path)
    if origin is dict and path:
        return model_at(arguments[1], path[1:])
    if origin in (tuple, list) and path:
        return model_at(arguments[0], path[1:])
    if origin in (Union, types.UnionType):
        return next((found for found in (model_at(argument, path) for argument in arguments) if found), None)
    return None
