"""What one worker does, in this process or on another machine: load the space once, then embed what it is given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from vlcli.api import Source
from vlcli.data.inputs import Expanded
from vlcli.errors import VlcliError
from vlcli.store.types import Refusal, SpaceInfo

if TYPE_CHECKING:
    from vlcli.align.embedder import Embedded
    from vlcli.align.space import Space
    from vlcli.registry import Registry
    from vlcli.store.types import VectorStore

# What a worker elsewhere needs of the environment that the command was given in.
PASSED_ON = ("VLCLI_", "HF_", "TRANSFORMERS_OFFLINE")


@dataclass(frozen=True)
class WorkerSetup:
    """All that a worker is made from; it travels between machines.

    Attributes:
        space: what to pass to `load_space`, valid on every machine.
        info: the space that the worker must find there, and the width of the vectors.
        device: `auto`, `cpu`, `cuda` …
        batch_size, workers, precision, batch_invariant: as `vlcli.align.embedder.Embedder` takes them.
        threads: of torch; None leaves what it takes.
        third_party: whether plugins of third parties are loaded.
        environment: variables to set there.
    """

    space: str
    info: SpaceInfo
    device: str = "auto"
    batch_size: int = 32
    workers: int = 2
    precision: str = "fp32"
    batch_invariant: bool = False
    threads: int | None = None
    third_party: bool = True
    environment: dict[str, str] = field(default_factory=dict)


def environment_to_pass() -> dict[str, str]:
    """The variables of this process that workers elsewhere need."""
    return {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}


@dataclass(frozen=True)
class Written:
    """A shard that a worker wrote: how many rows, how many of them reused a vector, and what was refused."""

    rows: int
    reused: int
    refused: list[Refusal]


class Worker:
    """Embeds with one space; made once per process.

    Args:
        setup: see `WorkerSetup`.
        registry: of all plugins; loaded when None.
        space: the loaded space, when the caller has it already.

    Raises:
        VlcliError: M503 (exit code 5) when the space here is another one than the command's.
    """

    def __init__(self, setup: WorkerSetup, registry: Registry | None = None, space: Space | None = None) -> None:
        os.environ.update(setup.environment)
        from vlcli.align.embedder import Embedder
        from vlcli.align.load import load_space
        from vlcli.plugins import load_plugins
        from vlcli.runtime.device import set_threads

        set_threads(setup.threads)
        self.setup = setup
        registry = registry or load_plugins(third_party=setup.third_party).registry
        loaded = space or load_space(setup.space, registry, setup.device)
        if loaded.identity != setup.info.identity:
            raise VlcliError("M503", setup.space, f"a worker found another space under this name "
                             f"({loaded.identity[:19]}, not {setup.info.identity[:19]})",
                             "give every machine the same folder and the same versions")  # fmt: skip
        dim = setup.info.dim if setup.info.dim != loaded.dim else None
        self.modalities = frozenset(loaded.modalities)
        self.embedder = Embedder(
            loaded, registry, batch_size=setup.batch_size, workers=setup.workers, dim=dim, precision=setup.precision,
            batch_invariant=setup.batch_invariant,
        )  # fmt: skip

    def ready(self) -> int:
        """The number of this process; an answer says that the space is loaded."""
        return os.getpid()

    def embed(self, modality: str, sources: Sequence[Source]) -> list[Embedded]:
        """One outcome a source, in order."""
        return list(self.embedder.embed_sources(modality, sources))

    def write_shard(self, inputs: Sequence[Expanded], path: str) -> Written:
        """Embed inputs and write them as one shard: the very ingestion that fills a store in one process."""
        from vlcli.store.ingest import Ingestion
        from vlcli.store.shards import ShardSink

        sink = ShardSink(self.setup.info)
        ingestion = Ingestion(
            cast("VectorStore", sink), self.embedder, self.modalities, self.setup.info.name, workers=self.setup.workers
        )
        report = ingestion.run(inputs)
        sink.write(Path(path))
        return Written(len(sink.rows), report.reused, sink.refused)
