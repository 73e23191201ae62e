"""What executes the steps of a recipe: the same functions that the verbs of the command line use."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.cli.pipeline import TRAINING, Context, Outcome, StepFunction
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.data.inputs import Expanded
    from vlcli.recipe.schema import ClassifyStep, EmbedStep, EvalStep, PreviewStep, ReportStep, SearchStep

HITS_IN_RECORD = 100
PREVIEW_PIXELS = 160


def load_step_space(context: Context, name: str) -> Space:
    """A space by name; `@run/space` is the one that this run trained. Loaded once for all steps of the run."""
    from vlcli.align.load import load_space

    place = context.run.resolve(name)
    if place not in context.spaces:
        context.spaces[place] = load_space(place, context.registry, device=context.device)
    space: Space = context.spaces[place]
    return space


def step_inputs(
    context: Context, inputs: Sequence[str], modality: str | None, accepted: Sequence[str] | None = None
) -> Iterator[Expanded]:
    """Files and data sets as items, in the order given."""
    from vlcli.data.inputs import expand_inputs

    places = [context.run.resolve(text) for text in inputs]
    return expand_inputs(places, context.registry, modality, accepted=accepted)


def default_space(context: Context, expanded: Sequence[Expanded]) -> str:
    """The starter space of the inputs' modalities, as the verbs take it."""
    from vlcli.cli.starter import starter_space
    from vlcli.data.inputs import InputItem

    return starter_space(context.registry, {item.modality for item in expanded if isinstance(item, InputItem)})


@contextlib.contextmanager
def progress(context: Context, total: int, label: str) -> Iterator[Callable[[int], None]]:
    """A bar that is moved by calling it with a number of items; no bar where `track` would show none."""
    if context.quiet or not sys.stderr.isatty():
        yield lambda count: None
        return
    from tqdm import tqdm

    with tqdm(desc=label, total=total, file=sys.stderr, unit="", dynamic_ncols=True, leave=False) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance


def embed(context: Context, name: str, step: EmbedStep) -> Outcome:
    """Embed inputs into a store."""
    from vlcli.runtime.paths import store_path
    from vlcli.store import SpaceInfo, open_or_create_store
    from vlcli.store.ingest import ingest

    expanded = list(step_inputs(context, step.inputs, step.modality))
    space_name = step.space or default_space(context, expanded)
    space = load_step_space(context, space_name)
    place = store_path(context.run.resolve(step.store))
    # A space that the run trained is found again by its folder, wherever the command is run from.
    load = str(Path(context.run.resolve(space_name)).resolve()) if space_name.startswith("@run/") else space_name
    info = SpaceInfo(space.name, space.identity, space.dim, load)
    with open_or_create_store(place, info, context.registry) as store:
        with progress(context, len(expanded), "embedding") as advance:
            report = ingest(
                store, space, context.registry, expanded, modality=step.modality, verify=step.verify,
                batch_size=step.batch_size, command=f"run {context.recipe.name}", advance=advance,
            )  # fmt: skip
        total = len(store)
    refused = [{"path": item.path, "code": item.code, "reason": item.reason} for item in report.refused]
    return Outcome(
        f"{report.embedded} embedded, {report.unchanged} unchanged, {len(refused)} refused → {place} ({total} items)",
        {"store": str(place), "space": space.name, "identity": space.identity, "items": total,
         "embedded": report.embedded, "unchanged": report.unchanged, "refused": refused},
        refused=len(refused),
    )  # fmt: skip


def search(context: Context, name: str, step: SearchStep) -> Outcome:
    """Answer each query; all of them on one page."""
    from vlcli.cli.search import as_json
    from vlcli.runtime.paths import store_path
    from vlcli.store import open_store
    from vlcli.store.filters import build_filters
    from vlcli.store.query import load_store_space, search_store

    place = context.run.resolve(step.store)
    queries: list[tuple[str, dict[str, Any]]] = [(text, {"text": text}) for text in step.queries]
    queries += [(f"like {Path(file).name}", {"file": Path(file).expanduser()}) for file in step.files]
    queries += [(f"like {item}", {"item": item}) for item in step.items]
    filters = build_filters(context.registry, step.filters)
    with open_store(store_path(place), context.registry) as store:
        wanted = step.space or store.info.load
        if wanted in context.spaces or step.space is not None:
            space = load_step_space(context, wanted)
            store.check_space(space.identity, space.name)
        else:
            space = load_store_space(store, context.registry, device=context.device)
            context.spaces[wanted] = space
        answers = [
            (title, search_store(store, space, context.registry, top=step.top, where=step.where,
                                 modality=step.modality, filters=filters, **query))
            for title, query in queries
        ]  # fmt: skip
        total = len(store)
    outcome = Outcome(f"{len(answers)} queries over {total} items")
    if step.page:
        from vlcli.report.results import write_search_page

        title = step.title or context.recipe.name
        page = context.run.inside(step.page)
        write_search_page(page, title, answers, context.registry, subtitle=f"{total} items")
        outcome.files.append(step.page)
        outcome.summary += f" → {page}"
    outcome.result = {
        "items": total,
        "queries": [{"query": title, "results": [as_json(hit) for hit in hits[:HITS_IN_RECORD]]}
                    for title, hits in answers],
    }  # fmt: skip
    return outcome


