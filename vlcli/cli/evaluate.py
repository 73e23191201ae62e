"""`vlcli eval`: measure a space on data of your own or on a registered set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of
from vlcli.errors import ExitCode

if TYPE_CHECKING:
    from vlcli.evaluate.run import EvalResult

app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """Examples:

  vlcli eval images/starter --data my_photos.csv --task retrieval

  vlcli eval ./my-space --data folder_of_classes --task zero-shot --templates "a photo of a {}" --html eval.html

  vlcli eval images/starter --data images/emoji --task retrieval --split test --json
"""


@app.command(help="Measure a space on data, with confidence intervals.", epilog=EXAMPLES)
def evaluate(
    ctx: typer.Context,
    space: Annotated[str, typer.Argument(help="A space: a name, a folder, or hf:PATH_OR_NAME.")],
    data: Annotated[str, typer.Option(help="A data set by name, or a CSV, JSONL, Parquet file or folder.")],
    task: Annotated[str, typer.Option(help="retrieval, zero-shot, linear-probe or knn.")] = "retrieval",
    split: Annotated[str | None, typer.Option(help="What to measure; by default test, else all.")] = None,
    templates: Annotated[
        list[str] | None, typer.Option(help='Prompt for zero-shot, "a photo of a {}"; several are averaged.')
    ] = None,
    modality: Annotated[str | None, typer.Option(help="What to measure, if the data hold several.")] = None,
    against: Annotated[str, typer.Option(help="The other side of retrieval.")] = "text",
    k: Annotated[int, typer.Option("--k", help="Neighbours of knn.")] = 20,
    metric: Annotated[
        list[str] | None, typer.Option(help="Add a metric that a plugin registers; several are fine.")
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Use the first DIM components only.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of resampling and splits.")] = 0,
    bootstrap: Annotated[int, typer.Option(help="Resamples of the 95 % interval; 0 for none.")] = 2000,
    html: Annotated[Path | None, typer.Option(help="Write the result as a page.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    batch_size: Annotated[int, typer.Option(help="Items embedded at once.")] = 32,
) -> None:
    """Print each metric with its 95 % interval and chance; refused inputs are listed and set exit code 3."""
    from vlcli.align.load import load_space
    from vlcli.data.datasets import open_dataset
    from vlcli.evaluate.run import TASKS, evaluate_space
    from vlcli.evaluate.zero_shot import check_templates
    from vlcli.runtime.device import set_threads
    from vlcli.runtime.progress import track

    state = state_of(ctx)
    check_task(task, TASKS)
    check_templates(templates or ())
    set_threads()
    dataset = open_dataset(data, state.registry)
    loaded = load_space(space, state.registry, device=device)
    result = evaluate_space(
        loaded, dataset, task, state.registry, split=split, modality=modality, against=against,
        templates=templates or (), k=k, seed=seed, resamples=bootstrap, batch_size=batch_size, dim=dim,
        metrics=metric or (),
        track=lambda items, total, label: track(items, label=label, total=total, quiet=state.quiet),
    )  # fmt: skip
    if html is not None:
        from vlcli.report.results import write_eval_page

        write_eval_page(html, result, space=space, data=data)
        state.note(f"page: {html}")
    if json:
        emit_json({**result.as_json(), "space": space, "data": data})
    else:
        print_result(result)
    if result.refused:
        raise typer.Exit(ExitCode.REFUSED)


def check_task(task: str, tasks: tuple[str, ...]) -> None:
    """Refuse an unknown task before anything is loaded."""
    if task not in tasks:
        from vlcli.errors import VlcliError, did_you_mean

        raise VlcliError("U310", "--task", f"'{task}' is not a task",
                         did_you_mean(task, list(tasks)) or f"choose from {', '.join(tasks)}")  # fmt: skip


def print_result(result: EvalResult) -> None:
    """The table, what was measured, and what was refused."""
    from vlcli.report.page import interval, number

    rows = [(name, number(metric.value), interval(metric.ci95) or "–",
             "–" if metric.chance is None else number(metric.chance))
            for name, metric in result.metrics.items()]  # fmt: skip
    typer.echo(table(["metric", "value", "95 % interval", "chance"], rows))
    typer.echo(
        f"{result.task} on {result.n} examples of {result.details['modality']}, split: {result.details['split']}"
    )
    for item in result.refused:
        typer.echo(f"refused [{item.code}] {item.path}: {item.reason}", err=True)
    if result.refused:
        typer.echo(f"{len(result.refused)} inputs were refused and count in no metric", err=True)
