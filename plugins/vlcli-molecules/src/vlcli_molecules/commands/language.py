"""Commands between molecules and language: captions, structures from text, reactions forward and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlcli.cli.output import emit_json
from vlcli.cli.state import state_of
from vlcli.errors import ExitCode, VlcliError

if TYPE_CHECKING:
    from vlcli_molecules.methods.text_chem_t5.ask import Answer

MODEL_HELP = "A run of `vlcli run text-chem-t5`, or its folder model; by default the newest such run in ./runs."
SIDE_HELP = "Reactants and reagents as 'A.B', ions of a salt joined by '~'; or text files with one such line each."

Model = Annotated[Path | None, typer.Option("--model", "-m", help=MODEL_HELP)]
Beams = Annotated[int | None, typer.Option(min=1, max=64, help="Beams of the search; the model's own by default.")]
Number = Annotated[int, typer.Option("--num", "-n", min=1, max=64, help="Outputs for each input, best first.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli molecules`."""
    example = 'Example: vlcli molecules caption "CCO" molecules.smi'
    app.command("caption", help="Describe structures in words.", epilog=example)(caption)
    example = 'Example: vlcli molecules from-text "a phenol with two chloro groups" --num 5'
    app.command("from-text", help="Write structures that fit a description.", epilog=example)(from_text)
    example = 'Example: vlcli molecules react "CC(=O)O.NCc1ccccc1"'
    app.command("react", help="Predict the product of a reaction.", epilog=example)(react)
    example = 'Example: vlcli molecules retro "CC(=O)NCc1ccccc1" --num 3 --beams 8'
    app.command("retro", help="Predict what a product can be made from.", epilog=example)(retro)


def caption(
    ctx: typer.Context,
    inputs: Annotated[list[str], typer.Argument(help="SMILES, SELFIES or InChI, or files that hold them.")],
    model: Model = None,
    beams: Beams = None,
    num: Number = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Print a caption of each structure."""
    answer(ctx, "caption", inputs, model, beams, num, device, json)


def from_text(
    ctx: typer.Context,
    inputs: Annotated[list[str], typer.Argument(help="Descriptions in words, or text files with one a line.")],
    model: Model = None,
    beams: Beams = None,
    num: Number = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Print structures for each description, each marked valid or invalid by RDKit."""
    answer(ctx, "from-text", inputs, model, beams, num, device, json)


def react(
    ctx: typer.Context,
    inputs: Annotated[list[str], typer.Argument(help=SIDE_HELP)],
    model: Model = None,
    beams: Beams = None,
    num: Number = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Print the product of each reaction, marked valid or invalid by RDKit."""
    answer(ctx, "forward", inputs, model, beams, num, device, json)


def retro(
    ctx: typer.Context,
    inputs: Annotated[list[str], typer.Argument(help="Products as SMILES, or text files with one a line.")],
    model: Model = None,
    beams: Beams = None,
    num: Number = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Print reactants and reagents for each product, marked valid or invalid by RDKit."""
    answer(ctx, "retro", inputs, model, beams, num, device, json)


def answer(
    ctx: typer.Context,
    task: str,
    inputs: list[str],
    model: Path | None,
    beams: int | None,
    num: int,
    device: str,
    json: bool,
) -> None:
    """Ask the model and print; refused inputs are listed and set exit code 3."""
    from vlcli_molecules.methods.text_chem_t5.find import find_model

    if beams is not None and beams < num:
        raise VlcliError("U601", "--beams", f"{beams} beams can not give {num} outputs", f"use --beams {num} or more")
    state = state_of(ctx)
    # Looked for before anything heavy is imported.
    folder = find_model(model)
    from vlcli.runtime.device import resolve_device, set_threads
    from vlcli_molecules.methods.text_chem_t5.ask import ask, read_inputs
    from vlcli_molecules.methods.text_chem_t5.model import TextChemModel

    set_threads()
    questions, refused = read_inputs(task, inputs, state.registry)
    loaded = TextChemModel.load(folder, resolve_device(device))
    answers, too_long = ask(loaded, task, questions, beams=beams, count=num)
    refused += too_long
    if json:
        listed = [{"path": one.path, "code": one.code, "reason": one.reason} for one in refused]
        results = [one.as_json() for one in answers]
        emit_json({"task": task, "model": str(folder), "results": results, "refused": listed})
    else:
        show(answers, several=len(answers) + len(refused) > 1)
    for one in refused:
        state.note(f"refused[{one.code}] {one.path}: {one.reason}")
    if refused:
        raise typer.Exit(ExitCode.REFUSED)


def show(answers: list[Answer], several: bool) -> None:
    """The outputs for people: bare for one input, below their input for several."""
    for one in answers:
        if several:
            typer.echo(one.question.shown)
        for output in one.outputs:
            mark = "" if output.valid is None else "  valid" if output.valid else "  INVALID"
            typer.echo(f"{'  ' if several else ''}{output.text or '(nothing)'}{mark}")
