"""Commands on molecular properties: pre-train SELFormer, fine-tune it to a column, predict the rows of a file."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from vlcli.api import ExitCode
from vlcli.cli.output import emit_json
from vlcli.cli.state import State, state_of

Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the recipe.")]
Column = Annotated[str | None, typer.Option(help="The column of structures; found by its name by default.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder of --out.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli molecules`."""
    app.command(
        "pretrain", help="Pre-train SELFormer on the structures of files.",
        epilog="Example: vlcli molecules pretrain library.smi more.csv -o pretrained",
    )(pretrain)  # fmt: skip
    app.command(
        "finetune", help="Learn to predict columns of a table from its structures.",
        epilog="Example: vlcli molecules finetune solubility.csv --target logS --from pretrained -o solubility",
    )(finetune)  # fmt: skip
    app.command(
        "predict", help="Predict every row of a file, and say which predictions can be trusted.",
        epilog="Example: vlcli molecules predict candidates.sdf --model solubility -o predicted.csv",
    )(predict)  # fmt: skip


def pretrain(
    ctx: typer.Context,
    data: Annotated[list[Path], typer.Argument(help="Files of molecules: tables, SMILES, SDF; plain or .gz.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder; the model is its folder `model`.")],
    column: Column = None,
    start: Annotated[str | None, typer.Option("--from", help="Go on from this model.")] = None,
    recipe: Annotated[str, typer.Option(help="Sizes and schedule: this recipe.")] = "molecules/selformer-pretrain",
    sets: Sets = None,
    device: Device = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Guess masked symbols of SELFIES strings; the run leaves a model and a space of molecules."""
    overrides = [f"data.options.paths={json_module.dumps([str(path) for path in data])}"]
    if column is not None:
        overrides.append(f"data.options.column={json_module.dumps(column)}")
    if start is not None:
        overrides.append(f"method.start={json_module.dumps(start)}")
    state = state_of(ctx)
    result = train(state, recipe, [*overrides, *(sets or [])], out, device, resume)
    tell(state, result, out, as_json)


def finetune(
    ctx: typer.Context,
    data: Annotated[list[Path], typer.Argument(help="Tables (or SDF files) that hold structures and targets.")],
    target: Annotated[list[str], typer.Option("--target", "-t", help="A column to predict; may be given again.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run's folder; the model is its folder `model`.")],
    start: Annotated[str | None, typer.Option("--from", help="A pre-trained run or folder; default: none.")] = None,
    task: Annotated[str, typer.Option(help="regression, classification, multilabel, or auto by the values.")] = "auto",
    split: Annotated[str | None, typer.Option(help="scaffold, random, or column (one named split).")] = None,
    column: Column = None,
    recipe: Annotated[str, typer.Option(help="Sizes and schedule: this recipe.")] = "molecules/selformer-finetune",
    sets: Sets = None,
    device: Device = None,
    resume: Resume = False,
    as_json: Json = False,
) -> None:
    """Fine-tune all layers with a new head, measure on held-out scaffolds, and learn the applicability domain."""
    overrides = [
        f"data.options.paths={json_module.dumps([str(path) for path in data])}",
        f"data.options.targets={json_module.dumps(target)}",
        f"method.targets={json_module.dumps(target)}",
        f"method.task={json_module.dumps(task)}",
    ]
    for key, value in (("data.options.column", column), ("data.options.split", split), ("method.start", start)):
        if value is not None:
            overrides.append(f"{key}={json_module.dumps(value)}")
    state = state_of(ctx)
    result = train(state, recipe, [*overrides, *(sets or [])], out, device, resume)
    tell(state, result, out, as_json)


def train(
    state: State, recipe: str, overrides: list[str], out: Path, device: str | None, resume: bool
) -> dict[str, Any]:  # fmt: skip
    """Run a recipe as `vlcli run` does, into `out`, or go on with the run that is there."""
    from vlcli.cli.run import execute, open_run, resumed_recipe
    from vlcli.recipe import load_recipe

    given = [*overrides, *([f"device={json_module.dumps(device)}"] if device is not None else [])]
    if resume:
        folder = open_run(out)
        return execute(resumed_recipe(recipe, folder, state, given, []), folder, None, state)
    return execute(load_recipe(recipe, state.registry, given), None, out, state)


def tell(state: State, result: dict[str, Any], out: Path, as_json: bool) -> None:
    """The outcome of a training run."""
    from vlcli_molecules.methods.selformer.encoder import MODEL_FOLDER

    metrics = result["metrics"].get("train", {})
    if as_json:
        emit_json({"run": result["run"], "model": str(out / MODEL_FOLDER), "metrics": metrics,
                   "report": result["report"]})  # fmt: skip
        return
    for name, value in metrics.items():
        if "/" in name and name.count("/") == 1:
            typer.echo(f"{name:28}{value:.4f}")
    if metrics.get("refused"):
        state.note(f"{metrics['refused']:.0f} molecules were left out; {out / MODEL_FOLDER / 'refused.tsv'} says why")
    typer.echo(f"model: {out / MODEL_FOLDER}")


def predict(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet, SMILES, SELFIES, InChI, SDF; plain or .gz.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A fine-tuned run or model folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV, TSV, Parquet or (from SDF) SDF; plain or .gz.")],
    column: Column = None,
    embeddings: Annotated[Path | None, typer.Option(help="Write the embeddings too: .npy or .parquet.")] = None,
    map_: Annotated[
        Path | None, typer.Option("--map", help="Draw the molecules' embeddings in two dimensions.")
    ] = None,
    map_by: Annotated[str | None, typer.Option(help="Column that colours the map; default: the prediction.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write the same rows with predictions, the nearest training molecule, and whether the model applies to them.

    Rows that can not be read keep their place and get the reason in the column `refused`; the exit code is then 3.
    """
    from vlcli.runtime.device import resolve_device
    from vlcli_molecules.methods.selformer.predict import (
        check_embeddings_path,
        check_map,
        draw_map,
        predict_rows,
        write_embeddings,
    )
    from vlcli_molecules.methods.selformer.saved import PropertyModel
    from vlcli_molecules.methods.selformer.tables import check_output, kind_of, read_molecules

    check_output(out, kind_of(file)[0])
    if embeddings is not None:
        check_embeddings_path(embeddings)
    state = state_of(ctx)
    rows = read_molecules(file, column)
    loaded = PropertyModel.load(model, resolve_device(device or "auto"))
    if map_ is not None:
        check_map(map_, loaded, rows, map_by)
    found = predict_rows(loaded, rows, quiet=state.quiet)
    rows.write(out, found.columns)
    if embeddings is not None:
        write_embeddings(embeddings, rows, found)
    if map_ is not None and found.rows:
        draw_map(map_, rows, found, map_by)
    elif map_ is not None:
        state.note(f"no row was predicted, so {map_} was not drawn")
    summary = {
        "file": str(file), "out": str(out), "model": str(loaded.folder), "targets": list(loaded.task.targets),
        "rows": len(rows), "predicted": len(found.rows), "applicable": found.applicable,
        "threshold": loaded.domain.threshold, "refused": found.refused, "metrics": found.metrics,
    }  # fmt: skip
    if as_json:
        emit_json(summary)
    else:
        typer.echo(f"{len(found.rows)} of {len(rows)} rows predicted → {out}")
        typer.echo(f"{found.applicable} lie in the applicability domain (nearest training molecule at least "
                   f"{loaded.domain.threshold:.2f} similar)")  # fmt: skip
        for line in found.refused[:5]:
            state.note(f"refused {line['path']}: {line['code']} {line['reason']}")
        if len(found.refused) > 5:
            state.note(f"… and {len(found.refused) - 5} more; see the column 'refused' in {out}")
    if found.refused:
        raise typer.Exit(ExitCode.REFUSED)
