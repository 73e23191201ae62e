"""What every back end does the same way: a catalog in SQLite, a lock, a ledger, exact search. See `VectorStore`."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.runtime.leftovers import clear_leftovers
from vlcli.store import fulltext, maintenance
from vlcli.store.ann import AnnReader, check_index, drop_index
from vlcli.store.cache import Version
from vlcli.store.catalog import Catalog, State
from vlcli.store.errors import sqlite_errors
from vlcli.store.export import export_store
from vlcli.store.lock import WriterLock, is_locked, now
from vlcli.store.rows import table_blocks, verified
from vlcli.store.runs import read_ledger, read_runs
from vlcli.store.schema import DATABASE, connect, migrate, migrate_for_reading
from vlcli.store.search import as_hit, search_vectors
from vlcli.store.topk import Block
from vlcli.store.types import (
    Hit,
    Item,
    Known,
    LedgerLine,
    Mode,
    Outcome,
    Problem,
    Refusal,
    Row,
    RunInfo,
    RunStatus,
    Searched,
    SpaceInfo,
    Unchanged,
)  # fmt: skip
from vlcli.store.vectors import VectorTable, as_bytes, as_matrix, checksum, vector_problem
from vlcli.store.where import ITEM_COLUMNS
from vlcli.store.witness import lost_commits, read_witness, write_witness

LOST_COMMITS_HELP = (
    "restore store.db with its -wal file from a backup, or run `vlcli store repair` to go on with what is left"
)
NO_STORE_HELP = "make one: vlcli embed FOLDER --store NAME; see `vlcli store list`"


class BaseStore:
    """An open store.

    A back end gives `backend`, its registry name, and `_open_table`. Reading and writing may happen in any thread, one
    at a time. Use it as a context manager.

    Args:
        path: its folder.
        mode: see `vlcli.store.types.Mode`.
        command: what to tell others who want to write meanwhile.

    Raises:
        VlcliError: S101 when there is no store, S102/S103 when it can not be read by this vlcli, S106 when another
            writer is at work, S107 when acknowledged commits are missing and `mode` is `w`.
    """

    backend: ClassVar[str]

    def __init__(self, path: Path, mode: Mode = "r", command: str = "") -> None:
        self.path = Path(path)
        self.mode = mode
        self._run: int | None = None
        self._implicit_run = False
        self._resources = contextlib.ExitStack()
        self.searched = Searched("exact")
        self.ann = AnnReader()
        if not (self.path / DATABASE).is_file():
            raise VlcliError("S101", str(self.path), "there is no store here", NO_STORE_HELP)
        try:
            self._open(command or " ".join(["vlcli", *sys.argv[1:]]))
        except BaseException:
            self._resources.close()
            raise

    def _open(self, command: str) -> None:
        write = self.mode != "r"
        if write:
            lock = WriterLock(self.path)
            lock.acquire(command)
            self._resources.callback(lock.release)
            clear_leftovers(self.path)
        else:
            migrate_for_reading(self.path)
        connection = connect(self.path, write=write)
        self._resources.callback(connection.close)
        if write:
            migrate(connection, self.path)
        self.catalog = Catalog(self.path, connection)
        # Read before the state: a writer that is at work records a commit there only once it is in the database.
        witness = read_witness(self.path)
        with sqlite_errors(self.path):
            self.info: SpaceInfo = self.catalog.space()
            state = self.catalog.state()
            self.uuid = self.catalog.setting("uuid")
            self.created = self.catalog.setting("created")
        backend = self.catalog.setting("backend")
        if backend != self.backend:
            raise VlcliError("S105", str(self.path), f"its back end is '{backend}', not '{self.backend}'",
                             "open it with `open_store`, which chooses the right one")  # fmt: skip
        self.table: VectorTable = self._open_table(connection)
        self.lost = lost_commits(state.witnessed, witness)
        if self.lost and self.mode == "w" and witness is not None:
            raise VlcliError("S107", str(self.path), self.lost, LOST_COMMITS_HELP)
        if write and not self.lost and witness != state.witnessed:  # a crash came between a commit and its witness
            write_witness(self.path, state.witnessed)
        if self.mode != "repair":
            self.table.open(state.table_version)

    def _open_table(self, connection: sqlite3.Connection) -> VectorTable:
        raise NotImplementedError

    def _need_all_commits(self) -> None:
        """A reader of a store that lost commits gets no answer that silently lacks something.

        Raises:
            VlcliError: S107.
        """
        if self.mode == "r" and self.lost:
            raise VlcliError("S107", str(self.path), self.lost, LOST_COMMITS_HELP)

    def close(self) -> None:
        """End an implicit run, give the lock back, close the files. A run left open shows as interrupted."""
        try:
            if self._implicit_run and self._run is not None:
                self.end_run()
        finally:
            self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] is not None:
            self._implicit_run = False
        self.close()

    def __len__(self) -> int:
        with sqlite_errors(self.path):
            return self.catalog.count()

    # -- the space

    def check_space(self, identity: str, name: str) -> None:
        """Refuse another space than the one the store is pinned to.

        Raises:
            VlcliError: M501 (exit code 5), naming both.
        """
        if identity != self.info.identity:
            raise VlcliError(
                "M501", str(self.path),
                f"the store holds vectors of the space '{self.info.name}' ({self.info.identity[:19]}), not of '{name}' "
                f"({identity[:19]})", f"use --space {self.info.load}, or embed into another store",
            )  # fmt: skip

    # -- runs and ledger

    def begin_run(self, command: str) -> int:
        """Start a run: what follows is written to its ledger. Runs that a dead writer left open become interrupted."""
        self._need_writer()
        with self.catalog.commit(self.table.version):
            execute = self.catalog.connection.execute
            execute("UPDATE runs SET status = 'interrupted', ended = ? WHERE status = 'running'", (now(),))
            cursor = execute("INSERT INTO runs(command, started, status) VALUES (?, ?, 'running')", (command, now()))
        self._run, self._implicit_run = int(cursor.lastrowid or 0), False
        return self._run

    def end_run(self, status: RunStatus = "done") -> None:
        """End the current run; harmless without one."""
        if self._run is None:
            return
        with self.catalog.commit(self.table.version):
            self.catalog.connection.execute(
                "UPDATE runs SET status = ?, ended = ? WHERE n = ?", (status, now(), self._run)
            )
        self._run, self._implicit_run = None, False

    def runs(self) -> list[RunInfo]:
        """All runs, oldest first. One that is open although no writer is at work shows as interrupted."""
        alive = self.mode != "r" or is_locked(self.path)
        with self.catalog.snapshot():
            return read_runs(self.catalog, alive)

    def ledger(self, run: int | None = None) -> Iterator[LedgerLine]:
        """The ledger of a run, or of all runs, by run and input."""
        return read_ledger(self.catalog, run)

    # -- writing

    def add(
        self, rows: Sequence[Row] = (), refused: Sequence[Refusal] = (), unchanged: Sequence[Unchanged] = ()
    ) -> list[Refusal]:
        """One durable commit: insert or replace rows by id, and the ledger's lines for all three kinds of input.

        An item whose input is refused becomes stale: it stays, but search leaves it out until it is added or seen
        unchanged again.

        When it returns, everything in it survives a crash and a power cut; when it raises, nothing of it was written.

        Returns:
            Rows that were not stored because their vector holds NaN or infinity or has no unit norm. They are in the
            ledger as refused, and the caller should count them so.

        Raises:
            VlcliError: M502 for a vector of another length, X301/X304/X302 when the disk refuses.
        """
        self._need_writer()
        for row in rows:
            if row.vector.shape != (self.info.dim,):
                raise VlcliError(
                    "M502", row.id, f"its vector has shape {list(row.vector.shape)}, not [{self.info.dim}]",
                    "embed with the space that the store was made with",
                )  # fmt: skip
        why = {row.id: vector_problem(row.vector) for row in rows}
        problems = [Refusal(row.path or row.id, "S113", why[row.id], row.id) for row in rows if why[row.id]]
        good = {row.id: row for row in rows if not why[row.id]}
        if self._run is None:
            self.begin_run("add")
            self._implicit_run = True
        lines: list[tuple[str, Outcome, str, str]] = [(seen.id, "unchanged", "", "") for seen in unchanged]
        lines += [(id, "embedded", "", row.note) for id, row in good.items()]
        lines += [(line.path, "refused", line.code, line.reason) for line in (*refused, *problems)]
        with self._undoing(), self.catalog.commit(self.table.version) as change:
            kept = list(good.values())
            if kept:
                vectors = np.stack([row.vector for row in kept]).astype(np.float32)
                checks = [checksum(row.id, as_bytes(vector)) for row, vector in zip(kept, vectors, strict=True)]
                numbers = self.catalog.upsert(change, kept, checks)
                self.table.write(numbers, vectors)
                self.catalog.unmark(change, numbers)
            self.catalog.touch(unchanged)
            self.catalog.unmark_ids(change, [seen.id for seen in unchanged])
            self.catalog.mark(change, [*refused, *problems])
            self.catalog.write_lines(change, self._run or 0, lines)
        return problems

    def touch(self, id: str, size: int, mtime_ns: int, inode: int) -> None:
        """Record that an input is unchanged and has this stat now (one commit; `add(unchanged=…)` takes many)."""
        self.add(unchanged=[Unchanged(id, size, mtime_ns, inode)])

    def remove(self, ids: Sequence[str]) -> int:
        """Forget items by id, in one commit; gives how many there were."""
        self._need_writer()
        with self._undoing(), self.catalog.commit(self.table.version) as change:
            numbers = list(self.catalog.numbers_of(ids).values())
            self.table.delete(numbers)
            self.catalog.forget(change, numbers)
        return len(numbers)

    def prune(self, dry_run: bool = False, unlisted: Sequence[str] = ()) -> list[str]:
        """Forget items whose file is gone, or the file that they were a row of, and stale items; gives their ids.

        Texts that were in no file and relative paths are left alone.

        Args:
            dry_run: only say which.
            unlisted: ids to forget besides: rows that their file does not hold any more.
        """
        with self.catalog.snapshot():
            gone = maintenance.gone_ids(self.catalog, unlisted)
        if gone and not dry_run:
            self.remove(gone)
        return gone

    def ids_within(self, file: str) -> list[str]:
        """Ids of the items that were read from a manifest or another file of many, `file#…`."""
        with self.catalog.snapshot():
            return self.catalog.ids_within(file)

    def stale(self) -> dict[str, str]:
        """Id -> error code of the items whose input was refused when it was last met; search leaves them out."""
        with self.catalog.snapshot():
            return self.catalog.stale()

    @contextlib.contextmanager
    def _undoing(self) -> Iterator[None]:
        """Undo what the table of vectors wrote when the commit in the catalog does not come about."""
        before = self.catalog.state().table_version
        try:
            yield
        except BaseException:
            if self.catalog.state().table_version == before:
                self.table.reset(before)
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[State]:
        """One state of the catalog, and the vectors as they were then."""
        with self.catalog.snapshot():
            state = self.catalog.state()
            if self.mode == "r":
                self.table.open(state.table_version)
            yield state

    def _need_writer(self) -> None:
        if self.mode == "r":
            raise VlcliError("S114", str(self.path), "the store was opened for reading", "open it with mode 'w'")

    # -- reading

    def known(self, id: str) -> Known | None:
        """What the store knows of an input, or None."""
        with sqlite_errors(self.path):
            return self.catalog.known(id)

    def get(self, ids: Sequence[str]) -> dict[str, Item]:
        """Items by id; unknown ids are left out."""
        with self.catalog.snapshot():
            numbers = self.catalog.numbers_of(ids)
            return {kept.item.id: kept.item for kept in self.catalog.stored(list(numbers.values())).values()}

    def ids_of_hashes(self, modality: str, hashes: Sequence[str]) -> dict[str, str]:
        """Content hash -> id of an item of this modality with that content, for those that there are."""
        with sqlite_errors(self.path):
            return self.catalog.ids_of_hashes(modality, hashes)

    def known_map(self, ids: Iterable[str] | None = None) -> dict[str, Known]:
        """What the store knows of many inputs at once, or of all; unknown ids are left out."""
        with sqlite_errors(self.path):
            return self.catalog.known_map(ids)

    def items(
        self, where: str | None = None, modality: str | None = None, order: str | None = None, limit: int | None = None
    ) -> Iterator[Item]:
        """Items that pass the filter.

        Args:
            where: see `vlcli.store.where`.
            modality: only items of this modality.
            order: an item column or metadata key, with ` desc` for falling; by default the order of arrival.
            limit: at most this many.
        """
        self._need_all_commits()
        with self.catalog.snapshot():
            numbers = self.catalog.filter(where, modality)
            chosen = maintenance.ordered_numbers(self.catalog, numbers, order)[:limit]
        for start in range(0, len(chosen), 1000):
            part = chosen[start : start + 1000]
            with sqlite_errors(self.path):
                found = self.catalog.stored(part)
            yield from (found[n].item for n in part if n in found)

    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Vectors `[N, D]` of items, in the order of `ids`.

        Raises:
            VlcliError: S115 for an unknown id, S111 when a vector is damaged.
        """
        self._need_all_commits()
        with self.reading():
            numbers = self.catalog.numbers_of(ids)
            for id in ids:
                if id not in numbers:
                    raise VlcliError("S115", str(self.path), f"no item has the id '{id}'", "see `vlcli store show`")
            raw = verified(self, self.catalog.stored([numbers[id] for id in ids]))
        return as_matrix([raw[numbers[id]] for id in ids], self.info.dim)

    def search(
        self, vectors: NDArray[np.float32], top: int, where: str | None = None, modality: str | None = None,
        ids: Collection[str] | None = None, approximate: bool | None = False,
    ) -> list[list[Hit]]:  # fmt: skip
        """The nearest items to each query, best first; equal scores in the order of arrival.

        Args:
            vectors: `[Q, D]`; they are brought to unit norm, so a score is a cosine.
            top: at most this many for each query.
            where: filter over item columns, applied before ranking.
            modality: only items of this modality.
            ids: only these items; unknown ids are left out.
            approximate: use the approximate index (see `vlcli.store.ann`), which may miss a neighbour; None does what
                the store was told to (`vlcli store index --default`). Where there is none that fits the search is
                exact. `searched` tells afterwards what was done, and why.

        Raises:
            VlcliError: M502, S112 (queries), U301–U303 (filter), S111 (a vector that would be an answer is damaged),
                P203 when the approximate index is asked for and its library is not installed.
        """
        self._need_all_commits()
        return search_vectors(self, vectors, top, where, modality, ids, approximate)

    def version_of(self, state: State) -> Version:
        """What derived files of this state are bound to."""
        return Version(self.uuid, state.vector_commit, state.content, self.catalog.count(), self.info.dim)

    def build_cache(self) -> int:
        """Make ready what exact search derives, where the back end derives something; gives the number of rows."""
        with self.reading() as state:
            for _ in self.blocks(state, fresh=False):
                break
            return self.catalog.count()

    def blocks(self, state: State, fresh: bool) -> Iterable[Block]:
        """All vectors in blocks; a back end with a cache overrides this. `fresh`: do not believe a cache."""
        return table_blocks(self, verify=False)

    def fulltext(
        self, query: str, top: int, where: str | None = None, modality: str | None = None,
        ids: Collection[str] | None = None,
    ) -> list[Hit]:  # fmt: skip
        """Items whose text or path holds all the words of `query`, best first (BM25). A word may end in `*`."""
        self._need_all_commits()
        with self.catalog.snapshot():
            found = fulltext.search(self.catalog, query, top, where, modality, ids)
            stored = self.catalog.stored([n for n, _ in found])
        return [as_hit(rank, score, stored[n].item) for rank, (n, score) in enumerate(found, 1)]

    # -- care

    def check(self) -> list[Problem]:
        """Everything that is wrong with the store; empty when it is sound. It changes nothing."""
        with self.reading():
            return [*maintenance.check(self), *self._check_cache(), *check_index(self.path)]

    def _check_cache(self) -> list[Problem]:
        return []

    def repair(self) -> list[Problem]:
        """Mend what can be mended; gives what was done. Items with damaged vectors go to the ledger as quarantined."""
        self._need_writer()
        done = maintenance.repair(self)
        self._drop_cache()
        if damaged_index := check_index(self.path):
            drop_index(self.path)
        return [*done, *damaged_index]

    def _drop_cache(self) -> None:
        """Forget what is derived; it is built again when it is needed."""

    def export(self, path: Path, format: str | None = None) -> int:
        """Write all items with their vectors to a Parquet or NPZ file, atomically; gives how many."""
        return export_store(self, Path(path), format)

    def bytes_on_disk(self) -> int:
        """Size of everything in the store's folder, bytes."""
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())

    def columns(self) -> list[str]:
        """The columns that `where` knows: those of an item, then metadata keys."""
        return [*ITEM_COLUMNS, *(key for key in self.catalog.metadata_keys() if key.lower() not in ITEM_COLUMNS)]
