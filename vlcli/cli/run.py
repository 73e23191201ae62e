"""`vlcli run`: run a recipe into a run folder, or go on with a run that was interrupted."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json
from vlcli.cli.pipeline import TRAINING
from vlcli.cli.state import State, state_of
from vlcli.errors import ExitCode, VlcliError
from vlcli.runtime.processes import process_index

if TYPE_CHECKING:
    from vlcli.recipe import ResolvedRecipe
    from vlcli.runtime.runs import RunFolder

app = typer.Typer(rich_markup_mode=None, add_completion=False)

EPILOG = (
    "Examples: vlcli run demo  ·  vlcli run search-my-pictures --set 'steps.embed.inputs=[\"~/Pictures\"]'  ·  "
    "vlcli run mine.toml --dry-run  ·  vlcli run --resume runs/mine-20260131-101500"
)


@app.command(epilog=EPILOG)
def run(
    ctx: typer.Context,
    recipe: Annotated[str | None, typer.Argument(metavar="[RECIPE]", help="A recipe's name or file.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; TOML.")] = None,
    unsets: Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Take a key or table out.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and print what would be done.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="The run's folder; default: runs/<recipe>-<time>.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    resume: Annotated[Path | None, typer.Option("--resume", metavar="RUN", help="Go on with this run.")] = None,
    max_memory: Annotated[
        str | None, typer.Option("--max-memory", help="Ceiling of host memory, e.g. 4GiB (default VLCLI_MAX_MEMORY).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout at the end.")] = False,
) -> None:
    """Run a recipe: training first, if it trains, then its steps in their order."""
    from vlcli.recipe import load_recipe
    from vlcli.runtime.memory import memory_ceiling

    state = state_of(ctx)
    if recipe is None and resume is None:
        raise VlcliError("U171", "", "no recipe is named", "see `vlcli recipes list`, or name a .toml file")
    if resume is not None and out is not None:
        raise VlcliError("U172", "--out", "a resumed run stays in its folder", "leave out --out or --resume")
    overrides = [*(sets or []), *([f'device="{device}"'] if device is not None else [])]
    folder: RunFolder | None = None
    if resume is not None:
        folder = open_run(resume)
        resolved = resumed_recipe(recipe, folder, state, overrides, unsets or [])
    else:
        resolved = load_recipe(recipe or "", state.registry, overrides, unsets or ())
    if dry_run:
        show_plan(resolved, folder, as_json)
        return
    with memory_ceiling(max_memory, "lower train.micro_batch, or batch_size of a step"):
        if process_index():
            follow(resolved, folder, state)
            return
        result = execute(resolved, folder, out, state)
    if as_json:
        emit_json(result)
    else:
        for line in result_lines(result):
            typer.echo(line)
    if result["refused"]:
        raise typer.Exit(ExitCode.REFUSED)


def open_run(path: Path) -> RunFolder:
    """The folder of an earlier run.

    Raises:
        VlcliError: R202 when it is none.
    """
    from vlcli.runtime.runs import RunFolder

    return RunFolder.open(path)


def resumed_recipe(
    recipe: str | None, folder: RunFolder, state: State, overrides: list[str], unsets: list[str]
) -> ResolvedRecipe:
    """The recipe to go on with: the run's own, or the one named, if both say the same.

    Raises:
        RecipeError: R201 for every key that differs.
    """
    from vlcli.recipe import Problem, RecipeError, changed_keys, load_recipe
    from vlcli.recipe.load import FREE_ON_RESUME
    from vlcli.recipe.problems import show_key, show_value
    from vlcli.runtime.runs import RECIPE_FILE

    saved = load_recipe(str(folder.path / RECIPE_FILE), state.registry)
    wanted = load_recipe(recipe or str(folder.path / RECIPE_FILE), state.registry, overrides, unsets)
    problems = []
    for path in changed_keys(saved.values, wanted.values):
        if path[0] in FREE_ON_RESUME:
            continue
        before, after = value_at(saved.values, path), value_at(wanted.values, path)
        message = f"the run was begun with {show_value(before)}, not {show_value(after)}"
        remedy = "begin a new run for this change"
        problems.append(Problem("R201", wanted.origin(path), show_key(path), message, remedy))
    if problems:
        raise RecipeError(problems)
    begun = str(folder.record.get("folder", "."))
    if Path.cwd() != Path(begun):
        state.note(f"vlcli: the run was begun in {begun}; relative paths now begin in {Path.cwd()}")
    return wanted


def value_at(values: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path, or the word `nothing` where there is none."""
    for part in path:
        if not isinstance(values, dict) or part not in values:
            return Nothing()
        values = values[part]
    return values


