"""A resolved recipe as TOML text, with a comment after each key that says where it was set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from vlcli.recipe.problems import KeyPath, is_bare

if TYPE_CHECKING:
    from vlcli.recipe.load import ResolvedRecipe


def render_recipe(recipe: ResolvedRecipe) -> str:
    """The resolved recipe; reading it again gives the same values."""
    heading = "".join(f"# from {file.label}\n" for file in recipe.files)
    return heading + render_toml(recipe.values, lambda path: str(recipe.origin(path)))


def render_toml(values: dict[str, Any], comment: Callable[[KeyPath], str] | None = None) -> str:
    """A table as TOML: keys first, then sub-tables under headers; arrays stay on one line."""
    return "\n".join(table_lines(values, (), comment)).strip("\n") + "\n"


def table_lines(values: dict[str, Any], path: KeyPath, comment: Callable[[KeyPath], str] | None) -> Iterator[str]:
    """The lines of one table and of those below it."""
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    for key, value in values.items():
        if key not in tables:
            line = f"{toml_key(key)} = {toml_value(value)}"
            note = comment((*path, key)) if comment else ""
            yield f"{line}  # {printable(note)}" if note else line
    for key, value in tables.items():
        here = (*path, key)
        # A table that only holds tables needs no header of its own.
        if not value or any(not isinstance(item, dict) for item in value.values()):
            yield ""
            yield "[" + ".".join(toml_key(str(part)) for part in here) + "]"
        yield from table_lines(value, here, comment)


def toml_key(key: str) -> str:
    """A key, quoted where TOML demands it."""
    return key if is_bare(key) else toml_string(key)


def toml_value(value: Any) -> str:
    """A value on one line.

    Raises:
        TypeError: for what TOML has no form for.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        return text if any(mark in text for mark in ".en") else f"{text}.0"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_key(key)} = {toml_value(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"TOML has no form for {type(value).__name__}")


def toml_string(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL, which TOML wants escaped as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def printable(text: str) -> str:
    """A comment's text without what would end or break the line."""
    return "".join(character if character.isprintable() else "�" for character in text)
