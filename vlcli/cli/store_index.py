"""`vlcli store index`: build, choose and drop what searches go faster by."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vlcli.cli.output import emit_json
from vlcli.cli.state import state_of
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.store.base import BaseStore

PROBES = 100
TOP = 10
EPILOG = ("Examples: vlcli store index photos --kind ann  ·  vlcli store index photos --kind ann --default  ·  "
          "vlcli store index photos --drop")  # fmt: skip


def index_command(
    ctx: typer.Context,
    store: Annotated[str, typer.Argument(metavar="STORE", help="A folder, or a name under $VLCLI_HOME/stores.")],
    kind: Annotated[
        Literal["exact", "ann"], typer.Option("--kind", help="exact: the mapped vectors; ann: an approximate index.")
    ] = "exact",
    default: Annotated[bool, typer.Option("--default", help="Let searches use this kind when not told.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Remove the approximate index.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Build what is derived for searches now: the mapped vectors, or an approximate index for large stores.

    Both are derived from the store, checked before they are used, and may be removed at any time.
    """
    from vlcli.store import open_store
    from vlcli.store.ann import drop_index, library
    from vlcli.store.search import set_default_search

    if kind == "ann" and not drop:
        library()
    if drop and default:
        raise VlcliError("U315", "--default", "says what to use, --drop removes it", "give one of the two")
    writes = default or drop
    with open_store(store, state_of(ctx).registry, "w" if writes else "r") as opened:
        if drop:
            removed = drop_index(opened.path)
            set_default_search(opened, "exact")
            report = {"store": store, "removed": removed}
            text = f"{store}: {'the approximate index is removed' if removed else 'there was no approximate index'}"
        else:
            report = build(opened, store, kind)
            if default:
                set_default_search(opened, kind)
            text = f"{store}: {report['rows']:,} items indexed ({kind}) in {report['seconds']:.1f} s"
            if "recall" in report:
                megabytes = float(str(report["bytes"])) / 1e6
                text += f", {megabytes:.1f} MB, recall@{TOP} {report['recall']:.3f} for its own items"
            report["default"] = default
    if as_json:
        emit_json(report)
    else:
        typer.echo(text)


def build(opened: BaseStore, name: str, kind: str) -> dict[str, Any]:
    """Build one kind; gives what it is and how long it took."""
    from vlcli.store.ann import ANN, build_index
    from vlcli.store.recall import measured_recall

    started = time.perf_counter()
    rows = build_index(opened) if kind == "ann" else opened.build_cache()
    report: dict[str, Any] = {
        "store": name, "kind": kind, "rows": rows, "seconds": round(time.perf_counter() - started, 3),
    }  # fmt: skip
    if kind == "ann" and rows:
        report["bytes"] = (opened.path / ANN).stat().st_size
        report["recall"] = measured_recall(opened, PROBES, TOP)
    return report
