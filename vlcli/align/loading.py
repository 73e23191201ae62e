"""Loading and preprocessing in threads, in order and in bounded memory, while the model computes."""

from __future__ import annotations

import hashlib
import inspect
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import Tensor

from vlcli.align.encoder import Encoder
from vlcli.api import Modality, Source
from vlcli.errors import VlcliError
from vlcli.runtime.files import sha256_file
from vlcli.runtime.memory import causes, is_out_of_memory

# Preprocessed items that wait for the model, in bytes.
WAITING_BYTES = 128 * 2**20
# Items a task: a fast tokenizer wants many at once, anything heavier is spread over the threads.
MANY, FEW = 64, 4


@dataclass(slots=True)
class Loaded:
    """One input after loading: tensors, or the reason why not.

    Attributes:
        inputs: what the encoder's `preprocess` gave.
        length: its cost.
        content_hash: SHA-256 of the file's bytes or of the inline value; None when the file can not be read.
        notes: what loading changed, as the loaded item says in its attribute `notes`, if it has one.
        short_of_memory: the reason is memory, which may have been short only because others were loaded meanwhile.
    """

    source: Source
    inputs: dict[str, Tensor] | None = None
    length: int = 1
    error: VlcliError | None = None
    content_hash: str | None = None
    notes: tuple[str, ...] = ()
    short_of_memory: bool = False

    def size(self) -> int:
        """Bytes that its tensors take."""
        return sum(tensor.element_size() * tensor.numel() for tensor in (self.inputs or {}).values())


class Loader:
    """Turns sources into `Loaded`, in order, in `workers` threads.

    Args:
        modality: loads the items.
        encoder: preprocesses them.
        workers: threads.
        waiting_bytes: how much preprocessed input may wait for the model.
    """

    def __init__(
        self, modality: Modality, encoder: Encoder, workers: int, waiting_bytes: int = WAITING_BYTES
    ) -> None:  # fmt: skip
        self.modality = modality
        self.encoder = encoder
        self.workers = max(1, workers)
        self.waiting_bytes = waiting_bytes
        self.together = type(encoder).preprocess_many is not Encoder.preprocess_many
        self.load_item: Callable[[Source], Any] = modality.load
        # A modality may decode smaller than full size when it is told what the encoder will shrink to.
        min_side = getattr(encoder, "min_side", None)
        if min_side is not None and "min_side" in inspect.signature(modality.load).parameters:
            self.load_item = lambda source: modality.load(source, min_side=min_side)  # type: ignore[call-arg]

    def __call__(self, sources: Iterable[Source]) -> Generator[Loaded]:
        """Yield one `Loaded` a source, in order. At most `waiting_bytes` (as measured so far) wait to be taken."""
        waiting: deque[Future[list[Loaded]]] = deque()
        stream = iter(sources)
        chunk_size = MANY if self.together else FEW
        measured = 0.0
        with ThreadPoolExecutor(self.workers, thread_name_prefix="vlcli-load") as pool:
            try:
                while True:
                    ahead = self.workers + 1 if not measured else int(self.waiting_bytes / measured)
                    ahead = max(self.workers + 1, min(ahead, 4 * self.workers))
                    while len(waiting) < ahead and (chunk := list(islice(stream, chunk_size))):
                        waiting.append(pool.submit(self.load_chunk, chunk))
                    if not waiting:
                        return
                    done = waiting.popleft().result()
                    size = float(sum(item.size() for item in done)) + 1
                    measured = max(size, 0.9 * measured)
                    yield from done
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def load_chunk(self, sources: list[Source]) -> list[Loaded]:
        """Load and preprocess some sources; a bad one costs only itself."""
        if not self.together:
            return [self.load_one(source) for source in sources]
        results = [Loaded(source, content_hash=content_hash(source)) for source in sources]
        items: list[tuple[Loaded, Any]] = []
        for result in results:
            try:
                items.append((result, self.load_item(result.source)))
            except Exception as error:  # noqa: BLE001 - a plugin's loader may raise anything: the input is refused
                refuse(result, error)
        try:
            rows = self.encoder.preprocess_many([item for _, item in items])
        except Exception:  # noqa: BLE001 - one bad item must not cost the others: each is tried alone
            for result, item in items:
                self.preprocess_one(result, item)
            return results
        for (result, item), row in zip(items, rows, strict=True):
            result.inputs, result.length, result.notes = row, self.encoder.length(row), notes_of(item)
        return results

    def load_one(self, source: Source) -> Loaded:
        """One source; the loaded item is dropped as soon as its tensors exist."""
        result = Loaded(source, content_hash=content_hash(source))
        try:
            item = self.load_item(source)
        except Exception as error:  # noqa: BLE001 - a plugin's loader may raise anything: the input is refused
            refuse(result, error)
            return result
        self.preprocess_one(result, item)
        return result

    def preprocess_one(self, result: Loaded, item: Any) -> None:
        """Preprocess one item into its result."""
        result.notes = notes_of(item)
        try:
            result.inputs = self.encoder.preprocess(item)
            result.length = self.encoder.length(result.inputs)
        except Exception as error:  # noqa: BLE001 - a plugin's preprocessing may raise anything: the input is refused
            refuse(result, error)

    def again(self, window: list[Loaded]) -> list[Loaded]:
        """Load once more, one after the other, what found no memory while several threads loaded."""
        return [self.load_one(item.source) if item.short_of_memory else item for item in window]


def content_hash(source: Source) -> str | None:
    """SHA-256 of a file's bytes or of an inline value; None when the file can not be read (loading will say why)."""
    if source.path is None:
        return hashlib.sha256((source.value or "").encode("utf-8", "surrogatepass")).hexdigest()
    try:
        return sha256_file(source.path) if source.path.is_file() else None
    except OSError:
        return None


def notes_of(item: Any) -> tuple[str, ...]:
    """What a loaded item says was changed on the way; items need not say anything."""
    notes = getattr(item, "notes", ())
    return tuple(map(str, notes)) if isinstance(notes, tuple | list) else ()


def refuse(result: Loaded, error: Exception) -> None:
    """Put an error in the place of an input's tensors."""
    result.inputs, result.error = None, refusal(result.source, error)
    # A modality may have put a refusal of its own in the place of a MemoryError.
    result.short_of_memory = any(is_out_of_memory(cause) for cause in causes(error))


def refusal(source: Source, error: Exception) -> VlcliError:
    """The error of an input as a VlcliError."""
    if isinstance(error, VlcliError):
        return error
    reason = (str(error).strip().splitlines() or [""])[0]
    if is_out_of_memory(error):
        return VlcliError(
            "X201", source.id, "memory does not suffice to load it", "lower --workers, or split the input"
        )
    return VlcliError("D190", source.id, f"can not be loaded ({type(error).__name__}: {reason})", "check the file")
