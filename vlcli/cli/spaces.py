"""`vlcli spaces`: list registered spaces, show one, compare two."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of

if TYPE_CHECKING:
    from vlcli.evaluate.drift import Drift
    from vlcli.registry import Entry, Registry

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List, show and compare spaces.",
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


@app.command("drift", epilog="Example: vlcli spaces drift runs/old/space runs/new/space --data images/shapes")
def drift_spaces(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A", help="The space before.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The space after, trained from A or with the same seed.")],
    data: Annotated[str, typer.Option(help="A data set by name, or a CSV, JSONL, Parquet file or folder.")],
    split: Annotated[str | None, typer.Option(help="Compare on this split; by default test, else all.")] = None,
    modality: Annotated[str | None, typer.Option(help="What to compare besides text, if there are several.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Items embedded at once.")] = 32,
    as_json: Json = False,
) -> None:
    """How far training moved a space: rotation of each modality, and how much the two drifted apart (Mod-X)."""
    from dataclasses import asdict

    from vlcli.align import load_space
    from vlcli.data.datasets import open_dataset
    from vlcli.errors import VlcliError
    from vlcli.evaluate.drift import drift_between

    registry = state_of(ctx).registry
    dataset = open_dataset(data, registry)
    examples = [dataset[index] for index in range(len(dataset))]
    known = sorted({example.split for example in examples if example.split})
    wanted = split or ("test" if "test" in known else None)
    if wanted is not None:
        if wanted not in known:
            raise VlcliError("E402", "--split", f"no example has the split '{wanted}'", f"splits: {', '.join(known)}")
        examples = [example for example in examples if example.split == wanted]
    spaces = [load_space(name, registry, device) for name in (before, after)]
    found = drift_between(spaces[0], spaces[1], examples, registry, modality=modality, batch_size=batch_size)
    if as_json:
        emit_json({"before": before, "after": after, "data": data, "split": wanted, "unit": "degree", **asdict(found)})
        return
    typer.echo(table(("ANGLE IN DEGREES", "MEAN"), drift_rows(found)))
    typer.echo(f"over {found.samples} pairs of {data}" + (f", split {wanted}" if wanted else ""))


def drift_rows(found: Drift) -> list[tuple[str, str]]:
    """The lines of the table."""
    rows = [(f"rotation of {name}", angle) for name, angle in found.rotation.items()]
    rows.append(("difference of the two sides' rotations", found.rotation_mismatch))
    rows += [(f"change of angles inside {name}", angle) for name, angle in found.self_angle_change.items()]
    rows += [("between the sides of a pair, before", found.pair_angle_before), ("… after", found.pair_angle_after)]
    return [(text, f"{angle:.2f}") for text, angle in rows]


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