def classify(context: Context, name: str, step: ClassifyStep) -> Outcome:
    """Give each input its nearest label."""
    from vlcli.cli.classify import as_json
    from vlcli.evaluate.zero_shot import classify_sources

    expanded = list(step_inputs(context, step.inputs, step.modality))
    space_name = step.space or default_space(context, expanded)
    space = load_step_space(context, space_name)
    results = classify_sources(
        space, context.registry, expanded, step.labels, templates=step.templates, top=step.top,
        batch_size=step.batch_size, track=tracker(context),
    )  # fmt: skip
    done = [result for result in results if not result.refused]
    refused = [{"path": r.path, "code": r.code, "reason": r.reason} for r in results if r.refused]
    outcome = Outcome(
        f"{len(done)} classified, {len(refused)} refused",
        {"space": space.name, "results": [as_json(result) for result in done], "refused": refused},
        refused=len(refused),
    )
    if step.page:
        from vlcli.report.results import write_classify_page

        page = context.run.inside(step.page)
        write_classify_page(page, results, step.labels, context.registry, space=space.name)
        outcome.files.append(step.page)
        outcome.summary += f" → {page}"
    return outcome


def evaluate(context: Context, name: str, step: EvalStep) -> Outcome:
    """Measure a space on data."""
    from vlcli.data.datasets import open_dataset
    from vlcli.evaluate.run import evaluate_space

    dataset = open_dataset(step.data, context.registry, step.options)
    space = load_step_space(context, step.space)
    result = evaluate_space(
        space, dataset, step.task, context.registry, split=step.split, modality=step.modality, against=step.against,
        templates=step.templates, k=step.k, seed=context.recipe.model.seed, resamples=step.bootstrap,
        batch_size=step.batch_size, dim=step.dim, track=tracker(context),
    )  # fmt: skip
    record = result.as_json()
    shown = ", ".join(f"{key} {metric.value:.3f}" for key, metric in list(result.metrics.items())[:4])
    outcome = Outcome(
        f"{result.task} on {result.n} examples: {shown}", {**record, "space": step.space, "data": step.data},
        refused=len(result.refused), metrics=record["metrics"],
    )  # fmt: skip
    if step.page:
        from vlcli.report.results import write_eval_page

        page = context.run.inside(step.page)
        write_eval_page(page, result, space=step.space, data=step.data)
        outcome.files.append(step.page)
        outcome.summary += f" → {page}"
    return outcome


def tracker(context: Context) -> Any:
    """A progress bar for functions that take one."""
    from vlcli.runtime.progress import track

    return lambda items, total, label: track(items, label=label, total=total, quiet=context.quiet)


def preview(context: Context, name: str, step: PreviewStep) -> Outcome:
    """A contact sheet of examples spread evenly over a data set."""
    from vlcli.data.datasets import open_dataset
    from vlcli.report.pictures import contact_sheet
    from vlcli.runtime.files import write_atomic

    dataset = open_dataset(step.data, context.registry, step.options)
    if not len(dataset):
        raise VlcliError("E402", step.data, "the data set has no example", "check its path and columns")
    count = min(step.count, len(dataset))
    pictures, labels, refused = [], [], []
    for number in range(count):
        example = dataset[number * len(dataset) // count]
        held, source = next(iter(example.sources.items()))
        reader = context.registry.load(context.registry.find("modality", held))()
        try:
            pictures.append(reader.preview(source, PREVIEW_PIXELS))
        except VlcliError as error:
            refused.append({"path": example.id, "code": error.code, "reason": error.message})
            continue
        labels.append(example.captions[0] if example.captions else example.label or example.id)
    if not pictures:
        first = refused[0]
        raise VlcliError("E504", step.data, f"no example can be shown; the first: {first['reason']}", "check the files")
    page = context.run.inside(step.output)
    write_atomic(page, contact_sheet(pictures, labels, size=PREVIEW_PIXELS, title=step.data))
    summary = f"{len(pictures)} of {len(dataset)} examples → {page}"
    return Outcome(summary, {"data": step.data, "shown": len(pictures), "refused": refused}, len(refused),
                   files=[step.output])  # fmt: skip


def report(context: Context, name: str, step: ReportStep) -> Outcome:
    """The page of the run so far."""
    from vlcli.report.folders import write_run_report
    from vlcli.runtime.runs import REPORT_FILE

    page = write_run_report(context.run.path / REPORT_FILE, context.run.path)
    return Outcome(f"report → {page}", {}, files=[REPORT_FILE])


def train(context: Context, resume: bool) -> Outcome:
    """The training part of a recipe; the space that it makes is `@run/space`."""
    from vlcli.train.run import run_training

    def log(record: dict[str, Any]) -> None:
        fields = dict(record)
        context.run.event(str(fields.pop("event", "train")), **fields)

    recipe = context.recipe
    trained = run_training(
        recipe.model, context.run.path, context.registry, recipe_hash=recipe.hash, resume=resume, log=log,
        quiet=context.quiet,
    )  # fmt: skip
    shown = ", ".join(f"{key} {value:.4g}" for key, value in list(trained.metrics.items())[:4])
    space = str(trained.space_folder) if trained.space_folder is not None else None
    model = str(trained.model_folder) if trained.model_folder is not None else None
    return Outcome(f"trained: {shown}" if shown else "trained", {"part": TRAINING, "space": space, "model": model},
                   metrics=trained.metrics)  # fmt: skip


STEP_FUNCTIONS: dict[str, StepFunction] = {
    "embed": embed,
    "search": search,
    "classify": classify,
    "eval": evaluate,
    "preview": preview,
    "report": report,
}
"""`use` of a step -> what executes it; the options are in `vlcli.recipe.schema.STEPS`."""
