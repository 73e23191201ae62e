"""`vlcli reproduce`: run a method's claim (arms × seeds) and write the evidence, whichever way it turns out."""

from __future__ import annotations

import json as json_module
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import State, state_of
from vlcli.errors import ExitCode, VlcliError
from vlcli.runtime.processes import process_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlcli.evaluate.claims import Outcome
    from vlcli.recipe import ResolvedRecipe
    from vlcli.registry import Registry

QUICK_SHARE = 10
"""`--quick` divides the steps by this; it shows that everything runs, and proves nothing."""

app = typer.Typer(
    rich_markup_mode=None, add_completion=False, help="Test a method's claim: arms × seeds, baseline included.",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@app.command(epilog="Example: vlcli reproduce align --seeds 3   ·   vlcli reproduce mod-x --quick")
def reproduce(
    ctx: typer.Context,
    method: Annotated[
        str, typer.Argument(help="The method, as `vlcli methods list` names it, or another recipe with a [claim].")
    ],
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds; the recipe's own list by default.")] = None,
    first_seed: Annotated[int | None, typer.Option(min=0, help="Use this seed and those after it.")] = None,
    data: Annotated[str | None, typer.Option(help="Another data set, folder or manifest.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A tenth of the steps, one seed, no evidence file.")] = False,
    out: Annotated[Path | None, typer.Option(help="Run folder; give it again to go on after an interruption.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the evidence as JSON.")] = False,
) -> None:
    """Run every arm of the method's claim with every seed; exit 0 when it holds and 1 when it does not."""
    from vlcli.evaluate.claims import as_evidence, run_claim
    from vlcli.recipe import load_recipe
    from vlcli.runtime.device import resolve_device
    from vlcli.runtime.files import write_atomic
    from vlcli.runtime.runs import default_folder, versions

    if process_count() > 1:
        raise VlcliError("T132", "vlcli reproduce", "runs its arms one after another in one process",
                         "start it without a launcher")  # fmt: skip
    state = state_of(ctx)
    name, recipe_name, paper = claimed(state.registry, method)
    overrides = [f"device={json_module.dumps(device)}"] if device else []
    if data:
        overrides.append(f"data.use={json_module.dumps(data)}")
    recipe = load_recipe(recipe_name, state.registry, overrides)
    claim = recipe.model.claim
    if claim is None:
        raise VlcliError("T130", recipe_name, "has no [claim]", "add arms, metric and conditions to the recipe")
    chosen = choose_seeds(claim.seeds, seeds, first_seed, quick)
    folder = out or default_folder(f"reproduce-{name}")
    run = ArmRunner(recipe, folder, state, quick)
    outcome = run_claim(claim, chosen, run)
    # Of all arms, those that an interrupted call ran included.
    outcome.seconds = run.seconds
    evidence = as_evidence(
        outcome, method=name, paper=paper or claim.paper, claim=claim.text,
        data=recipe.model.data.use if recipe.model.data else "", metric=claim.metric,
        versions={key: str(value) for key, value in versions().items()},
        device=str(resolve_device(recipe.model.device)),
        command=command_of(name, seeds, first_seed, data), run_hash=recipe.hash,
    )  # fmt: skip
    if quick:
        evidence["quick"] = True
    content = json_module.dumps(evidence, indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / "evidence.json", content)
    write_atomic(folder / "evidence.svg", plot_of(outcome, claim.metric))
    if not quick:
        target = evidence_folder()
        write_atomic(target / f"{name}.json", content)
        write_atomic(target / f"{name}.svg", plot_of(outcome, claim.metric))
        state.note(f"evidence: {target / name}.json")
    if json:
        emit_json(evidence)
    else:
        show(outcome, claim.metric)
    if not outcome.passed and not quick:
        raise typer.Exit(ExitCode.FAILED)


def claimed(registry: Registry, given: str) -> tuple[str, str, str]:
    """Name, recipe and paper of what is to be tested: a method, or a recipe (by path or name) that is no method's own.

    Raises:
        VlcliError: T130 for a method without a recipe, P201 or the like for a name that nobody knows.
    """
    from vlcli.recipe.find import is_path, shipped_recipes

    if is_path(given):
        return Path(given).stem, given, ""
    names = [full for full in shipped_recipes(registry) if given in (full, full.rpartition("/")[2])]
    try:
        entry = registry.find("method", given)
    except VlcliError:
        if len(names) != 1:
            raise
        return names[0].rpartition("/")[2], names[0], ""
    if not entry.spec.recipe:
        raise VlcliError("T130", entry.name, "names no recipe, so there is no claim to test")
    return entry.spec.name, entry.spec.recipe, entry.spec.paper


def command_of(method: str, seeds: int | None, first_seed: int | None, data: str | None) -> str:
    """The command that gives the same evidence again: without what only says where files go and how much is printed."""
    options = {"--seeds": seeds, "--first-seed": first_seed, "--data": data}
    given = [part for name, value in options.items() if value is not None for part in (name, str(value))]
    return shlex.join(["vlcli", "reproduce", method, *given])


def choose_seeds(listed: tuple[int, ...], count: int | None, first: int | None, quick: bool) -> list[int]:
    """The seeds to run."""
    if quick:
        return [first if first is not None else listed[0]]
    if first is not None:
        return list(range(first, first + (count or len(listed))))
    if count is None or count <= len(listed):
        return list(listed[:count])
    return [*listed, *range(max(listed) + 1, max(listed) + 1 + count - len(listed))]


class ArmRunner:
    """Runs one arm with one seed, unless the folder holds its metrics already."""

    def __init__(self, recipe: ResolvedRecipe, folder: Path, state: State, quick: bool) -> None:
        self.recipe, self.folder, self.state, self.quick = recipe, folder, state, quick
        self.seconds = 0.0

    def __call__(self, arm: str, seed: int) -> Mapping[str, float]:
        """The metrics of the arm."""
        from vlcli.recipe.load import arm_recipe
        from vlcli.runtime.files import write_atomic
        from vlcli.train.run import run_training

        recipe = arm_recipe(self.recipe, arm, self.state.registry, [f"seed={seed}"])
        if self.quick:
            recipe = arm_recipe(self.recipe, arm, self.state.registry, [f"seed={seed}", *shorter(recipe)])
        folder = self.folder / f"{arm}-{seed}"
        done = folder / "metrics.json"
        if done.is_file():
            found = json_module.loads(done.read_text(encoding="utf-8"))
            if found["recipe_hash"] != recipe.hash:
                raise VlcliError("T131", str(folder), "holds the metrics of another recipe", "choose another --out")
            metrics: dict[str, float] = found["metrics"]
            self.seconds += found["seconds"]
            return metrics
        self.state.note(f"arm {arm}, seed {seed}")
        started = time.perf_counter()
        events = folder / "events.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        with open(events, "a", encoding="utf-8") as file:

            def log(record: dict[str, Any]) -> None:
                file.write(json_module.dumps(record) + "\n")
                file.flush()

            trained = run_training(recipe.model, folder, self.state.registry, recipe_hash=recipe.hash, resume=True,
                                   log=log, quiet=self.state.quiet)  # fmt: skip
        seconds = time.perf_counter() - started
        self.seconds += seconds
        content = {"recipe_hash": recipe.hash, "metrics": trained.metrics, "seconds": round(seconds, 3)}
        write_atomic(done, json_module.dumps(content))
        return trained.metrics


def shorter(recipe: ResolvedRecipe) -> list[str]:
    """Overrides that cut a recipe's training to a tenth."""
    train = recipe.model.train
    if train is None:
        return []
    if train.steps is not None:
        return [f"train.steps={max(10, train.steps // QUICK_SHARE)}"]
    return [f"train.epochs={(train.epochs or QUICK_SHARE) / QUICK_SHARE}"]


def evidence_folder() -> Path:
    """`docs/evidence` of a checkout, else `$VLCLI_HOME/evidence`."""
    import vlcli
    from vlcli.runtime.paths import home

    checkout = Path(vlcli.__file__).resolve().parents[1]
    return checkout / "docs" / "evidence" if (checkout / "pyproject.toml").is_file() else home() / "evidence"


def plot_of(outcome: Outcome, metric: str) -> str:
    """The claim's metric of every arm with its interval, as an SVG file."""
    from vlcli.report.plots import as_file, interval_plot

    arms = {arm: (found[metric].mean, found[metric].ci95) for arm, found in outcome.arms.items() if metric in found}
    return as_file(interval_plot(arms, x=metric))


def show(outcome: Outcome, metric: str) -> None:
    """The arms, the conditions and the verdict for people."""
    rows = [(arm, f"{found[metric].mean:.3f}", "{:.3f} – {:.3f}".format(*found[metric].ci95), len(outcome.seeds))
            for arm, found in outcome.arms.items() if metric in found]  # fmt: skip
    typer.echo(table(["arm", metric, "95 % interval", "seeds"], rows))
    for verdict in outcome.conditions:
        typer.echo(f"{'holds' if verdict.passed else 'FAILS'}  {verdict.text} ({verdict.difference:+.3f}, "
                   f"needed {verdict.margin:+.3f})")  # fmt: skip
    control = outcome.negative_control
    if control is not None:
        word = "fails as it should" if not control.passed else "HOLDS, so the claim's condition shows nothing"
        typer.echo(f"negative control {word}: {control.text} ({control.difference:+.3f})")
    typer.echo("reproduced" if outcome.passed else "not reproduced")
