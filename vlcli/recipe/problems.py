"""What can be wrong with a recipe, and the exception that reports all of it at once.

Codes: R101 unknown key · R102 wrong type · R103 missing key · R104 value not allowed · R105 not TOML · R106 no such
file · R107 unreadable · R108 too large · R109 nested too deeply · R110 no such recipe · R111 cycle of `extends` ·
R112 `extends` not allowed · R114 keys that exclude or require each other · R121 unknown component · R122 missing plugin
or requirement · R123 component of another modality · R131 malformed `--set`/`--unset` · R132 `--set` or `--unset` that
does not fit the recipe · R201–R206 run folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vlcli.errors import VlcliError

KeyPath = tuple[str | int, ...]
"""A place in a recipe: table names, keys and array indices from the top."""

MAX_PROBLEMS = 50


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a key was set: a file and line, or an override of the command line."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the code, where, on which key, what, and what to do."""

    code: str
    where: Origin
    key: str
    message: str
    help: str = ""

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        remedy = f" — {self.help}" if self.help else ""
        return f"error[{self.code}] {self.where}: {key}{self.message}{remedy}"

    def as_json(self) -> dict[str, str | int | None]:
        """The problem as `vlcli recipes check --json` prints it."""
        return {
            "code": self.code, "source": self.where.source, "line": self.where.line, "key": self.key,
            "message": self.message, "help": self.help,
        }  # fmt: skip


class RecipeError(VlcliError):
    """All problems of a recipe; as text, one line each, in the order of the files."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            raise ValueError("a RecipeError needs at least one problem")
        first = problems[0]
        message = f"{first.key}: {first.message}" if first.key else first.message
        super().__init__(first.code, str(first.where), message, first.help)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:MAX_PROBLEMS]]
        if len(self.problems) > MAX_PROBLEMS:
            lines.append(f"… and {len(self.problems) - MAX_PROBLEMS} more problems")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[RecipeError], tuple[object, ...]]:
        return type(self), (self.problems,)


def show_key(path: KeyPath) -> str:
    """A path as a user writes it: `towers.images.head.dim`, with indices in brackets, odd names quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if is_bare(part) else '"' + part.replace("\\", "\\\\").replace('"', '\\"') + '"'
            text += f".{name}" if text else name
    return text if len(text) <= 120 else text[:117] + "…"


def is_bare(key: str) -> bool:
    """True for a key that TOML takes without quotes."""
    return bool(key) and all(character.isascii() and (character.isalnum() or character in "-_") for character in key)


def show_value(value: object) -> str:
    """A value as TOML shows it, shortened, for messages."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = value if len(value) <= 40 else value[:37] + "…"
        return '"' + "".join(c if c.isprintable() else "�" for c in text) + '"'
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "…"
