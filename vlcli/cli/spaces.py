"""`vlcli spaces`: list registered spaces, show one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of

if TYPE_CHECKING:
    from vlcli.registry import Entry, Registry

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List and show spaces.",
    epilog="A space is a name (images/starter, or starter while that is unique), a folder that a training run saved, "
    "or hf:PATH_OR_NAME for a Hugging Face checkpoint (CLIP, SigLIP, ALIGN, CLAP, text encoders).",
)  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


@app.command("list", epilog="Example: vlcli spaces list --json")
def list_spaces(ctx: typer.Context, as_json: Json = False) -> None:
    """List the registered spaces, and the kinds of checkpoint that `hf:` reads."""
    entries = state_of(ctx).registry.list("space")
    rows = [row_of(entry) for entry in entries]
    if as_json:
        emit_json({"spaces": rows})
        return
    cells = [(row["name"], ",".join(row["modalities"]), row["license"] or "-", row["summary"]) for row in rows]
    typer.echo(table(("NAME", "MODALITIES", "LICENSE", "SUMMARY"), cells))


@app.command("show", epilog="Examples: vlcli spaces show images/starter  ·  vlcli spaces show ./runs/my-run/space")
def show_space(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="SPACE", help="A name, a saved folder, or hf:PATH_OR_NAME.")],
    as_json: Json = False,
) -> None:
    """Load a space and show its towers, width, temperature, weights and identity."""
    from vlcli.align import load_space

    registry = state_of(ctx).registry
    space = load_space(name, registry, "cpu")
    description = space.describe()
    facts: dict[str, Any] = {
        "name": space.name,
        "load": name,
        "summary": summary_of(registry, name),
        "license": space.license,
        "dim": space.dim,
        "logit_scale": description["logit_scale"],
        "logit_bias": description["logit_bias"],
        "identity": space.identity,
        "towers": [
            {
                "modality": modality,
                "parameters": sum(parameter.numel() for parameter in space.tower(modality).parameters()),
                **description["towers"][modality],
            }
            for modality in space.modalities
        ],
    }
    if as_json:
        emit_json(facts)
        return
    typer.echo(f"{facts['name']}: {facts['dim']} numbers, {', '.join(space.modalities)}")
    for key in ("summary", "license", "identity"):
        if facts[key]:
            typer.echo(f"{key}: {facts[key]}")
    rows = [
        (tower["modality"], tower["encoder"], tower["head"]["kind"], f"{tower['parameters']:,}", weights_of(tower))
        for tower in facts["towers"]
    ]
    typer.echo(table(("MODALITY", "ENCODER", "HEAD", "PARAMETERS", "WEIGHTS"), rows))


def row_of(entry: Entry) -> dict[str, Any]:
    """A registered space as `--json` prints it; an adapter has `checkpoints`, the types that it reads."""
    return {
        "name": entry.name,
        "plugin": entry.plugin,
        "summary": entry.spec.summary,
        "modalities": list(entry.spec.modalities),
        "checkpoints": list(entry.spec.model_types),
        "license": entry.spec.license,
    }


def summary_of(registry: Registry, name: str) -> str:
    """The summary of a registered space; empty for a folder or checkpoint."""
    if Path(name).exists() or name.startswith("hf:"):
        return ""
    summary: str = registry.find("space", name).spec.summary
    return summary


def weights_of(tower: dict[str, Any]) -> str:
    """Where a tower's weights come from, in a few words."""
    reference = tower["reference"]
    return f"{reference['source']} ({reference['sha256'][:12]}…)" if reference else "its own"
