"""`vlcli store`: list, show, check, repair, prune, export and remove stores."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of
from vlcli.cli.store_index import EPILOG as INDEX_EPILOG
from vlcli.cli.store_index import index_command
from vlcli.errors import ExitCode, VlcliError

if TYPE_CHECKING:
    from vlcli.store.base import BaseStore
    from vlcli.store.types import Mode

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List, show, index, check, repair, prune, export, import and remove stores.",
    epilog="Examples: vlcli store list  ·  vlcli store show photos  ·  vlcli store export photos photos.parquet",
)

StoreName = Annotated[str, typer.Argument(metavar="STORE", help="A folder, or a name under $VLCLI_HOME/stores.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def opened(ctx: typer.Context, name: str, mode: Mode = "r") -> BaseStore:
    """The store, open."""
    from vlcli.store import open_store

    return open_store(name, state_of(ctx).registry, mode)


def size_text(count: int) -> str:
    """Bytes for people."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


@app.command("list", epilog="Examples: vlcli store list  ·  vlcli store list ./here /data/stores --json")
def list_command(
    ctx: typer.Context,
    paths: Annotated[list[str] | None, typer.Argument(help="Folders that are or hold stores.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the stores under $VLCLI_HOME/stores, or those in other folders."""
    from vlcli.store import list_stores

    found = list_stores(paths or (), state_of(ctx).registry)
    if as_json:
        emit_json({"stores": [asdict(store) for store in found]})
        return
    rows = [
        (store.path, store.error) if store.error else
        (store.path, store.items, store.space, f"{store.dim}-d", store.backend, size_text(store.bytes), store.updated)
        for store in found
    ]  # fmt: skip
    header = ("STORE", "ITEMS", "SPACE", "VECTORS", "BACK END", "SIZE", "UPDATED")
    typer.echo(table(header, [(*row, *[""] * (len(header) - len(row))) for row in rows]))


@app.command("show", epilog="Examples: vlcli store show photos  ·  vlcli store show photos --ledger --run 3  ·  "
             "vlcli store show photos --items --where \"path like '%2024%'\" --limit 5")  # fmt: skip
def show_command(
    ctx: typer.Context,
    store: StoreName,
    ledger: Annotated[bool, typer.Option("--ledger", help="Show what became of each input.")] = False,
    run: Annotated[int | None, typer.Option("--run", help="Only this run (with --ledger).")] = None,
    items: Annotated[bool, typer.Option("--items", help="Show items.")] = False,
    where: Annotated[str | None, typer.Option("--where", help="SQL condition on items.")] = None,
    stale: Annotated[bool, typer.Option("--stale", help="Show the items that search leaves out.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many lines.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show a store's space, contents and runs; or its ledger, or its items."""
    from itertools import islice

    with opened(ctx, store) as found:
        if ledger:
            lines = [asdict(line) for line in islice(found.ledger(run), limit)]
            return show_rows("ledger", lines, ("run", "outcome", "input", "code", "reason"), as_json)
        if stale:
            marks = [{"id": id, "code": code} for id, code in islice(found.stale().items(), limit)]
            return show_rows("stale", marks, ("id", "code"), as_json)
        if items or where is not None:
            chosen = [asdict(item) for item in found.items(where=where, limit=limit)]
            return show_rows("items", chosen, ("id", "modality", "size", "text", "metadata"), as_json)
        overview = describe(found)
    if as_json:
        return emit_json(overview)
    for key in ("path", "backend", "created", "items", "stale", "bytes", "commits", "search"):
        typer.echo(f"{key:10} {size_text(overview[key]) if key == 'bytes' else overview[key]}")
    space = overview["space"]
    typer.echo(f"{'space':10} {space['name']} ({space['dim']} numbers, {space['identity'][:19]}…)")
    typer.echo(f"{'modality':10} " + (", ".join(f"{k}: {v}" for k, v in overview["modalities"].items()) or "(none)"))
    typer.echo(f"{'columns':10} {', '.join(overview['columns'])}")
    header = ("RUN", "STARTED", "STATUS", "EMBEDDED", "UNCHANGED", "REFUSED", "COMMAND")
    keys = ("id", "started", "status", "embedded", "unchanged", "refused", "command")
    typer.echo("\n" + table(header, [[entry[key] for key in keys] for entry in overview["runs"][-limit:]]))


def describe(store: BaseStore) -> dict[str, Any]:
    """The overview of a store."""
    return {
        "path": str(store.path), "backend": store.backend, "created": store.created, "items": len(store),
        "bytes": store.bytes_on_disk(), "commits": store.catalog.state().commits, "space": asdict(store.info),
        "stale": len(store.stale()), "search": search_kinds(store), "modalities": store.catalog.modalities(),
        "columns": store.columns(),
        "runs": [{**asdict(run), "inputs": run.inputs} for run in store.runs()],
    }  # fmt: skip


def search_kinds(store: BaseStore) -> str:
    """How the store can be searched, in words."""
    from vlcli.store.ann import ANN
    from vlcli.store.search import default_search

    if not (store.path / ANN).exists():
        return "exact"
    default = default_search(store)
    return "approximate, exact on request" if default == "ann" else "exact, approximate on request"


def show_rows(name: str, rows: list[dict[str, Any]], columns: tuple[str, ...], as_json: bool) -> None:
    """Rows as JSON or as a table of some of their columns."""
    if as_json:
        return emit_json({name: rows})
    cells = [["" if row[column] in (None, {}) else str(row[column])[:80] for column in columns] for row in rows]
    typer.echo(table([column.upper() for column in columns], cells))


@app.command("check", epilog="Examples: vlcli store check photos  ·  vlcli store check photos --json")
def check_command(ctx: typer.Context, store: StoreName, as_json: AsJson = False) -> None:
    """Check database, commits, checksums of all vectors, full-text index and cache. Exit code 1 if damaged."""
    from vlcli.store import Problem

    try:
        with opened(ctx, store) as found:
            path, count, problems = str(found.path), len(found), found.check()
    except VlcliError as error:
        # What keeps a store from being opened is a finding, but no store or a newer one is not damage.
        if error.code not in ("S102", "S117", "S118"):
            raise
        path, count, problems = error.where, 0, [Problem("database", error.message)]
    if as_json:
        emit_json({"store": path, "items": count, "ok": not problems, "problems": [asdict(p) for p in problems]})
    else:
        for problem in problems:
            typer.echo(f"{problem.kind}: {problem.id + ': ' if problem.id else ''}{problem.detail}")
        repair = f"; run `vlcli store repair {store}`"
        typer.echo(f"{path}: {count} items, {f'{len(problems)} problems{repair}' if problems else 'sound'}")
    if problems:
        raise typer.Exit(ExitCode.FAILED)


@app.command("repair", epilog="Example: vlcli store repair photos && vlcli embed ~/Pictures --store photos")
def repair_command(ctx: typer.Context, store: StoreName, as_json: AsJson = False) -> None:
    """Mend a store: rebuild indices, take damaged items out (the ledger names them); `embed` makes them anew."""
    with opened(ctx, store, "repair") as found:
        done, count = found.repair(), len(found)
    if as_json:
        emit_json({"items": count, "repaired": [asdict(problem) for problem in done]})
        return
    for problem in done:
        typer.echo(f"{problem.kind}: {problem.id + ': ' if problem.id else ''}{problem.detail}")
    quarantined = sum(problem.id is not None for problem in done)
    typer.echo(f"{count} items are sound, {quarantined} were quarantined" + (
        "; embed again to restore them" if quarantined else ""))  # fmt: skip


@app.command("prune", epilog="Examples: vlcli store prune photos --dry-run  ·  vlcli store prune photos")
def prune_command(
    ctx: typer.Context,
    store: StoreName,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be forgotten.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Forget items whose files are gone, and stale ones. It asks when that is more than half: a disk may be missing."""
    with opened(ctx, store, "r" if dry_run else "w") as found:
        gone, before = found.prune(dry_run=True), len(found)
        if not dry_run:
            if 2 * len(gone) > before and not yes:
                confirm(f"{len(gone)} of {before} items are gone or stale. Forget them?")
            found.remove(gone)
    if as_json:
        emit_json({"pruned": gone, "dry_run": dry_run})
        return
    for id in gone[:20]:
        typer.echo(id)
    typer.echo(f"{'would forget' if dry_run else 'forgot'} {len(gone)} of {before} items")


@app.command(
    "export", epilog="Examples: vlcli store export photos photos.parquet  ·  vlcli store export photos out --format npz"
)
def export_command(
    ctx: typer.Context,
    store: StoreName,
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    format: Annotated[
        str | None, typer.Option("--format", help="parquet or npz; by default the file's ending.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write items, metadata and vectors to one Parquet or NPZ file, atomically."""
    with opened(ctx, store) as found:
        count = found.export(file, format)
    if as_json:
        emit_json({"file": str(file), "items": count})
    else:
        typer.echo(f"{count} items written to {file}")


@app.command(
    "import",
    epilog="Examples: vlcli store import shards/ -s photos  ·  vlcli store import old.parquet -s photos",
)
def import_command(
    ctx: typer.Context,
    shards: Annotated[list[Path], typer.Argument(help="Parquet files of embed --shards or store export, or folders.")],
    store: Annotated[str, typer.Option("--store", "-s", help="A store; made when it is not there.")],
    backend: Annotated[str, typer.Option("--backend", help="Of a new store: sqlite or lance.")] = "sqlite",
    as_json: AsJson = False,
) -> None:
    """Take shards into a store: each row is verified, what is there is left, and it can be repeated or gone on with."""
    from vlcli.runtime.paths import store_path
    from vlcli.store import open_or_create_store
    from vlcli.store.shards import find_shards, import_shards, open_shards

    paths, unfinished = find_shards(shards)
    opened_shards, torn = open_shards(paths)
    with open_or_create_store(store_path(store), opened_shards[0].info, state_of(ctx).registry, backend) as target:
        report = import_shards(target, opened_shards, torn)
    if as_json:
        emit_json({"store": store, "shards": report.shards, "torn": report.torn, "unfinished": unfinished,
                   "imported": report.imported, "unchanged": report.unchanged,
                   "refused": [asdict(line) for line in report.refused]})  # fmt: skip
    else:
        typer.echo(f"{store}: {report.imported:,} imported, {report.unchanged:,} unchanged, "
                   f"{len(report.refused):,} refused, from {report.shards:,} shards")  # fmt: skip
    state = state_of(ctx)
    for line in report.refused[:20]:
        state.note(f"refused[{line.code}] {line.path}: {line.reason}")
    for folder in unfinished:
        state.note(f"note: the run that writes {folder} has not ended: run its command again, then import again")
    if report.refused:
        raise typer.Exit(ExitCode.REFUSED if report.imported + report.unchanged else ExitCode.FAILED)


app.command("index", epilog=INDEX_EPILOG)(index_command)


@app.command("rm", epilog="Example: vlcli store rm photos --yes")
def rm_command(ctx: typer.Context, store: StoreName, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a store. A folder that is no store, or holds other files, is left alone."""
    from vlcli.store import is_store, remove_store
    from vlcli.store.folder import as_folder

    folder = as_folder(store)
    if not yes and is_store(folder):
        confirm(f"Delete the store {folder}?")
    size = remove_store(folder)
    if as_json:
        emit_json({"removed": str(folder), "bytes": size})
    else:
        typer.echo(f"removed {folder} ({size_text(size)})")


def confirm(question: str) -> None:
    """Ask on a terminal; elsewhere nobody can answer.

    Raises:
        VlcliError: U310 without a terminal.
        typer.Abort: when the answer is no.
    """
    import sys

    if not sys.stdin.isatty():
        raise VlcliError("U310", "", f"this needs a confirmation: {question}", "add --yes")
    typer.confirm(question, abort=True, err=True)
