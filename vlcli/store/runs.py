"""Reading the ledger and its runs."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.store.catalog import Catalog
from vlcli.store.errors import sqlite_errors
from vlcli.store.schema import sql_text
from vlcli.store.types import LedgerLine, RunInfo, RunStatus

PAGE = 5000


def read_runs(catalog: Catalog, writer_alive: bool) -> list[RunInfo]:
    """All runs, oldest first; an open one counts as interrupted when no writer is alive."""
    execute = catalog.connection.execute
    counts: dict[int, dict[str, int]] = {}
    for run, outcome, count in execute("SELECT run, outcome, count(*) FROM ledger GROUP BY run, outcome"):
        counts.setdefault(run, {})[outcome] = count
    found = []
    for n, command, started, ended, status in execute(
        "SELECT n, command, started, ended, status FROM runs ORDER BY n"
    ).fetchall():
        mine = counts.get(n, {})
        shown: RunStatus = "interrupted" if status == "running" and not writer_alive else status
        found.append(
            RunInfo(
                id=n,
                command=command,
                started=started,
                ended=ended,
                status=shown,
                embedded=mine.get("embedded", 0),
                unchanged=mine.get("unchanged", 0),
                refused=mine.get("refused", 0),
                quarantined=mine.get("quarantined", 0),
            )
        )
    return found


def read_ledger(catalog: Catalog, run: int | None) -> Iterator[LedgerLine]:
    """The lines of one run, or of all, page by page (a writer may go on meanwhile)."""
    last: tuple[int, str] = (-1 if run is None else run, "")
    query = (
        "SELECT run, input, outcome, code, reason, time FROM ledger WHERE (run, input) > (?, CAST(? AS TEXT)) "
        + ("" if run is None else "AND run = ? ")
        + f"ORDER BY run, input LIMIT {PAGE}"
    )
    while True:
        parameters = [last[0], sql_text(last[1]), *([] if run is None else [run])]
        with sqlite_errors(catalog.folder):
            rows = catalog.connection.execute(query, parameters).fetchall()
        if not rows:
            return
        last = (rows[-1][0], rows[-1][1])
        yield from (LedgerLine(*row) for row in rows)
