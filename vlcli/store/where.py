"""`--where`: one SQL expression over item columns, evaluated so that it can do nothing else.

Four fences stand around it. A small lexer takes the expression apart and refuses what is not one expression:
comments, semicolons, parameters, unbalanced parentheses, sub-queries. An authorizer lets the compiled statement read
the columns of `items` and call functions from a list, and nothing else (no other table, no write, ATTACH, PRAGMA or
load_extension). Limits bound its length, depth and the size of its values; a progress handler bounds its time.

Columns are those of an item and every metadata key; where a key has an item column's name, the item column wins and
the key is reached with `metadata ->> 'key'`. Names compare without regard to case, as everywhere in SQL.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vlcli.errors import VlcliError, did_you_mean

ITEM_COLUMNS = ("id", "path", "modality", "content_hash", "size", "mtime_ns", "text", "metadata")

SAFE_FUNCTIONS = frozenset({
    "abs", "ceil", "ceiling", "char", "coalesce", "date", "datetime", "floor", "glob", "hex", "ifnull", "iif", "instr",
    "json_array_length", "json_extract", "json_type", "json_valid", "julianday", "length", "like", "ln", "log", "lower",
    "ltrim", "max", "min", "mod", "nullif", "pow", "power", "replace", "round", "rtrim", "sign", "sqrt", "strftime",
    "substr", "substring", "time", "trim", "trunc", "typeof", "unicode", "unixepoch", "upper", "->", "->>",
})  # fmt: skip

MAX_LENGTH = 10_000
SECONDS = 10.0
_STEPS = 2_000  # virtual-machine steps between two looks at the clock
_SELECTS = 2  # the statement itself and the sub-select that names the columns

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<comment>--|/\*)
      | (?P<string>[xX]?'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
      | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))
      | (?P<word>[^\W\d]\w*)
      | (?P<parameter>[?:@$\#])
      | (?P<operator>->>|->|\|\||<=|>=|<>|!=|==|<<|>>|[-+*/%&|~<>=.,()])
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_STATEMENTS = frozenset({
    "select", "with", "values", "insert", "update", "delete", "replace", "attach", "detach", "pragma", "create", "drop",
    "alter", "vacuum", "over", "filter",
})  # fmt: skip
_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_CALLABLE = frozenset({"replace"})  # a statement's keyword that is also a function


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled filter: SQL for a table named `items` with the columns that it needs, and its parameters."""

    sql: str
    parameters: tuple[str, ...] = ()


def compile_filter(where: str | None, modality: str | None, keys: Iterable[str]) -> Filter | None:
    """The filter for an expression, a modality, or both; None when there is nothing to filter.

    Its SQL gives the numbers `n` of the items that pass, in rising order.

    Args:
        where: the user's expression.
        modality: keep only items of this modality.
        keys: the metadata keys that occur in the store.

    Raises:
        VlcliError: U302 when the text is not one expression, U301 when a quoted name is no column.
    """
    if where is None and modality is None:
        return None
    conditions: list[str] = []
    parameters: list[str] = []
    columns = list(ITEM_COLUMNS)
    if where is not None:
        columns += _metadata_columns(_names_in(where, keys), keys)
        conditions.append(f"(\n{where}\n)")
    if modality is not None:
        conditions.append("modality = ?")
        parameters.append(modality)
    table = f"(SELECT n, {', '.join(columns)} FROM items) AS items"
    return Filter(f"SELECT n FROM {table} WHERE {' AND '.join(conditions)} ORDER BY n", tuple(parameters))


def _names_in(where: str, keys: Iterable[str]) -> set[str]:
    """The lower-case names that the expression mentions; refuses what is not one expression."""
    if len(where) > MAX_LENGTH or "\0" in where:
        raise refused(f"it is longer than {MAX_LENGTH} characters, or holds a NUL")
    tokens = [match for match in _TOKEN.finditer(where) if match.lastgroup != "space"]
    if not tokens:
        raise refused("it is empty")
    names, depth = set(), 0
    known = {fold(name) for name in (*ITEM_COLUMNS, *keys)}
    for index, token in enumerate(tokens):
        kind, text = token.lastgroup, token.group()
        if kind == "comment":
            raise refused("comments are not allowed")
        if kind == "parameter":
            raise refused(f"'{text}' is not allowed (no parameters)")
        if kind == "other":
            raise refused("a quote is not closed" if text in "'\"`[" else f"'{text}' is not allowed")
        if kind == "operator":
            depth += {"(": 1, ")": -1}.get(text, 0)
            if depth < 0:
                raise refused("a parenthesis closes that was not opened")
        elif kind == "word":
            names.add(fold(text))
            called = index + 1 < len(tokens) and tokens[index + 1].group() == "("
            column = fold(text) in known and not called
            if text.lower() in _STATEMENTS and not column and not (called and text.lower() in _CALLABLE):
                raise refused(f"'{text}' is not allowed (one expression, no sub-query)")
        elif kind == "quoted":
            # SQLite would silently take an unknown "name" for a string.
            name = fold(text[1:-1].replace(text[-1] * 2, text[-1]))
            if name not in known:
                raise no_column(name, keys, "text goes in single quotes")
            names.add(name)
    if depth:
        raise refused("a parenthesis is not closed")
    return names


