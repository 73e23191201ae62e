"""`vlcli classify`: give files labels of your own words, without training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of
from vlcli.errors import ExitCode

if TYPE_CHECKING:
    from vlcli.evaluate.zero_shot import Classified

app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """Examples:

  vlcli classify ~/Pictures --labels "dog,cat,car" --space images/starter

  vlcli classify a.jpg b.jpg --labels-file labels.txt --template "a photo of a {}" --top 3 --json

  find . -name '*.png' | vlcli classify - --labels "chart,photo,drawing" --csv sorted.csv
"""


@app.command(help="Sort files into labels without training.", epilog=EXAMPLES)
def classify(
    ctx: typer.Context,
    inputs: Annotated[list[str], typer.Argument(help="Files, folders, globs, manifests, or - for a list.")],
    labels: Annotated[str | None, typer.Option(help='The labels, separated by commas: "dog,cat,car".')] = None,
    labels_file: Annotated[Path | None, typer.Option(help="Labels one a line, a JSON list, or a CSV.")] = None,
    space: Annotated[str | None, typer.Option(help="The space; by default the modality's starter.")] = None,
    template: Annotated[
        list[str] | None, typer.Option(help='A prompt such as "a photo of a {}"; several are averaged.')
    ] = None,
    modality: Annotated[str | None, typer.Option(help="Read every input as this modality.")] = None,
    top: Annotated[int, typer.Option("--top", "-n", help="Labels per input.")] = 3,
    html: Annotated[Path | None, typer.Option(help="Write the results as a page with pictures.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write path, label, probability and score as CSV.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Items embedded at once.")] = 32,
) -> None:
    """Print the label of every input, in the order of the inputs; refused inputs are listed and set exit code 3."""
    from vlcli.align.load import load_space
    from vlcli.cli.starter import starter_space
    from vlcli.data.inputs import InputItem, expand_inputs
    from vlcli.evaluate.zero_shot import check_templates, classify_sources, read_labels
    from vlcli.runtime.device import set_threads
    from vlcli.runtime.progress import track

    state = state_of(ctx)
    if top < 1:
        from vlcli.errors import VlcliError

        raise VlcliError("U305", "--top", f"{top} is not a number of labels", "use 1 or more")
    words = read_labels(labels, labels_file)
    prompts = check_templates(template) if template else ()
    set_threads()
    # Wrong paths show at once; an extension that several modalities read is settled by what the space takes.
    accepted: list[str] = []
    found = expand_inputs(inputs, state.registry, modality, accepted=accepted)
    expanded = [] if space else list(found)
    name = space or starter_space(state.registry, {item.modality for item in expanded if isinstance(item, InputItem)})
    loaded = load_space(name, state.registry, device=device)
    accepted += loaded.modalities
    expanded += found
    results = classify_sources(
        loaded, state.registry, expanded, words, templates=prompts, top=top, batch_size=batch_size,
        track=lambda items, total, label: track(items, label=label, total=total, quiet=state.quiet),
    )  # fmt: skip
    if csv is not None:
        write_csv(csv, results)
        state.note(f"table: {csv}")
    if html is not None:
        from vlcli.report.results import write_classify_page

        write_classify_page(html, results, words, state.registry, space=loaded.name)
        state.note(f"page: {html}")
    refused = [result for result in results if result.refused]
    if json:
        emit_json({"results": [as_json(result) for result in results if not result.refused], "refused": [
            {"path": result.path, "code": result.code, "reason": result.reason} for result in refused]})  # fmt: skip
    else:
        rows = [(result.path, *best(result), others(result)) for result in results if not result.refused]
        typer.echo(table(["item", "label", "share", "next"], rows))
        for result in refused:
            typer.echo(f"refused [{result.code}] {result.path}: {result.reason}", err=True)
    if refused:
        state.note(f"{len(results) - len(refused)} classified, {len(refused)} refused")
        raise typer.Exit(ExitCode.REFUSED)


def best(result: Classified) -> tuple[str, str]:
    """First label and its share."""
    return result.guesses[0].label, f"{result.guesses[0].probability:.0%}"


def others(result: Classified) -> str:
    """The further labels on one line."""
    return ", ".join(f"{guess.label} {guess.probability:.0%}" for guess in result.guesses[1:])


def as_json(result: Classified) -> dict[str, object]:
    """One input as `--json` prints it."""
    return {"path": result.path, "modality": result.modality, "label": result.guesses[0].label,
            "labels": [vars(guess) for guess in result.guesses]}  # fmt: skip


def write_csv(path: Path, results: list[Classified]) -> None:
    """One line per input: its best label, or why it was refused."""
    import csv
    import io

    from vlcli.runtime.files import write_atomic

    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["path", "label", "probability", "score", "refused"])
    for result in results:
        if result.refused:
            writer.writerow([result.path, "", "", "", f"{result.code} {result.reason}"])
        else:
            guess = result.guesses[0]
            writer.writerow([result.path, guess.label, f"{guess.probability:.6f}", f"{guess.score:.6f}", ""])
    write_atomic(path, buffer.getvalue())
