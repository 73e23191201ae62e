"""An embedder and an ingestion over a real store, for tests and for the process that a test kills."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vlcli.api import Source
from vlcli.data.inputs import Expanded, InputItem, walk
from vlcli.errors import VlcliError
from vlcli.store import SpaceInfo, VectorStore, open_or_create_store
from vlcli.store import ingest as module
from vlcli.store.ingest import Ingestion, IngestReport, run_ingestion

DIM = 8
SPACE = SpaceInfo("toy", "sha256:" + "0" * 64, DIM, "toy")


@dataclass
class Outcome:
    """What an embedder gives for a source."""

    source: Source
    vector: np.ndarray | None = None
    error: VlcliError | None = None
    content_hash: str | None = None


def vector_of(content: bytes) -> np.ndarray:
    """A unit vector that depends on the content alone."""
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "little")
    vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


@dataclass
class ToyEmbedder:
    """Embeds the bytes of files; `bad` in them is refused. `before` is called ahead of each item."""

    before: Callable[[int], None] = lambda count: None
    encoded: list[str] = field(default_factory=list)

    def embed_sources(self, modality: str, sources: Iterable[Source]) -> Iterator[Outcome]:
        for source in sources:
            self.before(len(self.encoded))
            self.encoded.append(source.id)
            content = source.path.read_bytes() if source.path is not None else str(source.value).encode()
            if b"bad" in content:
                yield Outcome(source, error=VlcliError("D399", source.id, "holds something bad"))
            else:
                yield Outcome(source, vector_of(content))


def toy_items(folder: Path) -> Iterator[Expanded]:
    """The files of a folder."""
    for path in walk(folder):
        if isinstance(path, Path):
            yield InputItem("toys", Source(id=str(path), path=path))
        else:
            yield path


def open_toy_store(path: Path) -> VectorStore:
    """A store for the toy space, open for writing."""
    return open_or_create_store(path, SPACE)


def take_in(
    store: VectorStore, expanded: Iterable[Expanded], embedder: ToyEmbedder | None = None, **options: object
) -> IngestReport:
    """Run an ingestion."""
    prune = bool(options.pop("prune", False))
    ingestion = Ingestion(store, embedder or ToyEmbedder(), {"toys", "text"}, "toy", **options)  # type: ignore[arg-type]
    return run_ingestion(ingestion, expanded, prune=prune)


def main() -> None:
    """Embed a folder with a commit every 10 items, and be killed before item number N: the harshest interruption."""
    folder, store, fatal = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    module.COMMIT_ITEMS = 10

    def die(count: int) -> None:
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_toy_store(store) as opened:
        take_in(opened, toy_items(folder), ToyEmbedder(die))


if __name__ == "__main__":
    main()
