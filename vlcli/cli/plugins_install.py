"""How `vlcli plugins install`, `uninstall` and `sync` show a plan, ask, and report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer

from vlcli.cli.output import emit_json
from vlcli.cli.state import State
from vlcli.errors import ExitCode, VlcliError
from vlcli.plugin_tools import install as pip
from vlcli.plugin_tools.ledger import Installed, forget, record
from vlcli.plugin_tools.names import normal
from vlcli.plugin_tools.report import Report


def run_install(state: State, wishes: Sequence[pip.Wish], *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Plan, ask, install, record, examine; exit code 1 when a new plugin is not well."""
    changes = pip.plan(wishes)
    payload: dict[str, object] = {"plan": [asdict(change) for change in changes]}
    if not as_json:
        typer.echo("The plan:" if changes else "Nothing to do: all of it is installed.")
        typer.echo("".join(change.line() + "\n" for change in changes), nl=False)
    if dry_run or not changes:
        if as_json:
            emit_json({**payload, "installed": [], "ok": True})
        return
    confirm("Plugins are trusted code: they run with your rights. Install?", yes=yes)
    pip.install(wishes)
    rows = rows_of(wishes, changes)
    record(rows)
    names = [name for row in rows for name in row.plugins]
    reports = examine(state, names)
    well = all(report.ok for report in reports) and bool(names)
    if as_json:
        emit_json({
            **payload, "installed": [vars(row) for row in rows], "doctor": [report.as_json() for report in reports],
            "ok": well,
        })  # fmt: skip
    else:
        for report in reports:
            typer.echo("\n".join(report.lines(verbose=state.verbose)))
    silent = [row.distribution for row in rows if not row.plugins]
    if silent:
        raise VlcliError("P316", ", ".join(silent), "is installed but registers no plugin of this API",
                         f"remove it: vlcli plugins uninstall {' '.join(silent)}")  # fmt: skip
    if not well:
        raise typer.Exit(ExitCode.FAILED)


def rows_of(wishes: Sequence[pip.Wish], changes: Sequence[pip.Change]) -> list[Installed]:
    """What the user asked for, as it is recorded: requested distributions with the wish that each came from.

    pip's report keeps no link from a wish to its distribution, so they are told apart by address or name.
    """
    rows = []
    for change in (change for change in changes if change.requested):
        wish = next((wish for wish in wishes if belongs(wish, change)), wishes[0])
        local = Path(wish.spec).expanduser()
        spec = str(local.resolve()) if local.exists() else wish.spec
        rows.append(Installed(change.name, change.version, spec, wish.editable, pip.plugins_of(change.name)))
    return rows


def belongs(wish: pip.Wish, change: pip.Change) -> bool:
    """Whether a distribution of the plan is what a wish asked for."""
    local = Path(wish.spec).expanduser()
    if local.exists():
        return change.source == local.resolve().as_uri()
    if "://" in wish.spec:
        return change.source.split("@")[0] in wish.spec or wish.spec.endswith(change.source)
    head = wish.spec
    for mark in "[<>=!~;@ ":
        head = head.partition(mark)[0]
    return normal(head) == normal(change.name)


def examine(state: State, names: Sequence[str]) -> list[Report]:
    """Run the doctor on new plugins."""
    from vlcli.plugin_tools.doctor import examine_all

    return examine_all(list(names), note=state.note) if names else []


def run_uninstall(state: State, names: Sequence[str], *, yes: bool) -> None:
    """Find the distributions, ask, remove, forget."""
    from vlcli.cli.plugins import unknown_plugin
    from vlcli.plugins import find_installed

    found = find_installed()
    distributions: list[str] = []
    for name in names:
        if normal(name) in ("vlcli", "core"):
            raise VlcliError("P302", name, "is vlcli itself", "remove it with pip")
        match = next((f for f in found if name == f.entry_point.name or normal(name) == normal(f.distribution)),
                     None)  # fmt: skip
        if match is None:
            raise unknown_plugin(name, [f.entry_point.name for f in found])
        if match.distribution not in distributions:
            distributions.append(match.distribution)
    typer.echo(f"To be removed: {', '.join(distributions)}")
    confirm("Remove?", yes=yes)
    pip.uninstall(distributions)
    forget(distributions)
    state.note(f"removed {', '.join(distributions)}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal.

    Raises:
        VlcliError: U313 where nobody can answer.
        typer.Exit: when the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise VlcliError("U313", "", "nobody can be asked, as the input is no terminal", "give --yes")
    if not typer.confirm(question, err=True):
        raise typer.Exit(ExitCode.FAILED)
