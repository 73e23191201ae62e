"""Embedding inputs into a store: skip what is unchanged, reuse what is known, commit often, lose nothing.

The inputs are taken in windows, so memory does not grow with the corpus. For each window: look up what the store
knows, stat and hash what may have changed (in threads), embed what is new, and commit. A commit is durable before the
ledger counts it, so an interrupted run is gone on with by the same command.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from vlcli.api import Source
from vlcli.data.batching import windows
from vlcli.data.inputs import Expanded, InputItem, RefusedInput, SkippedInput, expand_inputs
from vlcli.data.names import printable
from vlcli.data.prefetch import Fetched, attempt, prefetch
from vlcli.errors import VlcliError
from vlcli.store.examine import Examined, examine, hash_content, metadata_with, plain, text_with
from vlcli.store.seen import SeenIds
from vlcli.store.types import Item, Refusal, Row, Unchanged, VectorStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vlcli.align.space import Space
    from vlcli.registry import Registry

WINDOW = 256
STAT_GROUP = 32
COMMIT_ITEMS = 256
COMMIT_SECONDS = 2.0


class Embedded(Protocol):
    """What an embedder gives for a source: see `vlcli.align.embedder`."""

    @property
    def source(self) -> Source: ...
    @property
    def vector(self) -> NDArray[np.float32] | None: ...
    @property
    def error(self) -> VlcliError | None: ...


class SourceEmbedder(Protocol):
    """The part of `vlcli.align.embedder.Embedder` that is used here."""

    def embed_sources(self, modality: str, sources: Iterable[Source]) -> Iterator[Embedded]: ...


@dataclass(frozen=True)
class LateSpace:
    """A space that need not be loaded while everything is unchanged: its name, its modalities, and how to load it."""

    name: str
    modalities: Sequence[str]
    load: Callable[[], Space]


@dataclass
class LateEmbedder:
    """An embedder that is made when the first source comes."""

    make: Callable[[], SourceEmbedder]
    made: SourceEmbedder | None = None

    def embed_sources(self, modality: str, sources: Iterable[Source]) -> Iterator[Embedded]:
        """As the embedder that is made."""
        if self.made is None:
            self.made = self.make()
        return self.made.embed_sources(modality, sources)


@dataclass
class IngestReport:
    """What became of the inputs: `embedded + unchanged + len(refused)` is their number.

    Attributes:
        embedded: stored in this run; `reused` of them took the vector of equal content without encoding it again.
        unchanged: were in the store with the same content and columns.
        refused: could not be used, with the reason.
        skipped: files in folders that are no input of this space, by reason.
        repeated: inputs that named an item a second time in this run.
        pruned: ids forgotten because their files or rows are gone, or they were stale.
        stale: ids of items that search leaves out, because they were refused when they were last met -> error code.
    """

    embedded: int = 0
    reused: int = 0
    unchanged: int = 0
    refused: list[Refusal] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    pruned: list[str] = field(default_factory=list)
    stale: dict[str, str] = field(default_factory=dict)

    @property
    def inputs(self) -> int:
        """The number of inputs."""
        return self.embedded + self.unchanged + len(self.refused)


@dataclass
class Ingestion:
    """The state of one run over a store."""

    store: VectorStore
    embedder: SourceEmbedder
    modalities: Iterable[str]
    space_name: str
    verify: bool = False
    workers: int = 2
    window: int = WINDOW
    advance: Callable[[int], None] = lambda count: None
    on_skip: Callable[[SkippedInput], None] = lambda skipped: None
    clock: Callable[[], float] = time.monotonic
    report: IngestReport = field(default_factory=IngestReport)
    rows: list[Row] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    unchanged: list[Unchanged] = field(default_factory=list)
    reused_rows: int = 0
    last_commit: float = 0.0
    unlisted: list[str] = field(default_factory=list)

    def run(self, expanded: Iterable[Expanded], find_unlisted: bool = False) -> IngestReport:
        """Take in all inputs; what is done when an exception comes is committed before it goes on.

        Args:
            expanded: the inputs.
            find_unlisted: fill `unlisted` with the ids of rows that the files of this run do not hold any more.
        """
        self.last_commit = self.clock()
        seen = SeenIds()
        try:
            for window in windows(expanded, self.window):
                self.take_window(window, seen)
            self.unlisted = seen.unlisted(self.store) if find_unlisted else []
        finally:
            seen.close()
            self.commit()
        return self.report

    def take_window(self, window: list[Expanded], seen: SeenIds) -> None:
        """Sort a window into skipped, refused and items, and take in the items by modality."""
        items: dict[str, list[InputItem]] = {}
        for entry in window:
            if isinstance(entry, InputItem) and entry.modality not in self.modalities:
                reason = f"the space {self.space_name} has no tower for {entry.modality}"
                name = printable(entry.source.path or entry.source.id)
                entry = RefusedInput(name, "D121", reason) if entry.named else SkippedInput(name, reason)
            if isinstance(entry, SkippedInput):
                self.report.skipped[entry.reason] = self.report.skipped.get(entry.reason, 0) + 1
                self.on_skip(entry)
            elif not seen.is_new(entry.source.id if isinstance(entry, InputItem) else entry.path):
                self.report.repeated += 1
            elif isinstance(entry, RefusedInput):
                self.refuse(entry.path, entry.code, entry.reason)
            else:
                seen.add_file(entry)
                items.setdefault(entry.modality, []).append(entry)
        for modality, group in items.items():
            self.take_items(modality, group)

    def take_items(self, modality: str, items: list[InputItem]) -> None:
        """Take in items of one modality: unchanged, reused, or embedded."""
        known = self.store.get([item.source.id for item in items])
        fresh: list[Examined] = []
        same_content: list[Examined] = []

        for fetched in self.look_at(items, known):
            source = fetched.item.source
            if isinstance(fetched.error, VlcliError):
                self.refuse_error(source, fetched.error)
                continue
            examined = fetched.value()
            before = known.get(source.id)
            if before is None or (before.content_hash, before.modality) != (examined.content_hash, modality):
                fresh.append(examined)
            elif (before.text, before.metadata) != (text_with(source, before), plain(metadata_with(source, before))):
                same_content.append(examined)
            else:
                self.unchanged.append(Unchanged(source.id, examined.size, examined.mtime_ns, examined.inode))
                self.advance(1)
                self.commit_if_due()
        self.reuse(same_content, {examined.item.source.id: examined.item.source.id for examined in same_content})
        self.embed(modality, fresh)

    def look_at(self, items: list[InputItem], known: Mapping[str, Item]) -> Iterator[Fetched[InputItem, Examined]]:
        """Examine items in threads, in their order. Stats go in groups: each is cheaper than a change of threads."""

        def stats(group: list[InputItem]) -> list[Fetched[InputItem, Examined]]:
            return [attempt(lambda item: examine(item, known.get(item.source.id), self.verify), item) for item in group]

        groups = [items[start : start + STAT_GROUP] for start in range(0, len(items), STAT_GROUP)]
        looked = [one for group in prefetch(stats, groups, workers=self.workers) for one in group.value()]
        unsettled = [one.result for one in looked if one.result is not None and not one.result.content_hash]
        with closing(prefetch(hash_content, unsettled, workers=self.workers, ahead=4 * self.workers)) as hashed:
            for one in looked:
                if one.result is None or one.result.content_hash:
                    yield one
                else:
                    outcome = next(hashed)
                    yield Fetched(one.item, outcome.result, outcome.error)

    def reuse(self, examined: list[Examined], holders: Mapping[str, str]) -> None:
        """Store rows with vectors that the store has already; `holders`: id -> id of the item with the vector."""
        if examined:
            vectors = self.store.vectors([holders[one.item.source.id] for one in examined])
            for one, vector in zip(examined, vectors, strict=True):
                self.keep(one, vector, reused=True)

    def embed(self, modality: str, fresh: list[Examined]) -> None:
        """Embed new content; equal content is encoded once, and not at all when the store holds its vector."""
        in_store = self.store.ids_of_hashes(modality, list({one.content_hash for one in fresh}))
        held = [one for one in fresh if one.content_hash in in_store]
        self.reuse(held, {one.item.source.id: in_store[one.content_hash] for one in held})
        by_content: dict[str, list[Examined]] = {}
        for one in fresh:
            if one.content_hash not in in_store:
                by_content.setdefault(one.content_hash, []).append(one)
        if not by_content:
            return
        groups = {group[0].item.source.id: group for group in by_content.values()}
        for outcome in self.embedder.embed_sources(modality, [group[0].item.source for group in groups.values()]):
            group = groups[outcome.source.id]
            for index, one in enumerate(group):
                if outcome.vector is not None:
                    self.keep(one, outcome.vector, reused=index > 0, notes=getattr(outcome, "notes", ()))
                elif outcome.error is not None:
                    self.refuse_error(one.item.source, outcome.error)

    def keep(self, examined: Examined, vector: NDArray[np.float32], reused: bool, notes: Sequence[str] = ()) -> None:
        """Put a row into the next commit; the ledger keeps the notes."""
        self.rows.append(replace(examined.row(vector), note="; ".join(notes)))
        self.reused_rows += reused
        self.advance(1)
        self.commit_if_due()

    def refuse_error(self, source: Source, error: VlcliError) -> None:
        """Refuse a source for an error; the path is the place, so the reason need not repeat it."""
        name = printable(source.path) if source.path is not None else source.id
        self.refuse(source.id if source.path is None else name, error.code, reason_of(error), source.id)

    def refuse(self, path: str, code: str, reason: str, id: str | None = None) -> None:
        """Put a refusal into the next commit; `id` says which item alone is meant."""
        self.refused.append(Refusal(path, code, reason, id))
        self.advance(1)
        self.commit_if_due()

    def commit_if_due(self) -> None:
        """Commit after `COMMIT_ITEMS` items or `COMMIT_SECONDS` seconds, whatever comes first."""
        waiting = len(self.rows) + len(self.refused) + len(self.unchanged)
        if waiting >= COMMIT_ITEMS or (waiting and self.clock() - self.last_commit >= COMMIT_SECONDS):
            self.commit()

    def commit(self) -> None:
        """Make everything since the last commit durable, and only then count it."""
        rows, refused, unchanged, reused = self.rows, self.refused, self.unchanged, self.reused_rows
        self.rows, self.refused, self.unchanged, self.reused_rows = [], [], [], 0
        if rows or refused or unchanged:
            rejected = self.store.add(rows, refused, unchanged)
            self.report.embedded += len(rows) - len(rejected)
            self.report.reused += reused
            self.report.unchanged += len(unchanged)
            self.report.refused += [*refused, *rejected]
        self.last_commit = self.clock()


def reason_of(error: VlcliError) -> str:
    """An error's message with its remedy."""
    return f"{error.message} — {error.help}" if error.help else error.message


