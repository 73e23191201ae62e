"""Errors that a user can act on, and the exit codes of the command line."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes; scripts may rely on them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    """The work is done, but some inputs were refused."""
    PLUGIN = 4
    MISMATCH = 5
    """The store and the space do not belong together."""
    INTERRUPTED = 130


# The first letter of an error code says which room it comes from, and with it the exit code.
_EXIT_BY_PREFIX = {
    "R": ExitCode.USAGE,  # recipes
    "U": ExitCode.USAGE,  # usage of the command line
    "P": ExitCode.PLUGIN,  # plugins
    "M": ExitCode.MISMATCH,  # space and store mismatch
}


class VlcliError(Exception):
    """An error told in one sentence: what was refused, where, and what to do.

    Args:
        code: a letter and three digits. `R` recipe, `U` usage, `P` plugin, `M` space/store mismatch, `D` data,
            `S` store, `W` weights, `X` runtime and device, `T` training, `E` evaluation.
        where: the file (and line), key or name that the error is about; may be empty.
        message: what was refused and why.
        help: what the user can do about it; may be empty.
        exit_code: overrides the code that follows from the prefix.
    """

    def __init__(self, code: str, where: str, message: str, help: str = "", exit_code: ExitCode | None = None) -> None:
        super().__init__(code, where, message, help)
        self.code = code
        self.where = where
        self.message = message
        self.help = help
        self.exit_code = exit_code or _EXIT_BY_PREFIX.get(code[:1], ExitCode.FAILED)

    def __str__(self) -> str:
        place = f" {self.where}" if self.where else ""
        remedy = f" — {self.help}" if self.help else ""
        return f"error[{self.code}]{place}: {self.message}{remedy}"

    def __reduce__(self) -> tuple[type[VlcliError], tuple[object, ...]]:
        return type(self), (self.code, self.where, self.message, self.help, self.exit_code)


def did_you_mean(word: str, candidates: list[str]) -> str:
    """A hint such as `did you mean 'lr'?`, or an empty string when nothing is near."""
    import difflib

    near = difflib.get_close_matches(word, candidates, n=3, cutoff=0.6)
    if not near:
        return ""
    return "did you mean " + " or ".join(f"'{name}'" for name in near) + "?"
