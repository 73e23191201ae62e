"""Embedding a stream of inputs into a folder of shards, by one worker here or many in Ray."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vlcli.data.batching import windows
from vlcli.data.inputs import Expanded, InputItem, SkippedInput
from vlcli.data.names import printable
from vlcli.errors import VlcliError
from vlcli.scale.cluster import Pool
from vlcli.scale.worker import Worker, WorkerSetup, Written
from vlcli.store.ingest import IngestReport
from vlcli.store.seen import SeenIds
from vlcli.store.shards import MANIFEST, open_shard, write_manifest

SHARD_ITEMS = 2048


@dataclass(frozen=True)
class Block:
    """Inputs that make one shard."""

    path: Path
    inputs: list[Expanded]


class ShardWriters(Protocol):
    """Who writes shards: each block with its outcome, in order."""

    def __call__(self, blocks: Iterable[Block]) -> Iterator[tuple[Block, Written]]: ...


def here(worker: Worker) -> ShardWriters:
    """One worker, in this process."""

    def write(blocks: Iterable[Block]) -> Iterator[tuple[Block, Written]]:
        for block in blocks:
            yield block, worker.write_shard(block.inputs, str(block.path))

    return write


def in_ray(pool: Pool) -> ShardWriters:
    """The workers of a pool. The folder must be the same place on every machine."""

    def write(blocks: Iterable[Block]) -> Iterator[tuple[Block, Written]]:
        return pool.ordered(lambda actor, block: actor.write_shard.remote(block.inputs, str(block.path)), blocks)

    return write


@dataclass
class Sharding:
    """One run over a folder of shards.

    A shard's name says what it holds (a hash over the space, the inputs' ids, sizes and times), so a shard that is
    there already is that of an earlier, interrupted run and is kept.
    """

    folder: Path
    setup: WorkerSetup
    modalities: frozenset[str]
    shard_items: int = SHARD_ITEMS
    advance: Callable[[int], None] = lambda count: None
    on_skip: Callable[[SkippedInput], None] = lambda skipped: None
    report: IngestReport = field(default_factory=IngestReport)

    def run(self, expanded: Iterable[Expanded], write: ShardWriters) -> tuple[IngestReport, list[Path]]:
        """Write all shards and the list of them; gives what became of the inputs, and the shards in order.

        Raises:
            VlcliError: what a worker raises; finished shards are kept.
        """
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        # The list of an earlier run would say that this one is complete.
        (folder / MANIFEST).unlink(missing_ok=True)
        shards: list[Path] = []
        seen = SeenIds()
        try:
            for block, written in write(self.unwritten(self.blocks(self.fresh(expanded, seen)), shards)):
                self.report.embedded += written.rows
                self.report.reused += written.reused
                self.report.refused += written.refused
                self.advance(len(block.inputs))
        finally:
            seen.close()
        write_manifest(folder, self.setup.info, shards)
        return self.report, shards

    def fresh(self, expanded: Iterable[Expanded], seen: SeenIds) -> Iterator[Expanded]:
        """The inputs, without skipped files and without those that name an item a second time."""
        for entry in expanded:
            if isinstance(entry, InputItem) and entry.modality not in self.modalities and not entry.named:
                reason = f"the space {self.setup.info.name} has no tower for {entry.modality}"
                entry = SkippedInput(printable(entry.source.path or entry.source.id), reason)
            if isinstance(entry, SkippedInput):
                self.report.skipped[entry.reason] = self.report.skipped.get(entry.reason, 0) + 1
                self.on_skip(entry)
            elif seen.is_new(entry.source.id if isinstance(entry, InputItem) else entry.path):
                yield entry
            else:
                self.report.repeated += 1

    def blocks(self, inputs: Iterable[Expanded]) -> Iterator[Block]:
        """Inputs by `shard_items`, each block with the name of its shard."""
        for number, block in enumerate(windows(inputs, self.shard_items)):
            yield Block(self.folder / f"part-{number:06d}-{self.key(block)}.parquet", block)

    def unwritten(self, blocks: Iterable[Block], shards: list[Path]) -> Iterator[Block]:
        """The blocks whose shard is not there yet; all go to `shards`, in order."""
        for block in blocks:
            shards.append(block.path)
            done = finished(block.path)
            if done is None:
                yield block
            else:
                self.report.unchanged += done.rows
                self.report.refused += done.refused
                self.advance(len(block.inputs))

    def key(self, block: Sequence[Expanded]) -> str:
        """What a shard of these inputs is called: the same for the same inputs, space and precision."""
        setup = self.setup
        digest = hashlib.blake2b(digest_size=8)
        digest.update(
            json.dumps([setup.info.identity, setup.info.dim, setup.precision, setup.batch_invariant]).encode()
        )
        for entry in block:
            digest.update(json.dumps(fingerprint(entry), default=str).encode())
        return digest.hexdigest()


def fingerprint(entry: Expanded) -> list[Any]:
    """What tells one input from another, and from itself after a change."""
    if not isinstance(entry, InputItem):
        return [entry.path, entry.reason]
    source = entry.source
    facts: list[Any] = [entry.modality, source.id, source.value, dict(source.metadata)]
    if source.path is not None:
        try:
            status = source.path.stat()
            facts += [status.st_size, status.st_mtime_ns]
        except OSError as error:
            facts.append(error.errno)
    return facts


def finished(path: Path) -> Written | None:
    """What a shard that is there already holds; None when there is none, or a damaged one."""
    if not path.exists():
        return None
    try:
        shard = open_shard(path)
    except VlcliError:
        return None
    return Written(shard.rows, 0, shard.refused)
