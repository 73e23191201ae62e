"""`vlcli search`: the nearest items of a store to a text, a file, or both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.store.types import Hit

app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


class SearchCommand(TyperCommand):
    """The verb, with an option for each filter of items that a plugin registers: `--NAME VALUE`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Write a filter's option as `--filter NAME=VALUE`. Plugins are asked only when an option is not the verb's."""
        own = {option for parameter in self.params for option in (*parameter.opts, *parameter.secondary_opts)}
        if any(word.startswith("--") and word.partition("=")[0] not in own for word in args):
            args = filter_options(args, own, list(item_filters(ctx)))
        return super().parse_args(ctx, args)

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """The verb's options, then those of plugins."""
        super().format_options(ctx, formatter)
        rows = [(f"--{name} TEXT", f"{summary} [{plugin}]") for name, (summary, plugin) in item_filters(ctx).items()]
        if rows:
            with formatter.section("Filters of plugins"):
                formatter.write_dl(rows)


def item_filters(ctx: typer.Context) -> dict[str, tuple[str, str]]:
    """Name -> summary and plugin of the registered filters that searches can use."""
    entries = state_of(ctx).registry.list("filter")
    return {entry.spec.name: (entry.spec.summary, entry.plugin) for entry in entries
            if getattr(entry.spec, "search_option", "")}  # fmt: skip


def filter_options(args: list[str], own: set[str], filters: list[str]) -> list[str]:
    """`--NAME VALUE` and `--NAME=VALUE` as `--filter NAME=VALUE`, up to a `--`."""
    written: list[str] = []
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--":
            return [*written, word, *words]
        if name in own or name.removeprefix("--") not in filters or not name.startswith("--"):
            written.append(word)
            continue
        given = value if equals else next(words, None)
        if given is None:
            raise VlcliError("U307", name, "has no value", "see `vlcli search --help`")
        written += ["--filter", f"{name.removeprefix('--')}={given}"]
    return written


EXAMPLES = """Examples:

  vlcli search photos "two people on a beach" --top 12 --html out.html

  vlcli search photos --file other.jpg --where "path like '%2024%'"

  vlcli search photos "in the snow" --file dog.jpg --json

  vlcli search compounds --item "CC(=O)Oc1ccccc1C(=O)O"
"""


@app.command(cls=SearchCommand, help="Search a store by text or by example.", epilog=EXAMPLES)
def search(
    ctx: typer.Context,
    store: Annotated[str, typer.Argument(help="A store: a path, or a name under $VLCLI_HOME/stores.")],
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Look for items like this file.")] = None,
    top: Annotated[int, typer.Option("--top", "-n", help="How many results.")] = 12,
    where: Annotated[str | None, typer.Option(help="SQL condition over item columns: \"path like '%2024%'\".")] = None,
    modality: Annotated[str | None, typer.Option(help="Only items of this modality.")] = None,
    text_weight: Annotated[float, typer.Option(help="Share of the text when text and file are given.")] = 0.5,
    file_modality: Annotated[
        str | None, typer.Option(help="How to read --file or --item, if not by its extension.")
    ] = None,
    item: Annotated[str | None, typer.Option(help="Look for items like this value, e.g. a SMILES string.")] = None,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", help="Only items that pass a plugin's filter, as NAME=VALUE.")
    ] = None,
    text_match: Annotated[
        bool, typer.Option("--text-match", help="Match words of texts and captions instead of meaning.")
    ] = False,
    space: Annotated[
        str | None, typer.Option(help="Load the store's space from elsewhere; it must be the same.")
    ] = None,
    approximate: Annotated[
        bool | None,
        typer.Option("--approximate/--exact", help="By the index of `vlcli store index --kind ann`, or exactly."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the results as a page with pictures.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    max_memory: Annotated[
        str | None, typer.Option("--max-memory", help="Ceiling of host memory, e.g. 2GiB (default VLCLI_MAX_MEMORY).")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Print rank, score and path of the nearest items."""
    from vlcli.runtime.device import set_threads
    from vlcli.runtime.memory import memory_ceiling
    from vlcli.runtime.paths import store_path
    from vlcli.store import open_store
    from vlcli.store.filters import build_filters
    from vlcli.store.query import load_store_space, search_store

    state = state_of(ctx)
    with (
        memory_ceiling(max_memory, "lower --top"),
        open_store(store_path(store), state.registry) as opened,
    ):
        set_threads()
        loaded = load_store_space(opened, state.registry, device=device, space=space) if space else None
        hits = search_store(
            opened, loaded, state.registry, text, file, top, where, modality, weight=text_weight, words=text_match,
            device=device, file_modality=file_modality, item=item,
            filters=build_filters(state.registry, filters or ()),
            on_unreadable=lambda lost: state.note(unreadable_note(lost)), approximate=approximate,
        )  # fmt: skip
        searched = opened.searched
        if searched.note:
            state.note(f"note: {searched.note}")
        if html is not None:
            from vlcli.report.results import write_search_page

            query = query_name(text, file, item, filters or ())
            write_search_page(
                html, f"Search in {store}", [(query, hits)], state.registry, subtitle=f"{len(opened)} items"
            )
            state.note(f"page: {html}")
    if json:
        emit_json({"search": {"kind": "words" if text_match else searched.kind, "note": searched.note},
                   "results": [as_json(hit) for hit in hits]})  # fmt: skip
    else:
        rows = [(hit.rank, "-" if math.isnan(hit.score) else f"{hit.score:.3f}", shown(hit)) for hit in hits]
        typer.echo(table(["rank", "score", "item"], rows))


def query_name(text: str | None, file: Path | None, item: str | None = None, filters: Sequence[str] = ()) -> str:
    """The query as a heading."""
    parts = [text.strip()] if text and text.strip() else []
    parts += [f"like {file.name}"] if file else []
    parts += [f"like {item}"] if item else []
    return " + ".join([*parts, *(one.replace("=", " ", 1) for one in filters)])


def unreadable_note(lost: list[tuple[str, VlcliError]]) -> str:
    """A line on the items that a filter could not judge."""
    count = f"{len(lost)} items" if len(lost) > 1 else "1 item"
    return f"{count} could not be read for the filter and not answered, first {lost[0][0]}: {lost[0][1].message}"


def shown(hit: Hit) -> str:
    """The path of a hit, or its text."""
    return hit.path or (" ".join(hit.text.split())[:100] if hit.text else hit.id)


def as_json(hit: Hit) -> dict[str, object]:
    """A hit as `--json` prints it."""
    score = None if math.isnan(hit.score) else hit.score
    return {"rank": hit.rank, "score": score, "id": hit.id, "path": hit.path, "modality": hit.modality,
            "text": hit.text, "metadata": dict(hit.metadata)}  # fmt: skip
