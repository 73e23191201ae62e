"""`vlcli search`: the nearest items of a store to a text, a file, or both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of

if TYPE_CHECKING:
    from vlcli.store.types import Hit

app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """Examples:

  vlcli search photos "two people on a beach" --top 12 --html out.html

  vlcli search photos --file other.jpg --where "path like '%2024%'"

  vlcli search photos "in the snow" --file dog.jpg --json
"""


@app.command(help="Search a store by text or by example.", epilog=EXAMPLES)
def search(
    ctx: typer.Context,
    store: Annotated[str, typer.Argument(help="A store: a path, or a name under $VLCLI_HOME/stores.")],
    text: Annotated[str | None, typer.Argument(help="What to look for, in words.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Look for items like this file.")] = None,
    top: Annotated[int, typer.Option("--top", "-n", help="How many results.")] = 12,
    where: Annotated[str | None, typer.Option(help="SQL condition over item columns: \"path like '%2024%'\".")] = None,
    modality: Annotated[str | None, typer.Option(help="Only items of this modality.")] = None,
    text_weight: Annotated[float, typer.Option(help="Share of the text when text and file are given.")] = 0.5,
    file_modality: Annotated[str | None, typer.Option(help="How to read --file, if not by its extension.")] = None,
    text_match: Annotated[
        bool, typer.Option("--text-match", help="Match words of texts and captions instead of meaning.")
    ] = False,
    space: Annotated[
        str | None, typer.Option(help="Load the store's space from elsewhere; it must be the same.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the results as a page with pictures.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
) -> None:
    """Print rank, score and path of the nearest items."""
    from vlcli.runtime.device import set_threads
    from vlcli.runtime.paths import store_path
    from vlcli.store import open_store
    from vlcli.store.query import load_store_space, search_store

    state = state_of(ctx)
    set_threads()
    with open_store(store_path(store), state.registry) as opened:
        loaded = load_store_space(opened, state.registry, device=device, space=space) if space else None
        hits = search_store(
            opened, loaded, state.registry, text, file, top, where, modality, weight=text_weight, words=text_match,
            device=device, file_modality=file_modality,
        )  # fmt: skip
        if html is not None:
            from vlcli.report.results import write_search_page

            query = query_name(text, file)
            write_search_page(
                html, f"Search in {store}", [(query, hits)], state.registry, subtitle=f"{len(opened)} items"
            )
            state.note(f"page: {html}")
    if json:
        emit_json({"results": [as_json(hit) for hit in hits]})
    else:
        typer.echo(table(["rank", "score", "item"], [(hit.rank, f"{hit.score:.3f}", shown(hit)) for hit in hits]))


def query_name(text: str | None, file: Path | None) -> str:
    """The query as a heading."""
    return " + ".join([*([text.strip()] if text and text.strip() else []), *([f"like {file.name}"] if file else [])])


def shown(hit: Hit) -> str:
    """The path of a hit, or its text."""
    return hit.path or (" ".join(hit.text.split())[:100] if hit.text else hit.id)


def as_json(hit: Hit) -> dict[str, object]:
    """A hit as `--json` prints it."""
    return {"rank": hit.rank, "score": hit.score, "id": hit.id, "path": hit.path, "modality": hit.modality,
            "text": hit.text, "metadata": dict(hit.metadata)}  # fmt: skip