def _metadata_columns(names: set[str], keys: Iterable[str]) -> list[str]:
    """Select-list entries for the metadata keys that are mentioned; keys that differ by case share a column."""
    by_name: dict[str, list[str]] = {}
    for key in sorted(keys):
        if fold(key) in names and fold(key) not in ITEM_COLUMNS and '"' not in key:
            by_name.setdefault(fold(key), []).append(key)
    columns = []
    for name, spellings in by_name.items():
        values = ["json_extract(metadata, " + quote(f'$."{key}"') + ")" for key in spellings]
        value = values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"
        columns.append(f'{value} AS "{name}"')
    return columns


def fold(name: str) -> str:
    """A name as SQL compares it: ASCII letters without case, all others as they are."""
    return name.translate(_ASCII_LOWER)


def quote(text: str) -> str:
    """Text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def run_filter(connection: sqlite3.Connection, compiled: Filter, keys: Iterable[str],
               seconds: float = SECONDS) -> list[int]:  # fmt: skip
    """The numbers of the items that pass the filter, rising.

    Raises:
        VlcliError: U301 for an unknown column, U302 for what is not allowed or no SQL, U303 when it takes too long.
    """
    with fenced(connection, seconds):
        try:
            return [row[0] for row in connection.execute(compiled.sql, compiled.parameters)]
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise _explain(error, keys, seconds) from error


@contextlib.contextmanager
def fenced(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Authorizer, limits and clock around the statements run inside."""
    selects = 0

    def authorize(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
        nonlocal selects
        if action == sqlite3.SQLITE_SELECT:
            selects += 1
            return sqlite3.SQLITE_OK if selects <= _SELECTS else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_READ and first == "items":
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_FUNCTION and str(second).lower() in SAFE_FUNCTIONS:
            return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    deadline = time.monotonic() + seconds
    limits = {sqlite3.SQLITE_LIMIT_LENGTH: 64 << 20, sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
              sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000}  # fmt: skip
    before = {limit: connection.setlimit(limit, value) for limit, value in limits.items()}
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    connection.set_authorizer(authorize)
    try:
        yield
    finally:
        connection.set_authorizer(None)
        connection.set_progress_handler(None, 0)
        for limit, value in before.items():
            connection.setlimit(limit, value)


def _explain(error: sqlite3.Error | sqlite3.Warning, keys: Iterable[str], seconds: float) -> VlcliError:
    """SQLite's complaint about an expression, told to its author."""
    text = str(error)
    if missing := re.match(r"no such column: (.*)", text):
        return no_column(missing.group(1), keys)
    if getattr(error, "sqlite_errorname", "") == "SQLITE_INTERRUPT":
        return VlcliError("U303", "--where", f"the filter took longer than {seconds:g} s", "write a simpler one")
    if "not authorized" in text or "prohibited" in text:
        return refused(f"it may only read columns and call plain functions ({text})")
    return refused(text)


def refused(reason: str) -> VlcliError:
    """The expression is not one that may be run."""
    return VlcliError("U302", "--where", f"the expression was refused: {reason}",
                      "write one condition over columns, such as \"path like '%2024%' and year > 2020\"")  # fmt: skip


def no_column(name: str, keys: Iterable[str], hint: str = "") -> VlcliError:
    """The expression names a column that no item has."""
    columns = [*ITEM_COLUMNS, *sorted(key for key in keys if key.lower() not in ITEM_COLUMNS)]
    shown = ", ".join(columns[:40]) + (f" … ({len(columns)} in all)" if len(columns) > 40 else "")
    near = did_you_mean(name, columns)
    help = "; ".join(part for part in (hint, near, f"columns: {shown}") if part)
    return VlcliError("U301", "--where", f"there is no column '{name}'", help)
