"""What goes into a store and what comes out of it: plain frozen dataclasses, and the protocol of a back end."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Mode = Literal["r", "w", "repair"]
"""`r`: one of many readers; `w`: the one writer; `repair`: a writer that also opens a store known to be damaged."""

Outcome = Literal["embedded", "unchanged", "refused", "quarantined"]
RunStatus = Literal["running", "done", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """The space that a store is pinned to.

    Attributes:
        name: registry name or name in `space.json`.
        identity: hash over the space's configuration and weights, `sha256:…`.
        dim: length D of its vectors.
        load: what to pass to `vlcli.align.load.load_space` to get it again.
    """

    name: str
    identity: str
    dim: int
    load: str


@dataclass(frozen=True, slots=True)
class Row:
    """One embedded item on its way into the store.

    Attributes:
        id: unique in the store: a file's path, or `manifest.csv#12`.
        path: the file, when there is one.
        modality: name of its modality.
        content_hash: hash of the content that was embedded.
        size: bytes of the file, `mtime_ns`, `inode`: its stat, which may stand for *unchanged*.
        text: what full-text search finds: the inline value, or a caption.
        metadata: flat, JSON-serialisable columns.
        vector: `[D]` float32, unit norm.
        note: what the ledger says of it: what was changed on the way, e.g. "largest of 2 fragments kept".
    """

    id: str
    path: str | None
    modality: str
    content_hash: str
    size: int | None
    mtime_ns: int | None
    inode: int | None
    text: str | None
    metadata: Mapping[str, Any]
    vector: NDArray[np.float32]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of an input, to decide whether it changed."""

    content_hash: str
    size: int | None
    mtime_ns: int | None
    inode: int | None


@dataclass(frozen=True, slots=True)
class Unchanged:
    """An input that was seen again with the same content.

    Without a stat (all None) the stored one stays; with one it replaces it, so that the next run need not hash.
    """

    id: str
    size: int | None = None
    mtime_ns: int | None = None
    inode: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An input that was not embedded, and why.

    Attributes:
        path: the file, or the id of an inline input.
        code: of the error.
        reason: in words.
        id: of the one item that is meant; without it, all items of that file or row are.
    """

    path: str
    code: str
    reason: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """An item as stored, without its vector. `stale`: the code of the error for which search leaves it out."""

    id: str
    path: str | None
    modality: str
    content_hash: str
    size: int | None
    mtime_ns: int | None
    inode: int | None
    text: str | None
    metadata: dict[str, Any] = field(default_factory=dict)
    stale: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer to a query. `rank` counts from 1; `score` is the cosine (or, in full-text search, -BM25)."""

    rank: int
    score: float
    id: str
    path: str | None
    modality: str
    metadata: dict[str, Any]
    text: str | None


@dataclass(frozen=True, slots=True)
class Searched:
    """How a store answered its last search. `note`: why it did not search as it was asked to, or empty."""

    kind: Literal["exact", "approximate"]
    note: str = ""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """What became of one input in one run."""

    run: int
    input: str
    outcome: Outcome
    code: str
    reason: str
    time: str


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run over the store. `embedded + unchanged + refused` is the number of its inputs."""

    id: int
    command: str
    started: str
    ended: str | None
    status: RunStatus
    embedded: int
    unchanged: int
    refused: int
    quarantined: int

    @property
    def inputs(self) -> int:
        """How many inputs the run acknowledged."""
        return self.embedded + self.unchanged + self.refused


@dataclass(frozen=True, slots=True)
class Problem:
    """Something `check` found. `kind` is a short word for programs; `id` is the item, when it is about one."""

    kind: str
    detail: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class StoreSummary:
    """A store in a list. `error` says why it could not be opened; the counts are then 0."""

    path: str
    backend: str = ""
    space: str = ""
    dim: int = 0
    items: int = 0
    bytes: int = 0
    updated: str = ""
    error: str = ""


@runtime_checkable
class VectorStore(Protocol):
    """A store back end. `vlcli.store.SqliteStore` is the reference; every back end passes the same tests."""

    path: Path
    info: SpaceInfo
    searched: Searched

    def __len__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...
    def close(self) -> None: ...
    def check_space(self, identity: str, name: str) -> None: ...
    def begin_run(self, command: str) -> int: ...
    def end_run(self, status: RunStatus = "done") -> None: ...
    def add(
        self, rows: Sequence[Row] = (), refused: Sequence[Refusal] = (), unchanged: Sequence[Unchanged] = ()
    ) -> list[Refusal]: ...
    def touch(self, id: str, size: int, mtime_ns: int, inode: int) -> None: ...
    def known(self, id: str) -> Known | None: ...
    def known_map(self, ids: Iterable[str] | None = None) -> dict[str, Known]: ...
    def get(self, ids: Sequence[str]) -> dict[str, Item]: ...
    def ids_of_hashes(self, modality: str, hashes: Sequence[str]) -> dict[str, str]: ...
    def search(
        self, vectors: NDArray[np.float32], top: int, where: str | None = None, modality: str | None = None,
        ids: Collection[str] | None = None, approximate: bool | None = False,
    ) -> list[list[Hit]]: ...  # fmt: skip
    def fulltext(
        self, query: str, top: int, where: str | None = None, modality: str | None = None,
        ids: Collection[str] | None = None,
    ) -> list[Hit]: ...  # fmt: skip
    def items(
        self,
        where: str | None = None,
        modality: str | None = None,
        order: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]: ...
    def vectors(self, ids: Sequence[str]) -> NDArray[np.float32]: ...
    def ledger(self, run: int | None = None) -> Iterator[LedgerLine]: ...
    def runs(self) -> list[RunInfo]: ...
    def ids_within(self, file: str) -> list[str]: ...
    def stale(self) -> dict[str, str]: ...
    def prune(self, dry_run: bool = False, unlisted: Sequence[str] = ()) -> list[str]: ...
    def check(self) -> list[Problem]: ...
    def repair(self) -> list[Problem]: ...
    def export(self, path: Path, format: str | None = None) -> int: ...
