"""`vlcli plugins`: list, examine, make, install and remove plugins."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of
from vlcli.errors import ExitCode, VlcliError, did_you_mean

KINDS = ("encoder", "modality", "objective", "method", "dataset", "metric", "command", "recipe", "generator", "codec")

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


@app.command("new", epilog="Example: vlcli plugins new tabular --kind modality --dir ~/code")
def new(
    name: Annotated[str, typer.Argument(help="The plugin's name: lower case, digits, dashes.")],
    kind: Annotated[str, typer.Option("--kind", help=f"One of: {', '.join(KINDS)}.")],
    directory: Annotated[Path, typer.Option("--dir", help="The folder `vlcli-NAME` is made in here.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a new plugin: a distribution that installs, registers itself and passes its own tests."""
    from vlcli.plugin_tools.scaffold import new_plugin

    folder = new_plugin(name, kind, directory.expanduser())
    if as_json:
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        emit_json({"folder": str(folder), "kind": kind, "files": files})
        return
    typer.echo(f"Wrote {folder}. Next:\n  vlcli plugins install -e {folder}\n  python -m pytest {folder}")


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@app.command(
    "install", epilog="Examples: vlcli plugins install vlcli-video  ·  vlcli plugins install -e ./my-plugin --dry-run"
)
def install(
    ctx: typer.Context,
    specs: Annotated[list[str] | None, typer.Argument(help="Package names, folders, wheels or addresses.")] = None,
    editable: Annotated[
        list[str] | None, typer.Option("--editable", "-e", help="A folder, installed in place.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Install plugins with pip, without changing what vlcli stands on, and examine them."""
    from vlcli.cli.plugins_install import run_install
    from vlcli.plugin_tools.install import Wish

    wishes = [*(Wish(spec) for spec in specs or []), *(Wish(path, editable=True) for path in editable or [])]
    if not wishes:
        raise VlcliError("U312", "", "there is nothing to install", "name a package, a folder, a wheel or an address")
    run_install(state_of(ctx), wishes, dry_run=dry_run, yes=yes, as_json=as_json)


@app.command("uninstall", epilog="Example: vlcli plugins uninstall tabular")
def uninstall(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Plugins or distributions.")],
    yes: Yes = False,
) -> None:
    """Remove plugins' distributions."""
    from vlcli.cli.plugins_install import run_uninstall

    run_uninstall(state_of(ctx), names, yes=yes)


@app.command("sync", epilog="Example: vlcli plugins sync --yes")
def sync(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Install again what plugins.toml records and this environment lacks, after it was rebuilt."""
    from vlcli.cli.plugins_install import run_install
    from vlcli.plugin_tools.install import Wish, installed_version
    from vlcli.plugin_tools.ledger import installed

    missing = [row for row in installed() if installed_version(row.distribution) is None]
    if not missing:
        if as_json:
            emit_json({"plan": [], "installed": [], "ok": True})
        else:
            typer.echo("Everything that plugins.toml records is installed.")
        return
    wishes = [Wish(row.spec, row.editable) for row in missing]
    run_install(state_of(ctx), wishes, dry_run=dry_run, yes=yes, as_json=as_json)


@app.command("disable", epilog="Example: vlcli plugins disable images")
def disable(names: Annotated[list[str], typer.Argument(help="Plugins.")]) -> None:
    """Switch plugins off without removing them."""
    switch(names, disabled=True)


@app.command("enable", epilog="Example: vlcli plugins enable images")
def enable(names: Annotated[list[str], typer.Argument(help="Plugins.")]) -> None:
    """Switch plugins on again."""
    switch(names, disabled=False)


def switch(names: list[str], *, disabled: bool) -> None:
    """Record in plugins.toml that plugins are on or off; none of them is imported for that."""
    from vlcli.plugin_tools.ledger import set_disabled
    from vlcli.plugins import BUILTIN, find_installed, read_plugins_file

    known = {found.entry_point.name for found in find_installed()} | set(read_plugins_file().get("disabled", []))
    for name in names:
        if name == BUILTIN:
            raise VlcliError("P302", BUILTIN, "the built-in plugin can not be switched off")
        if name not in known:
            raise unknown_plugin(name, sorted(known))
    off = set_disabled(names, disabled)
    typer.echo(f"Disabled: {', '.join(off) or 'none'}")


def unknown_plugin(name: str, known: list[str]) -> VlcliError:
    """The error for a plugin that is not installed."""
    hint = did_you_mean(name, known) or f"installed: {', '.join(sorted(known)) or 'none'}"
    return VlcliError("P301", "", f"no plugin is named '{name}'", hint)
