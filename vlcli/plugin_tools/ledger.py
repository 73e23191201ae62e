"""`plugins.toml`: which plugins the user installed through vlcli, and which are switched off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from vlcli.plugins import read_plugins_file
from vlcli.runtime.files import write_atomic
from vlcli.runtime.paths import plugins_file


@dataclass
class Installed:
    """A distribution that `vlcli plugins install` brought.

    Attributes:
        spec: what the user asked for; `sync` asks pip for it again.
        editable: installed with `-e`.
        plugins: entry points that it registers.
    """

    distribution: str
    version: str
    spec: str
    editable: bool = False
    plugins: list[str] = field(default_factory=list)


def installed() -> list[Installed]:
    """The recorded distributions.

    Raises:
        VlcliError: P101 when the file can not be read.
    """
    rows = read_plugins_file().get("installed", [])
    return [
        Installed(
            str(row.get("distribution", "")), str(row.get("version", "")), str(row.get("spec", "")),
            bool(row.get("editable", False)), [str(name) for name in row.get("plugins", [])],
        )
        for row in rows
    ]  # fmt: skip


def record(rows: Sequence[Installed]) -> None:
    """Add or replace records, by distribution."""
    table = read_plugins_file()
    replaced = {row.distribution for row in rows}
    kept = [row for row in installed() if row.distribution not in replaced]
    table["installed"] = [vars(row) for row in sorted([*kept, *rows], key=lambda row: row.distribution)]
    write(table)


def forget(distributions: Sequence[str]) -> None:
    """Remove records."""
    table = read_plugins_file()
    table["installed"] = [vars(row) for row in installed() if row.distribution not in distributions]
    write(table)


def set_disabled(names: Sequence[str], disabled: bool) -> list[str]:
    """Switch plugins off or on; returns all that are off now."""
    table = read_plugins_file()
    off = set(table.get("disabled", []))
    off = off | set(names) if disabled else off - set(names)
    table["disabled"] = sorted(off)
    write(table)
    return sorted(off)


def write(table: dict[str, Any]) -> None:
    """Replace the file, durably; keys that this version does not know stay."""
    import tomli_w

    write_atomic(plugins_file(), tomli_w.dumps(table))