def ingest(
    store: VectorStore,
    space: Space | LateSpace,
    registry: Registry,
    inputs: Iterable[str | Expanded],
    *,
    modality: str | None = None,
    verify: bool = False,
    prune: bool = False,
    batch_size: int = 32,
    workers: int = 2,
    precision: str = "fp32",
    batch_invariant: bool = False,
    engine: Callable[[Space, int | None], SourceEmbedder] | None = None,
    window: int = WINDOW,
    command: str = "embed",
    advance: Callable[[int], None] = lambda count: None,
    on_skip: Callable[[SkippedInput], None] = lambda skipped: None,
) -> IngestReport:
    """Embed inputs into a store that is open for writing, as one run of its ledger.

    Args:
        store: pinned to this space (see `vlcli.store.open_or_create_store`); its width decides how vectors are cut.
        space: embeds; its modalities decide what is taken in. A named input of another modality is refused, one met
            in a folder is skipped. A `LateSpace` is loaded when the first input needs it.
        registry: of all plugins.
        inputs: what `vlcli.data.inputs.expand_inputs` takes, or gave already.
        modality: read every input as this one.
        verify: hash every file, even where size, time and inode are as stored.
        prune: afterwards forget items whose files are gone, rows that the manifests of this run do not hold any more,
            and stale items.
        batch_size: items a forward pass.
        workers: threads that stat, hash and load.
        precision: `fp32`, `bf16` or `fp16`.
        batch_invariant: vectors that do not depend on `batch_size` or on the order, to the last bit; slower.
        engine: makes another embedder of the space and the width to cut to (see `vlcli.scale.ray_engine`); by default
            one in this process, to which the four arguments before belong.
        window: inputs that are looked up, embedded and committed together.
        command: what the ledger calls this run.
        advance: called with the number of inputs that were dealt with.
        on_skip: called for each skipped file.

    Raises:
        VlcliError: for inputs that do not exist (before anything is embedded), for a manifest that is no table, and
            what the store raises (disk full …). What was acknowledged before is in the store, as it is after
            `KeyboardInterrupt`.
    """

    def make() -> SourceEmbedder:
        from vlcli.align.embedder import Embedder

        loaded = space.load() if isinstance(space, LateSpace) else space
        store.check_space(loaded.identity, loaded.name)
        dim = store.info.dim if store.info.dim != loaded.dim else None
        if engine is not None:
            return engine(loaded, dim)
        return Embedder(loaded, registry, batch_size=batch_size, workers=workers, dim=dim, precision=precision,
                        batch_invariant=batch_invariant)  # fmt: skip

    embedder: SourceEmbedder = LateEmbedder(make) if isinstance(space, LateSpace) else make()
    modalities = list(space.modalities)
    ingestion = Ingestion(store, embedder, frozenset(modalities), space.name, verify, workers, window, advance, on_skip)
    return run_ingestion(ingestion, expand_all(inputs, registry, modality, modalities), command, prune=prune)


