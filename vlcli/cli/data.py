"""`vlcli data`: list, show and preview data sets: registered ones, and a user's own folders and tables."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import State, state_of
from vlcli.errors import ExitCode, VlcliError

if TYPE_CHECKING:
    from vlcli.data import Dataset, Example

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List, show and preview data sets.",
    epilog="A data set is a name (images/emoji, or emoji while that is unique), a folder, or a CSV, JSONL or Parquet "
    "file. A folder may hold class sub-folders (below train, val and test, or not), a metadata.csv or captions.csv, or "
    "COCO's captions.json.",
)  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Name = Annotated[str, typer.Argument(metavar="DATA", help="A registered name, a folder or a table.")]
Settings = Annotated[
    list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Option of the data set, e.g. language=de.")
]


@app.command("list", epilog="Example: vlcli data list --json")
def list_datasets(ctx: typer.Context, as_json: Json = False) -> None:
    """List the registered data sets."""
    rows = [
        {"name": entry.name, "plugin": entry.plugin, "summary": entry.spec.summary,
         "modalities": list(entry.spec.modalities), "license": entry.spec.license}
        for entry in state_of(ctx).registry.list("dataset")
    ]  # fmt: skip
    if as_json:
        emit_json({"datasets": rows})
        return
    cells = [(row["name"], ",".join(row["modalities"]), row["license"] or "-", row["summary"]) for row in rows]
    typer.echo(table(("NAME", "MODALITIES", "LICENSE", "SUMMARY"), cells))


@app.command("show", epilog="Example: vlcli data show images/emoji --option language=de")
def show_dataset(ctx: typer.Context, name: Name, option: Settings = None, as_json: Json = False) -> None:
    """Show what a data set holds: size, splits, labels, captions, options, and some examples."""
    state = state_of(ctx)
    dataset = opened(state, name, option)
    facts = describe(dataset)
    facts = {"name": name, **facts, "options": option_help(state, name)}
    if as_json:
        emit_json(facts)
        return
    typer.echo(f"{name}: {facts['n']:,} examples of {', '.join(facts['modalities'])}")
    for title, counts in (("splits", facts["splits"]), ("labels", facts["labels"])):
        shown = [f"{key} {count:,}" for key, count in list(counts.items())[:12]]
        more = f", … {len(counts) - 12} more" if len(counts) > 12 else ""
        typer.echo(f"{title}: {', '.join(shown) + more or 'none'}")
    typer.echo(f"captions: {facts['captions']:,} ({facts['captions'] / max(facts['n'], 1):.1f} an example)")
    if facts["options"]:
        typer.echo("options:")
        rows = [(f"  {row['name']}", row["default"], row["description"]) for row in facts["options"]]
        typer.echo(table(("  NAME", "DEFAULT", "MEANING"), rows))
    typer.echo("examples:")
    for row in facts["examples"]:
        label = f" [{row['label']}]" if row["label"] else ""
        typer.echo(f"  {row['id']}{label}: {' | '.join(row['captions'][:3]) or '(no caption)'}")
    note_refused(state, dataset)


@app.command("preview", epilog="Example: vlcli data preview images/emoji -o emoji.png --n 96 --seed 1")
def preview_dataset(
    ctx: typer.Context,
    name: Name,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The PNG to write; default: by the name.")
    ] = None,
    count: Annotated[int, typer.Option("--n", min=1, max=2000, help="How many examples.")] = 48,
    seed: Annotated[int, typer.Option("--seed", help="Which ones: the same seed picks the same.")] = 0,
    columns: Annotated[int, typer.Option("--columns", min=1, max=40, help="Pictures in a row.")] = 8,
    size: Annotated[int, typer.Option("--size", min=32, max=1024, help="Pixels of a cell.")] = 160,
    option: Settings = None,
    as_json: Json = False,
) -> None:
    """Write a contact sheet of examples with their captions or labels."""
    from vlcli.data.prefetch import prefetch
    from vlcli.report.pictures import Previews, contact_sheet
    from vlcli.runtime.files import write_atomic

    state = state_of(ctx)
    dataset = opened(state, name, option)
    picked = sorted(random.Random(seed).sample(range(len(dataset)), min(count, len(dataset))))
    previews = Previews(state.registry, size)

    def picture(index: int) -> bytes:
        modality, source = next(iter(dataset[index].sources.items()))
        return previews.png(modality, source)

    pictures: list[bytes] = []
    labels: list[str] = []
    failed: list[dict[str, str]] = []
    for fetched in prefetch(picture, picked):
        example = dataset[fetched.item]
        if isinstance(fetched.error, VlcliError):
            failed.append({"path": example.id, "code": fetched.error.code, "reason": fetched.error.message})
        else:
            pictures.append(fetched.value())
            labels.append(title_of(example))
    if not pictures:
        raise VlcliError("D204", name, f"none of {len(failed)} examples can be shown (first: {failed[0]['reason']})",
                         "check the files")  # fmt: skip
    path = output or Path(f"{default_stem(name)}.png")
    title = f"{name}: {len(pictures)} of {len(dataset):,} examples"
    write_atomic(path, contact_sheet(pictures, labels, columns=columns, size=size, title=title))
    if as_json:
        emit_json({"output": str(path), "shown": len(pictures), "n": len(dataset), "refused": failed})
    else:
        typer.echo(f"{path}: {title}")
    for line in failed[:10]:
        state.note(f"refused[{line['code']}] {line['path']}: {line['reason']}")
    note_refused(state, dataset)
    if failed:
        raise typer.Exit(ExitCode.REFUSED)


def default_stem(name: str) -> str:
    """A file name for a data set's name or path."""
    return "-".join(part for part in Path(name).parts[-2:] if part not in ("/", ".", ".."))


