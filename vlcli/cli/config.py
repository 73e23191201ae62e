"""`vlcli config`: the settings in force. Needs no torch unless the device is asked for."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Show the settings in force.")

VARIABLES = {
    "VLCLI_HOME": "folder of stores, cache and plugins.toml",
    "VLCLI_THREADS": "CPU threads of torch",
    "VLCLI_DISABLE_PLUGINS": "plugins switched off, separated by commas",
    "VLCLI_STRICT_PLUGINS": "stop when a plugin is broken",
    "VLCLI_PLUGIN_TIMEOUT": "seconds that a plugin may take to load",
    "VLCLI_MAX_FILE_SIZE": "largest file that is read",
    "VLCLI_MAX_MEMORY": "ceiling of a command's host memory",
    "VLCLI_MAX_PIXELS": "largest picture that is decoded",
    "HF_HUB_OFFLINE": "ask no model hub",
    "TRANSFORMERS_OFFLINE": "ask no model hub",
    "HF_HOME": "folder of downloaded checkpoints",
    "CUDA_VISIBLE_DEVICES": "GPUs that torch sees",
    "OMP_NUM_THREADS": "threads of numerical libraries",
    "NO_COLOR": "no colours on the terminal",
}


@app.callback()
def group() -> None:
    """Show the settings in force."""


@app.command("show", epilog="Examples: vlcli config show  ·  vlcli config show --device --json")
def show(
    ctx: typer.Context,
    device: Annotated[bool, typer.Option("--device", help="Also which device `auto` takes (imports torch).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show folders, versions, plugins and environment variables."""
    settings = gather(ctx)
    if device:
        from vlcli.runtime.device import resolve_device

        settings["device"] = str(resolve_device("auto"))
    if as_json:
        emit_json(settings)
        return
    for name in ("home", "stores", "cache", "plugins_file", "runs", "offline"):
        typer.echo(f"{name:<14}{settings[name]}")
    if device:
        typer.echo(f"{'device':<14}{settings['device']}")
    typer.echo(f"{'versions':<14}" + ", ".join(f"{name} {text}" for name, text in settings["versions"].items()))
    typer.echo(f"{'plugins':<14}" + (", ".join(f"{n} {v}" for n, v in settings["plugins"].items()) or "(none)"))
    rows = [(name, value, VARIABLES.get(name, settings["unknown"].get(name, "read by a plugin")))
            for name, value in settings["environment"].items()]  # fmt: skip
    typer.echo("\n" + table(("VARIABLE", "VALUE", "MEANING"), rows))


def gather(ctx: typer.Context) -> dict[str, Any]:
    """All settings as a JSON-serialisable table."""
    from vlcli.errors import did_you_mean
    from vlcli.runtime.offline import hub_is_offline
    from vlcli.runtime.paths import home, plugins_file
    from vlcli.runtime.runs import versions

    found = versions({record.name: record.version for record in state_of(ctx).plugins.records if record.state == "ok"})
    plugins = found.pop("plugins")
    ours = sorted(name for name in os.environ if name.startswith("VLCLI_"))
    environment = {name: os.environ[name] for name in [*ours, *VARIABLES] if name in os.environ}
    of_plugins = tuple(f"VLCLI_{name.upper().replace('-', '_')}" for name in plugins)
    unknown = {name: f"unknown to vlcli: {did_you_mean(name, list(VARIABLES)) or 'it has no effect here'}"
               for name in ours if name not in VARIABLES and not name.startswith(of_plugins)}  # fmt: skip
    folder = home()
    return {
        "home": str(folder), "stores": str(folder / "stores"), "cache": str(folder / "cache"),
        "plugins_file": str(plugins_file()), "runs": str(os.path.join(os.getcwd(), "runs")),  # noqa: PTH118
        "offline": hub_is_offline(), "versions": found, "plugins": plugins, "environment": environment,
        "unknown": unknown,
    }  # fmt: skip