def expand_all(
    inputs: Iterable[str | Expanded], registry: Registry, modality: str | None, accepted: Sequence[str]
) -> Iterator[Expanded]:
    """Expand what is still text; when all of it is, every input is checked before the first is embedded."""
    given = inputs if isinstance(inputs, list | tuple) else None
    if given is not None and all(isinstance(entry, str) for entry in given):
        return expand_inputs([str(entry) for entry in given], registry, modality, accepted=accepted)
    return expand_mixed(inputs, registry, modality, accepted)


def expand_mixed(
    inputs: Iterable[str | Expanded], registry: Registry, modality: str | None, accepted: Sequence[str]
) -> Iterator[Expanded]:
    """Texts and expanded inputs, lazily."""
    for entry in inputs:
        if isinstance(entry, str):
            yield from expand_inputs([entry], registry, modality, accepted=accepted)
        else:
            yield entry


def run_ingestion(
    ingestion: Ingestion, expanded: Iterable[Expanded], command: str = "embed", *, prune: bool = False
) -> IngestReport:
    """Run an ingestion as one run of the store's ledger, which says how it ended."""
    store = ingestion.store
    store.begin_run(command)
    try:
        report = ingestion.run(expanded, find_unlisted=prune)
        if prune:
            report.pruned = store.prune(unlisted=ingestion.unlisted)
        report.stale = store.stale()
    except KeyboardInterrupt:
        store.end_run("interrupted")
        raise
    except BaseException:
        store.end_run("failed")
        raise
    store.end_run("done")
    return report
