"""What `vlcli embed` does with more than one process: Ray's workers, and shards on the way to a store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vlcli.errors import VlcliError, did_you_mean

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.data.inputs import Expanded, SkippedInput
    from vlcli.registry import Registry
    from vlcli.scale.cluster import Pool
    from vlcli.scale.worker import WorkerSetup
    from vlcli.store.base import BaseStore
    from vlcli.store.ingest import IngestReport, LateSpace
    from vlcli.store.types import SpaceInfo

ENGINES = ("local", "ray")
LOCAL_WORKERS = 2


def check_engine(engine: str, store: str | None, shards: Path | None) -> None:
    """Refuse an engine or a place that is none.

    Raises:
        VlcliError: U135 for an unknown engine, U136 without a place for the result, X207 when Ray is asked for and not
            installed.
    """
    if engine not in ENGINES:
        raise VlcliError("U135", "--engine", f"'{engine}' is none", did_you_mean(engine, [*ENGINES])
                         or f"choose from {', '.join(ENGINES)}")  # fmt: skip
    if store is None and shards is None:
        raise VlcliError("U136", "", "there is no place for the result", "add --store NAME (or --shards FOLDER)")
    if engine == "ray":
        from importlib.util import find_spec

        from vlcli.scale.cluster import no_ray

        if find_spec("ray") is None:  # importing it takes seconds
            raise no_ray()


def check_effect(
    engine: str, store: str | None, shards: Path | None, ray_address: str | None, ray_workers: int | None, *,
    prune: bool, verify: bool,
) -> None:  # fmt: skip
    """Refuse options that would be ignored.

    Raises:
        VlcliError: U137.
    """
    idle = {
        "--ray-address": (ray_address is not None and engine != "ray", "without Ray", "add --engine ray"),
        "--ray-workers": (ray_workers is not None and engine != "ray", "without Ray", "add --engine ray"),
        "--prune": (prune and store is None, "without a store", "add --store NAME"),
        "--verify": (verify and shards is not None, "on shards, which go by size and time",
                     "leave it out, or write into a new folder"),
    }  # fmt: skip
    for option, (is_idle, why, help) in idle.items():
        if is_idle:
            raise VlcliError("U137", option, f"has no effect {why}", help)


def worker_setup(
    info: SpaceInfo, device: str, batch_size: int, workers: int, precision: str, batch_invariant: bool,
    third_party: bool,
) -> WorkerSetup:  # fmt: skip
    """What each worker is made from."""
    from vlcli.scale.worker import WorkerSetup, environment_to_pass

    return WorkerSetup(
        space=info.load, info=info, device=device, batch_size=batch_size, workers=workers, precision=precision,
        batch_invariant=batch_invariant, third_party=third_party, environment=environment_to_pass(),
    )  # fmt: skip


def ray_engine(
    stack: contextlib.ExitStack, setup: WorkerSetup, address: str | None, count: int | None
) -> Callable[[], Pool]:
    """A function that starts Ray and its workers; Ray is left when the stack is closed."""

    def start() -> Pool:
        from vlcli.scale.cluster import Pool, ray_running

        wanted = count or (LOCAL_WORKERS if address is None else None)
        ray = stack.enter_context(ray_running(address, wanted or 1))
        return Pool.start(ray, setup, wanted, local=address is None)

    return start


def embed_shards(
    folder: Path, setup: WorkerSetup, space: Space | LateSpace, registry: Registry, expanded: Iterable[Expanded],
    start: Callable[[], Pool] | None, advance: Callable[[int], None], on_skip: Callable[[SkippedInput], None],
) -> tuple[IngestReport, list[Path]]:  # fmt: skip
    """Embed into shards, in this process or with Ray's workers."""
    from vlcli.scale.sharding import Sharding, here, in_ray
    from vlcli.scale.worker import Worker
    from vlcli.store.ingest import LateSpace

    sharding = Sharding(folder, setup, frozenset(space.modalities), advance=advance, on_skip=on_skip)
    if start is not None:
        return sharding.run(expanded, in_ray(start()))
    loaded = space.load() if isinstance(space, LateSpace) else space
    return sharding.run(expanded, here(Worker(setup, registry, loaded)))


def import_written(store: BaseStore, shards: Sequence[Path], report: IngestReport) -> IngestReport:
    """Take the shards into the store; the report then says what became of the inputs there."""
    from vlcli.store.shards import import_shards, open_shards

    if not shards:
        return report
    opened, torn = open_shards(shards)
    imported = import_shards(store, opened, torn, command="embed")
    report.embedded, report.unchanged, report.refused = imported.imported, imported.unchanged, imported.refused
    return report
