"""Check and repair, for every back end."""

from __future__ import annotations

import contextlib
import itertools
import re
import sqlite3
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from vlcli.data.names import real_path
from vlcli.errors import VlcliError
from vlcli.store.catalog import Catalog, is_sound
from vlcli.store.errors import explain_sqlite_error
from vlcli.store.records import stale_digest, wrap
from vlcli.store.schema import TOKENIZE
from vlcli.store.types import Outcome, Problem
from vlcli.store.vectors import checksum
from vlcli.store.where import ITEM_COLUMNS, no_column, quote
from vlcli.store.witness import lost_commits, read_witness, write_witness

if TYPE_CHECKING:
    import numpy as np

    from vlcli.store.base import BaseStore

SHOWN = 100  # SQLite's own complaints, at most


def check(store: BaseStore) -> list[Problem]:
    """What is wrong with a store, cache aside: database, commits, items, vectors, full-text index."""
    catalog = store.catalog
    problems = [Problem("database", line) for line in integrity(catalog)]
    if problems:
        return problems  # what follows would only repeat it, item by item
    lost = lost_commits(catalog.state().witnessed, read_witness(store.path))
    if lost:
        problems.append(Problem("lost-commits", lost))
    total = 0
    for stored in catalog.all_stored():
        total += stored.digest
        if not is_sound(stored):
            problems.append(Problem("item", "its record was changed outside a commit", stored.item.id))
    marks = catalog.connection.execute("SELECT n, code, digest FROM stale").fetchall()
    total += sum(digest for _, _, digest in marks)
    if any(stale_digest(n, code) != digest for n, code, digest in marks):
        problems.append(Problem("stale", "a mark on a stale item was changed outside a commit"))
    if wrap(total) != catalog.state().content:
        problems.append(Problem("content", "items were added, removed or changed outside a commit"))
    problems += check_vectors(store)
    if full_text_damaged(catalog):
        problems.append(Problem("fulltext", "the full-text index does not fit the items"))
    return problems


def integrity(catalog: Catalog) -> list[str]:
    """The complaints of SQLite's own `integrity_check`."""
    try:
        rows = catalog.connection.execute(f"PRAGMA integrity_check({SHOWN})").fetchall()
    except sqlite3.DatabaseError as error:
        return [explain_sqlite_error(error, catalog.folder).message]
    return [str(row[0]) for row in rows if row[0] != "ok"]


def check_vectors(store: BaseStore) -> list[Problem]:
    """Vectors that are damaged, missing, or belong to no item."""
    problems = []
    waiting = store.catalog.checksums()
    try:
        for numbers, blobs in store.table.blocks():
            for n, blob in zip(numbers, blobs, strict=True):
                if n not in waiting:
                    problems.append(Problem("orphan-vector", f"vector {n} belongs to no item"))
                    continue
                id, expected = waiting.pop(n)
                if len(blob) != 4 * store.info.dim or checksum(id, blob) != expected:
                    problems.append(Problem("vector", "its stored vector is damaged", id))
    except (OSError, VlcliError) as error:
        problems.append(Problem("vectors", f"the vectors can not be read ({error})"))
        return problems
    problems += [Problem("missing-vector", "its vector is missing", id) for id, _ in waiting.values()]
    return problems


def full_text_damaged(catalog: Catalog) -> bool:
    """Whether the full-text index differs from the items, orphaned rows included.

    FTS5 has a check of its own, which SQLite before 3.44 does not run by itself and no reader may call, as it is an
    INSERT. So the items' words are indexed anew, in memory or a temporary file, and the two lists of words compared.
    """
    connection = catalog.connection
    indexed = connection.execute("SELECT count(*) FROM fulltext_docsize").fetchone()[0]
    if indexed != catalog.count():
        return True
    with contextlib.closing(sqlite3.connect("")) as anew:
        anew.execute(f"CREATE VIRTUAL TABLE fulltext USING fts5(text, path, {TOKENIZE})")
        # As bytes, since not every path is UTF-8.
        anew.executemany(
            "INSERT INTO fulltext(rowid, text, path) VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT))",
            connection.execute("SELECT n, CAST(text AS BLOB), CAST(path AS BLOB) FROM items"),
        )
        try:
            return any(one != other for one, other in itertools.zip_longest(words_of(connection), words_of(anew)))
        except sqlite3.DatabaseError:
            return True


def words_of(connection: sqlite3.Connection) -> Iterator[tuple[object, ...]]:
    """Every word of a full-text index with the item, column and place where it stands, in order."""
    connection.execute("CREATE VIRTUAL TABLE IF NOT EXISTS temp.words USING fts5vocab('main', 'fulltext', 'instance')")
    return connection.execute("SELECT CAST(term AS BLOB), doc, col, offset FROM temp.words")


