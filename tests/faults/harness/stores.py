"""What a store must be after a fault, given what it had acknowledged before."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.store import Row, SpaceInfo, create_store, is_store, open_store
from vlcli.store.base import BaseStore

Counts = tuple[int, int]
"""Items, and the sum over the digests of all items: their ids, columns, and the checksums of their vectors."""


def commits_in(marks: Sequence[str]) -> dict[int, Counts]:
    """Commit number -> what the store held, from the marks of a run."""
    fields = [mark.split()[1:] for mark in marks if mark.startswith("commit ")]
    return {int(number): (int(items), int(content)) for number, items, content in fields}


def last_commit(marks: Sequence[str], before: int = 0) -> int:
    """The number of the last acknowledged commit; `before` when there was none."""
    return max(commits_in(marks), default=before)


@dataclass(frozen=True)
class Reference:
    """A store that was filled without a fault.

    Attributes:
        rows: what it holds in the end.
        commits: what it held after each commit of the run that is repeated under faults.
        first: the commit from which that run started, 0 for a new store.
        backend: its back end.
    """

    space: SpaceInfo
    rows: list[Row]
    commits: dict[int, Counts]
    first: int = 0
    backend: str = "sqlite"

    @classmethod
    def read(cls, folder: Path, marks: Sequence[str], before: dict[int, Counts] | None = None) -> Reference:
        """Take it from a finished store and the marks of the run that filled it.

        Args:
            before: commits of runs before that one.
        """
        with open_store(folder) as store:
            items = list(store.items())
            vectors = store.vectors([item.id for item in items])
            columns = ("id", "path", "modality", "content_hash", "size", "mtime_ns", "inode", "text", "metadata")
            rows = [Row(*(getattr(item, name) for name in columns), vector)
                    for item, vector in zip(items, vectors, strict=True)]  # fmt: skip
            earlier = {0: (0, 0), **(before or {})}
            return cls(store.info, rows, {**earlier, **commits_in(marks)}, max(earlier), store.backend)

    @property
    def vectors(self) -> NDArray[np.float32]:
        """All vectors `[N, D]`."""
        return np.stack([row.vector for row in self.rows])

    def problem_after_fault(self, folder: Path, marks: Sequence[str]) -> str:
        """Open a store that a fault left, read it, go on writing to the end; gives what is wrong, or an empty text.

        Args:
            marks: what the run had acknowledged.
        """
        acknowledged = last_commit(marks, self.first)
        try:
            if not acknowledged and not is_store(folder):
                with create_store(folder, self.space, self.backend) as store:
                    return self._fill(store)
            with open_store(folder) as store:
                found = self.compare(store, acknowledged, marks)
            if found:
                return found
            with open_store(folder, mode="w") as store:
                return self._fill(store)
        except VlcliError as error:
            return f"can not be used: {error}"

    def compare(self, store: BaseStore, acknowledged: int, marks: Sequence[str]) -> str:
        """Whether the store is at the last acknowledged commit, or a later one, and sound.

        A run that ended by itself, after an error, has its own commits; one that was cut off has the reference's.
        """
        ended = any(mark.startswith("exit ") for mark in marks)
        known = commits_in(marks) if ended else self.commits | commits_in(marks)
        commits = store.catalog.state().commits
        if commits < acknowledged:
            return f"is at commit {commits}, {acknowledged} was acknowledged"
        held = (len(store), store.catalog.state().content)
        if (commits in known or not ended) and known.get(commits) != held:
            return f"holds {held} at commit {commits}, not {known.get(commits)}"
        if problems := store.check():
            return f"check finds {problems[0]}"
        return self._wrong_answer(store)

    def _wrong_answer(self, store: BaseStore) -> str:
        """Whether a search, which goes through the cache, answers otherwise than the vectors themselves."""
        ids = [item.id for item in store.items()]
        if not ids:
            return ""
        expected = store.vectors(ids) @ self.vectors[0]
        hits = store.search(self.vectors[:1], 3)[0]
        if not np.allclose([hit.score for hit in hits], np.sort(expected)[::-1][:3], atol=1e-6):
            return f"a search finds {hits}"
        return ""

    def _fill(self, store: BaseStore) -> str:
        """Go on where the fault came, to the same end."""
        store.begin_run("again")
        store.add(self.rows)
        store.end_run()
        return self.wrong_at_the_end(store)

    def wrong_at_the_end(self, store: BaseStore) -> str:
        """Whether a store that was completed is sound and holds exactly the rows of this one."""
        if problems := store.check():
            return f"after going on, check finds {problems[0]}"
        items = {item.id: item for item in store.items()}
        if len(items) != len(store) or items.keys() != {row.id for row in self.rows}:
            return "after going on, it does not hold each item once"
        for row in self.rows:
            item = items[row.id]
            if (item.content_hash, item.metadata, item.text) != (row.content_hash, row.metadata, row.text):
                return f"after going on, '{row.id}' is another"
        if not np.array_equal(store.vectors([row.id for row in self.rows]), self.vectors):
            return "after going on, a vector is another"
        return self._wrong_answer(store)


@contextlib.contextmanager
def home_at(folder: Path) -> Iterator[None]:
    """Let this process keep its things in `folder`, as a command did whose work is looked at."""
    before = os.environ.get("VLCLI_HOME")
    os.environ["VLCLI_HOME"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["VLCLI_HOME"]
        else:
            os.environ["VLCLI_HOME"] = before


def near_answers(store: BaseStore) -> list[list[tuple[str, float]]]:
    """What the approximate index answers to some of the items' own vectors: all items, and their scores."""
    queries = store.vectors([item.id for item in store.items()][:8])
    lines = store.search(queries, len(store), approximate=True)
    return [[(hit.id, hit.score) for hit in line] for line in lines]


def wrong_with_index(store: BaseStore, *, built: bool) -> str:
    """Whether the approximate index is damaged, or a search that asks for it answers otherwise than the vectors do.

    Args:
        built: whether the command that builds it ended well, so that the search must have used it.
    """
    if problems := store.check():
        return f"check finds {problems[0]}"
    ids = [item.id for item in store.items()]
    vectors = dict(zip(ids, store.vectors(ids), strict=True))
    answers = near_answers(store)
    if built and store.searched.kind != "approximate":
        return f"a search does not use the index: {store.searched.note}"
    for query, line in zip(ids, answers, strict=False):
        if sorted(id for id, _ in line) != sorted(ids):
            return f"a search by the index finds {len(line)} of {len(ids)} items"
        expected = [float(vectors[id] @ vectors[query]) for id, _ in line]
        scores = [score for _, score in line]
        if not np.allclose(scores, expected, atol=1e-6) or scores != sorted(scores, reverse=True):
            return f"a search by the index gives '{query}' the neighbours {line[:3]}"
    return ""
