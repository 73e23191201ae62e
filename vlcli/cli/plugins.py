"""`vlcli plugins`: list, examine, make, install and remove plugins."""

from __future__ import annotations

from typing import Annotated

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of
from vlcli.errors import ExitCode, VlcliError, did_you_mean

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List, examine, make, install and remove plugins.",
    epilog="Plugins are trusted code: they run with your rights. `vlcli --no-plugins …` loads none of them.",
)  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command("list", epilog="Example: vlcli plugins list --json")
def list_plugins(ctx: typer.Context, as_json: Json = False) -> None:
    """List installed plugins with their state: ok, disabled, incompatible, shadowed or broken."""
    records = state_of(ctx).plugins.records
    if as_json:
        emit_json({"plugins": [record.as_json() for record in records]})
        return
    rows = [(r.name, r.distribution, r.version, f"v{r.api}", r.state, f"{r.load_ms:.1f}", r.error) for r in records]
    typer.echo(table(("NAME", "DISTRIBUTION", "VERSION", "API", "STATE", "LOAD MS", "ERROR"), rows))


@app.command("show", epilog="Example: vlcli plugins show images")
def show_plugin(
    ctx: typer.Context, name: Annotated[str, typer.Argument(help="A plugin's name.")], as_json: Json = False
) -> None:
    """Show one plugin: where it comes from and everything that it registered."""
    from vlcli.plugin_tools.provenance import provenance

    records = state_of(ctx).plugins.records
    record = next((r for r in records if name in (r.name, r.distribution)), None)
    if record is None:
        raise unknown_plugin(name, [r.name for r in records])
    origin = provenance(record.distribution)
    if as_json:
        emit_json({**record.as_json(), "provenance": origin})
        return
    typer.echo(f"{record.name}: {record.distribution} {record.version}, API v{record.api}, {record.state}")
    if record.error:
        typer.echo(f"  error     {record.error}")
    typer.echo(f"  module    {record.module}")
    for label, value in origin.items():
        if value:
            typer.echo(f"  {label:<9} {value}")
    for kind, names in sorted(record.provides.items()):
        typer.echo(f"  {kind + ':':<14}{', '.join(sorted(names))}")


@app.command("doctor", epilog="Examples: vlcli plugins doctor  ·  vlcli plugins doctor images --json")
def doctor(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Plugins to examine; all when none is named.")] = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds that one plugin may take.", min=0.1)] = 120.0,
    as_json: Json = False,
) -> None:
    """Examine plugins, each in a process of its own: imports, targets, requirements, recipes, health checks.

    Exit code 1 when one of them fails.
    """
    from vlcli.plugin_tools.doctor import examine_all
    from vlcli.plugins import find_installed

    known = [found.entry_point.name for found in find_installed()]
    for name in names or []:
        if name not in known:
            raise unknown_plugin(name, known)
    state = state_of(ctx)
    reports = examine_all(names or None, timeout=timeout, note=state.note if not as_json else None)
    if as_json:
        emit_json({"plugins": [report.as_json() for report in reports], "ok": all(report.ok for report in reports)})
    else:
        for report in reports:
            typer.echo("\n".join(report.lines(verbose=state.verbose)))
        failed = [report.name for report in reports if not report.ok]
        typer.echo(
            f"{len(reports)} examined, " + (f"{len(failed)} failed: {', '.join(failed)}" if failed else "all well")
        )
    if not all(report.ok for report in reports):
        raise typer.Exit(ExitCode.FAILED)


def unknown_plugin(name: str, known: list[str]) -> VlcliError:
    """The error for a plugin that is not installed."""
    hint = did_you_mean(name, known) or f"installed: {', '.join(sorted(known)) or 'none'}"
    return VlcliError("P301", "", f"no plugin is named '{name}'", hint)
