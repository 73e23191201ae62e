"""One recipe file: its values (tomllib) and the line of every key and array element (tree-sitter-toml)."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.recipe.problems import KeyPath, Origin, Problem, RecipeError

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

MAX_BYTES = 256 * 1024
MAX_DEPTH = 24
BAD_AT = "(at "
# A string that is not closed reaches to the end of the text: then each place is tried once and time stays linear.
STRINGS_AND_COMMENTS = re.compile(
    r""""{3}(?:[^\\]|\\.)*?(?:"{3}|\Z)|'{3}.*?(?:'{3}|\Z)|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?|\#[^\n]*+""", re.DOTALL
)
LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MAX_DEPTH},}}")


@dataclass
class Layer:
    """Values with the origin of every key in them; what files, overrides and merges have in common."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """The origin of a path, or of the nearest table around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return self.origins.get((), Origin("recipe"))


def read_document(file: Path, label: str) -> Layer:
    """Read a recipe file.

    Args:
        file: the file.
        label: how messages name it.

    Raises:
        RecipeError: R105–R109 when the file is missing, unreadable, too large, not UTF-8, not TOML or too deep.
    """
    return parse_document(read_text(file, label), label)


def read_text(file: Path, label: str) -> str:
    """The text of a regular file of bounded size; a recipe never makes us read a device, a pipe or a gigabyte."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise broken("R107", Origin(label), "is not a regular file", "name a recipe file that ends in .toml")
        # The size is taken from what is read as well: the file may grow, and /proc reports no size.
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise broken("R106", Origin(label), "no such recipe file", "check the path") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise broken("R107", Origin(label), f"can not be read ({reason})", "check the path and permissions") from error
    if len(data) > MAX_BYTES:
        size = max(status.st_size, len(data))
        raise broken("R108", Origin(label), f"holds {size:,} bytes, a recipe may hold {MAX_BYTES:,}",
                     "put data into files of its own and name them in the recipe")  # fmt: skip
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise broken("R107", Origin(label, line), "is not UTF-8 text", "save the file as UTF-8") from error


def parse_document(text: str, label: str) -> Layer:
    """Values and positions of a recipe's text."""
    text = text.replace("\r\n", "\n")
    # tomllib takes quadratic time for a key of many parts, so such a key is refused before it gets to see it.
    if LONG_KEY.search(STRINGS_AND_COMMENTS.sub("s", text)):
        raise too_deep(label)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([syntax_problem(error, text, label)]) from error
    except RecursionError as error:
        raise too_deep(label) from error
    if depth(values) > MAX_DEPTH:
        raise too_deep(label)
    origins: dict[KeyPath, Origin] = {(): Origin(label, 1)}
    for path, line in positions(text):
        origins.setdefault(path, Origin(label, line))
    return Layer(values, origins)


def broken(code: str, where: Origin, message: str, help: str) -> RecipeError:
    """An error about the file as a whole."""
    return RecipeError([Problem(code, where, "", message, help)])


def too_deep(label: str) -> RecipeError:
    """The error for tables or arrays within each other beyond reason."""
    return broken("R109", Origin(label), f"tables or arrays are nested more than {MAX_DEPTH} deep", "flatten them")


def syntax_problem(error: tomllib.TOMLDecodeError, text: str, label: str) -> Problem:
    """tomllib's message with its place taken out of the text and put where places stand."""
    message, found, place = str(error).rpartition(BAD_AT)
    if not found:
        return Problem("R105", Origin(label), "", f"is not valid TOML: {error}")
    line, column = text.count("\n") + 1, 0
    numbers = [int(word.strip(",)")) for word in place.split() if word.strip(",)").isdigit()]
    if len(numbers) == 2:
        line, column = numbers
    at = f" at column {column}" if column else " at the end of the file"
    return Problem("R105", Origin(label, line), "", f"is not valid TOML: {message.strip().lower()}{at}")


def depth(values: Any) -> int:
    """How deep tables and arrays are nested, counted without recursion and no further than needed."""
    deepest, pending = 0, [(values, 1)]
    while pending:
        value, level = pending.pop()
        deepest = max(deepest, level)
        if level > MAX_DEPTH:
            break
        children = value.values() if isinstance(value, dict) else value
        pending.extend((child, level + 1) for child in children if isinstance(child, dict | list))
    return deepest


@cache
def parser() -> Parser:
    """The tree-sitter parser for TOML."""
    import tree_sitter_toml
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_toml.language()))


def positions(text: str) -> Iterator[tuple[KeyPath, int]]:
    """(path, line) of every table, key and array element; lines count from 1."""
    last: dict[KeyPath, int] = {}
    """path of an array of tables -> index of its last element"""
    for node in parser().parse(text.encode("utf-8")).root_node.named_children:
        if node.type == "pair":
            yield from pair_positions(node, ())
        elif node.type in ("table", "table_array_element"):
            line = node.start_point.row + 1
            path = inside_arrays(key_parts(node.named_children[0]), last)
            yield from prefixes(path, 0, line)
            if node.type == "table_array_element":
                last[path] = last.get(path, -1) + 1
                path = (*path, last[path])
                yield path, line
            for child in node.named_children[1:]:
                if child.type == "pair":
                    yield from pair_positions(child, path)


def inside_arrays(parts: tuple[str, ...], last: dict[KeyPath, int]) -> KeyPath:
    """A header's path with the index of the last element put in wherever it passes through an array of tables."""
    path: KeyPath = ()
    for number, part in enumerate(parts):
        path = (*path, part)
        if path in last and number < len(parts) - 1:
            path = (*path, last[path])
    return path


def prefixes(path: KeyPath, start: int, line: int) -> Iterator[tuple[KeyPath, int]]:
    """The path and the tables that its header or dotted key names on the way, all on this line."""
    for end in range(start + 1, len(path) + 1):
        yield path[:end], line


def pair_positions(pair: Node, prefix: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """Positions of `key = value` and of everything inside the value."""
    key, value = [child for child in pair.named_children if child.type != "comment"][:2]
    path = (*prefix, *key_parts(key))
    yield from prefixes(path, len(prefix), pair.start_point.row + 1)
    yield from value_positions(value, path)


def value_positions(value: Node, path: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    """Positions inside an array or an inline table."""
    children = [child for child in value.named_children if child.type != "comment"]
    if value.type == "array":
        for index, child in enumerate(children):
            yield (*path, index), child.start_point.row + 1
            yield from value_positions(child, (*path, index))
    elif value.type == "inline_table":
        for child in children:
            yield from pair_positions(child, path)


def key_parts(key: Node) -> tuple[str, ...]:
    """The names in a bare, quoted or dotted key, quotes and escapes resolved."""
    parts: list[str] = []
    pending = [key]
    while pending:
        node = pending.pop()
        if node.type == "dotted_key":
            pending.extend(reversed(node.named_children))
            continue
        text = (node.text or b"").decode("utf-8")
        parts.append(next(iter(tomllib.loads(f"{text} = 0"))) if node.type == "quoted_key" else text)
    return tuple(parts)
