"""Workers as Ray actors, on this machine or in a cluster.

Why actors and not Ray Data: Ray Data works on a data set that is known when it is planned, while inputs here are a
stream (a list on stdin, a folder of millions of files) that must stay one, and each window of vectors is committed to
the store before the next is asked for, so that an interrupted run has lost nothing. What Ray Data would add, replaying
the work of a worker that died, actors have too (`max_restarts`, `max_task_retries`): embedding a chunk twice is
harmless.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.runtime.environment import environment
from vlcli.scale.worker import Worker, WorkerSetup

if TYPE_CHECKING:
    from vlcli.align.embedder import Embedded

Task = TypeVar("Task")

LOOPBACK = "127.0.0.1"
# Tasks that wait at each worker, so that none idles while an answer travels.
DEPTH = 2
RESTARTS = 3
# Sources a task: enough that a worker's own batches fill, few enough that a window is spread over all workers.
CHUNK = 64
OBJECT_STORE_BYTES = 128 * 2**20
INSTALL = "install it: pip install 'vlcli[ray]'"
AGAIN = "what was acknowledged is kept; run the same command again to go on"


def no_ray() -> VlcliError:
    """The error of a Ray that is not installed."""
    return VlcliError("X207", "--engine ray", "needs Ray, which is not installed", INSTALL)


def import_ray() -> Any:
    """The package.

    Raises:
        VlcliError: X207 when it is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise no_ray() from error
    return ray


@contextlib.contextmanager
def ray_running(address: str | None, cpus: int) -> Iterator[Any]:
    """Ray, started here with `cpus` workers' worth of room or joined at `address`; left again at the end, always.

    What is started here listens on the loopback interface alone, has no dashboard, reports no usage, and is opened by
    a token that only this process and its children know. A cluster's own settings are left as they are.

    Raises:
        VlcliError: X207 without Ray, X208 when it can not be started or reached.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(environment(local_settings() if address is None else {"RAY_USAGE_STATS_ENABLED": "0"}))
        ray = import_ray()
        if ray.is_initialized():
            yield ray
            return
        import logging

        # Ray says at every start that the token exists.
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        stack.callback(ray.shutdown)
        try:
            if address is not None:
                ray.init(address=address, **quiet)
            else:
                # A short name: sockets lie in this folder, and their paths may have 107 characters.
                folder = tempfile.mkdtemp(prefix="vlcli-ray-")
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                # Before the folder goes, Ray must be down; callbacks run in reverse.
                stack.callback(ray.shutdown)
                ray.init(address="local", num_cpus=cpus, include_dashboard=False, _node_ip_address=LOOPBACK,
                         object_store_memory=OBJECT_STORE_BYTES, _temp_dir=folder, **quiet)  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError, OSError) as error:
            raise VlcliError("X208", address or "--engine ray", f"Ray can not be "
                             f"{'started' if address is None else 'reached'} ({last_line(error)})",
                             "check `ray status` and --ray-address" if address else "run without --engine ray"
                             ) from error  # fmt: skip
        yield ray


def local_settings() -> dict[str, str]:
    """Variables that keep a Ray of our own to this machine.

    Ray reads most of them when it is imported; in a program that has imported it already, its own settings hold.
    """
    settings = {"RAY_USAGE_STATS_ENABLED": "0"}
    if "ray" in sys.modules:
        return settings
    settings |= {
        # Ray takes 127.0.0.1 for "find the outward address" on Linux unless this says that there is no cluster.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    if "RAY_AUTH_MODE" not in os.environ:
        settings |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return settings


@dataclass
class Pool:
    """Workers in a running Ray.

    Attributes:
        ray: the package.
        actors: their handles.
    """

    ray: Any
    actors: list[Any]
    given: list[int] = field(default_factory=list)

    @classmethod
    def start(cls, ray: Any, setup: WorkerSetup, count: int | None, local: bool) -> Pool:
        """Start workers and wait until each has loaded the space.

        Args:
            ray: the package, running.
            setup: of each worker.
            count: how many; None takes one per GPU of the cluster, or per CPU where it has none.
            local: on this machine alone; the workers then share its CPUs.

        Raises:
            VlcliError: what a worker raised (W codes, M503), X209 when Ray lost one.
        """
        resources = ray.cluster_resources()
        gpu = int(resources.get("GPU", 0)) > 0 and setup.device != "cpu"
        count = count or max(1, int(resources.get("GPU" if gpu else "CPU", 1)))
        if local:
            cpus = max(1, (os.cpu_count() or 1) // count)
            setup = replace(setup, threads=setup.threads or cpus)
        options = {"num_cpus": 1, "num_gpus": 1 if gpu else 0, "max_restarts": RESTARTS, "max_task_retries": RESTARTS}
        actor = ray.remote(**options)(Worker)
        pool = cls(ray, [actor.remote(setup) for _ in range(count)])
        for handle in pool.actors:
            pool.get(handle.ready.remote())
        return pool

    def embedder(self) -> PoolEmbedder:
        """The workers as the embedder of an ingestion."""
        return PoolEmbedder(self, CHUNK)

    def get(self, reference: Any) -> Any:
        """A task's result, its error as it was raised.

        Raises:
            VlcliError: X209 when the worker is lost for good.
        """
        exceptions = self.ray.exceptions
        try:
            return self.ray.get(reference)
        except exceptions.RayTaskError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, VlcliError):
                raise cause from None
            raise VlcliError("X209", "--engine ray", f"a worker failed ({last_line(error.cause or error)})",
                             AGAIN) from error  # fmt: skip
        except exceptions.RayError as error:
            cause = getattr(error, "cause", None)
            if isinstance(cause, VlcliError):
                raise cause from None
            raise VlcliError("X209", "--engine ray", f"a worker was lost ({last_line(error)})", AGAIN) from error

    def ordered(self, send: Callable[[Any, Task], Any], tasks: Iterable[Task]) -> Iterator[tuple[Task, Any]]:
        """Each task with its result, in order; a bounded number is under way, more at workers that are quicker."""
        waiting: deque[tuple[Task, Any, int]] = deque()
        for task in tasks:
            while len(waiting) >= DEPTH * len(self.actors):
                first, reference, _ = waiting.popleft()
                yield first, self.get(reference)
            place = self.idlest(waiting)
            waiting.append((task, send(self.actors[place], task), place))
        while waiting:
            first, reference, _ = waiting.popleft()
            yield first, self.get(reference)

    def idlest(self, waiting: Sequence[tuple[Any, Any, int]]) -> int:
        """The worker with the fewest unfinished tasks."""
        if not waiting:
            return 0
        references = [reference for _, reference, _ in waiting]
        open_tasks = set(self.ray.wait(references, num_returns=len(references), timeout=0)[1])
        load = [0] * len(self.actors)
        for _, reference, place in waiting:
            load[place] += reference in open_tasks
        return load.index(min(load))


@dataclass
class PoolEmbedder:
    """The workers as the embedder of an ingestion: chunks of sources out, vectors back, in order."""

    pool: Pool
    chunk: int

    def embed_sources(self, modality: str, sources: Iterable[Source]) -> Iterator[Embedded]:
        """As `vlcli.align.embedder.Embedder.embed_sources`."""
        from vlcli.data.batching import windows

        def send(actor: Any, chunk: list[Source]) -> Any:
            return actor.embed.remote(modality, chunk)

        for _, outcomes in self.pool.ordered(send, windows(sources, self.chunk)):
            yield from outcomes


def last_line(error: BaseException | str) -> str:
    """The last line of an error's text, which in Ray's long reports says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