class Nothing:
    """Stands for a key that is not set, in messages."""

    def __str__(self) -> str:
        return "nothing"


def show_plan(resolved: ResolvedRecipe, folder: RunFolder | None, as_json: bool) -> None:
    """What a run would do, part by part."""
    from vlcli.recipe import render_recipe

    parts: list[dict[str, Any]] = []
    if resolved.model.trains:
        parts.append({"name": TRAINING, "use": "train"})
    parts += [{"name": f"steps.{name}", "use": step.use} for name, step in resolved.model.steps.items()]
    for part in parts:
        part["done"] = folder is not None and folder.finished(part["name"]) is not None
    if as_json:
        emit_json({"recipe": resolved.name, "hash": resolved.hash, "parts": parts, "values": resolved.values})
        return
    typer.echo(f"# {resolved.name}: {len(parts)} parts, nothing was run")
    for number, part in enumerate(parts, 1):
        typer.echo(f"# {number}. {part['name']} ({part['use']})" + (", done before" if part["done"] else ""))
    typer.echo("")
    typer.echo(render_recipe(resolved), nl=False)


def execute(
    resolved: ResolvedRecipe, folder: RunFolder | None, out: Path | None, state: State
) -> dict[str, Any]:  # fmt: skip
    """Run it, new or resumed; gives what `--json` prints."""
    from vlcli.cli import steps
    from vlcli.cli.pipeline import Context, run_pipeline
    from vlcli.recipe import render_recipe
    from vlcli.report.folders import write_run_report
    from vlcli.runtime.device import resolve_device, seed_everything, set_threads
    from vlcli.runtime.runs import REPORT_FILE, RunFolder, default_folder, versions

    device = str(resolve_device(resolved.model.device))
    set_threads(resolved.model.threads)
    seed_everything(resolved.model.seed)
    resume = folder is not None
    facts = {
        "command": shlex.join(["vlcli", *sys.argv[1:]]), "device": device,
        "versions": versions({record.name: record.version for record in state.plugins.records if record.state == "ok"}),
    }  # fmt: skip
    if folder is None:
        path = out if out is not None else default_folder(resolved.name)
        folder = RunFolder.create(path, render_recipe(resolved), recipe=resolved.name, recipe_hash=resolved.hash,
                                  seed=resolved.model.seed, **facts)  # fmt: skip
    state.note(f"run folder: {folder.path}")
    context = Context(resolved, folder, state.registry, device, state.note, state.quiet)
    with folder.running():
        if resume:
            folder.event("resumed", **facts)
        records = run_pipeline(context, steps.STEP_FUNCTIONS, steps.train, resume)
    write_run_report(folder.path / REPORT_FILE, folder.path)
    return {
        "run": str(folder.path), "recipe": resolved.name, "status": folder.record["status"], "steps": records,
        "metrics": folder.metrics(), "refused": sum(record["refused"] for record in records.values()),
        "report": str(folder.path / REPORT_FILE),
    }  # fmt: skip


def follow(resolved: ResolvedRecipe, folder: RunFolder | None, state: State) -> None:
    """What every process but the first does under `accelerate launch`: its share of the training, and nothing else.

    The first process makes the run's folder, evaluates, and runs the steps. A folder is read here only to resume.
    """
    from vlcli.runtime.device import resolve_device, seed_everything, set_threads
    from vlcli.train.run import run_training

    if not resolved.model.trains or (folder is not None and folder.finished(TRAINING) is not None):
        return
    resolve_device(resolved.model.device)
    set_threads(resolved.model.threads)
    seed_everything(resolved.model.seed)
    path = folder.path if folder is not None else Path("runs")
    run_training(resolved.model, path, state.registry, recipe_hash=resolved.hash, resume=folder is not None, quiet=True)


def result_lines(result: dict[str, Any]) -> list[str]:
    """The run's outcome for people: each part's line, the pages, and the report."""
    lines = [f"{name}: {record['summary']}" for name, record in result["steps"].items()]
    return [*lines, f"report: {result['report']}"]