def title_of(example: Example) -> str:
    """What stands below a picture: the first caption, else the label, else the id."""
    return example.captions[0] if example.captions else example.label or example.id


def opened(state: State, name: str, settings: list[str] | None) -> Dataset:
    """The data set with its options."""
    from vlcli.data.datasets import open_dataset

    return open_dataset(name, state.registry, parse_options(settings or []))


def parse_options(settings: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` pairs; a value is TOML where it parses (`3`, `true`, `["a"]`), else text.

    Raises:
        VlcliError: U134 for a setting without `=`.
    """
    import tomllib

    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key.strip():
            raise VlcliError("U134", "--option", f"'{setting}' is not of the form KEY=VALUE", "write e.g. language=de")
        try:
            options[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            options[key.strip()] = value
    return options


def describe(dataset: Dataset) -> dict[str, Any]:
    """Counts over all examples, and the first five of them."""
    splits: Counter[str] = Counter()
    labels: Counter[str] = Counter()
    modalities: Counter[str] = Counter()
    captions = 0
    for index in range(len(dataset)):
        example = dataset[index]
        splits.update([example.split] if example.split else [])
        labels.update([example.label] if example.label else [])
        modalities.update(list(example.sources))
        captions += len(example.captions)
    examples = [dataset[index] for index in range(min(5, len(dataset)))]
    return {
        "n": len(dataset), "modalities": sorted(modalities), "splits": dict(splits),
        "labels": dict(labels.most_common()), "captions": captions,
        "examples": [{"id": e.id, "captions": list(e.captions), "label": e.label, "split": e.split} for e in examples],
        "refused": [{"path": line.path, "code": line.code, "reason": line.reason}
                    for line in getattr(dataset, "refused", ())],
    }  # fmt: skip


def option_help(state: State, name: str) -> list[dict[str, str]]:
    """The options that a registered data set takes."""
    from vlcli.data.datasets import registered_names

    registry = state.registry
    if name not in registered_names(registry):
        return []
    model = registry.options_model(registry.find("dataset", name))
    if model is None:
        return []
    return [
        {"name": key, "default": "required" if field.is_required() else repr(field.default),
         "description": field.description or ""}
        for key, field in model.model_fields.items()
    ]  # fmt: skip


def note_refused(state: State, dataset: Dataset) -> None:
    """Tell of rows and files that a user's own data set could not use."""
    refused = list(getattr(dataset, "refused", ()))
    for line in refused[:10]:
        state.note(f"refused[{line.code}] {line.path}: {line.reason}")
    if len(refused) > 10:
        state.note(f"… and {len(refused) - 10:,} more")