def repair(store: BaseStore) -> list[Problem]:
    """Mend a store opened with mode `repair` (or `w`); gives what was done, one `Problem` each.

    Damaged rows are removed and written to the ledger as quarantined, so that the next `embed` embeds them again.
    """
    catalog = store.catalog
    done: list[Problem] = []
    if complaints := integrity(catalog):
        catalog.connection.execute("REINDEX")
        left = integrity(catalog)
        if left:
            raise VlcliError("S116", str(store.path), f"the database can not be mended ({left[0]})",
                             "restore it from a backup, or remove the store and embed again")  # fmt: skip
        done.append(Problem("database", f"indices rebuilt ({complaints[0]})"))
    try:
        store.table.open(catalog.state().table_version)
    except VlcliError as error:
        store.table.salvage()
        done.append(Problem("vectors", error.message))
    lost = lost_commits(catalog.state().witnessed, read_witness(store.path))
    found = [*check(store), *([Problem("lost-commits", lost)] if lost else [])]
    bad = {problem.id: problem for problem in found if problem.id is not None}
    run_lines: list[tuple[str, Outcome, str, str]] = [
        (id, "quarantined", "S111", problem.detail) for id, problem in bad.items()
    ]
    if lost:
        run_lines.append((str(store.path), "quarantined", "S107", lost))
    run = store.begin_run("vlcli store repair")
    with catalog.commit(store.table.version) as change:
        numbers = list(catalog.numbers_of(list(bad)).values())
        orphans = [int(match.group(1)) for problem in found if problem.kind == "orphan-vector"
                   and (match := re.search(r"vector (\d+)", problem.detail))]  # fmt: skip
        store.table.delete([*numbers, *orphans])
        catalog.forget(change, numbers)
        marks = catalog.connection.execute("SELECT n, code FROM stale WHERE n IN (SELECT n FROM items)").fetchall()
        catalog.connection.execute("DELETE FROM stale")
        catalog.connection.executemany(
            "INSERT INTO stale VALUES (?, ?, ?)", [(n, code, stale_digest(n, code)) for n, code in marks]
        )
        total = catalog.connection.execute("SELECT digest FROM items UNION ALL SELECT digest FROM stale").fetchall()
        change.content_delta = sum(digest for (digest,) in total) - catalog.state().content
        change.items_changed = True
        catalog.connection.execute("INSERT INTO fulltext(fulltext) VALUES ('rebuild')")
        catalog.write_lines(change, run, run_lines)
    write_witness(store.path, catalog.state().witnessed)
    store.end_run()
    done += [problem for problem in found if problem.kind != "cache"]
    return done


def gone_ids(catalog: Catalog, unlisted: Iterable[str]) -> list[str]:
    """Ids that `prune` forgets, in the order of arrival: see `BaseStore.prune`."""
    forget = {*unlisted, *catalog.stale()}

    @lru_cache(maxsize=64)  # rows of one manifest follow each other
    def is_gone(file: str) -> bool:
        place = real_path(file)
        return place.is_absolute() and not place.exists()

    rows = catalog.connection.execute("SELECT id, path FROM items ORDER BY n").fetchall()
    return [id for id, path in rows if id in forget or is_gone(id.rpartition("#")[0] if path is None else path)]


def ordered_numbers(catalog: Catalog, numbers: NDArray[np.int64] | None, order: str | None) -> list[int]:
    """The numbers of the items (all for None) by a column; missing values last, ties in the order of arrival.

    Raises:
        VlcliError: U301 when `order` is no column.
    """
    if order is None:
        if numbers is not None:
            return [int(n) for n in numbers]
        return [row[0] for row in catalog.connection.execute("SELECT n FROM items ORDER BY n")]
    name, _, direction = order.strip().partition(" ")
    keys = catalog.metadata_keys()
    if direction.strip().lower() not in ("", "asc", "desc") or name.lower() not in {
        column.lower() for column in (*ITEM_COLUMNS, *keys)
    }:
        raise no_column(order, keys, "write a column, or a column and 'desc'")
    if name.lower() in ITEM_COLUMNS:
        value = name.lower()
    else:
        key = next(key for key in keys if key.lower() == name.lower())
        value = "json_extract(metadata, " + quote(f'$."{key}"') + ")"
    wanted = None if numbers is None else set(numbers.tolist())
    rows = catalog.connection.execute(f"SELECT n FROM items ORDER BY {value} {direction} NULLS LAST, n")
    return [n for (n,) in rows if wanted is None or n in wanted]
