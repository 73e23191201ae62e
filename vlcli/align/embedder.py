"""Embedding streams of inputs: ordered, in bounded memory, loading while computing, surviving bad inputs and OOM."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vlcli.align.batches import length_batches
from vlcli.align.encoder import Encoder, to_device
from vlcli.align.loading import WAITING_BYTES, Loaded, Loader
from vlcli.api import Modality, Source
from vlcli.errors import VlcliError
from vlcli.runtime.amounts import show_bytes
from vlcli.runtime.memory import (
    ceiling_error,
    check_ceiling,
    is_out_of_memory,
    limit_now,
    max_memory,
    memory_in_use,
    planned,
    release_free_memory,
)

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.registry import Registry

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
# Padded tokens a batch, for modalities whose items differ in length. A CPU's caches hold the activations of few: with
# 16,384 MiniLM takes 1.5 times as long on mixed texts as with 1,024.
DEFAULT_MAX_TOKENS = {"cpu": 1024}
DEFAULT_MAX_TOKENS_OF_ACCELERATORS = 16_384
# Under a memory ceiling: bytes that a token of a batch may take at first, and the share of the room for waiting inputs.
TOKEN_BYTES = 32_768
WAITING_SHARE = 1 / 8
ADVICE = "lower --batch-size or --workers"
# So many items that do not fit, and none that does: the ceiling is at fault, not the items.
TOO_LARGE_IN_A_ROW = 8
# Items that are sorted by length together, in batches.
WINDOW_BATCHES = 32
# What a forward pass may raise for an item that it can not take (too short, out of range …).
MODEL_ERRORS = (RuntimeError, ValueError, IndexError, TypeError, KeyError, ArithmeticError, MemoryError, VlcliError)


@dataclass(frozen=True, slots=True)
class Embedded:
    """The outcome for one input: a vector or an error.

    Attributes:
        source: the input.
        vector: float32 `[D]` of length 1, or None when the input was refused.
        error: why it was refused, or None.
        content_hash: SHA-256 of the file's bytes or of the inline value; None when the file can not be read.
        notes: what loading changed; the ledger keeps it.
    """

    source: Source
    vector: np.ndarray | None
    error: VlcliError | None
    content_hash: str | None
    notes: tuple[str, ...] = ()


@dataclass
class EmbedStatistics:
    """What an Embedder did: items, batches, useful and padded tokens, splits, items too large for the memory."""

    items: int = 0
    batches: int = 0
    useful_tokens: int = 0
    padded_tokens: int = 0
    splits: int = 0
    too_large: int = 0


class Embedder:
    """Embeds inputs with a space.

    Args:
        space: used where it is, in evaluation mode.
        registry: finds the modalities.
        batch_size: at most so many items a batch.
        max_tokens: at most so many padded tokens a batch, for items that differ in length; None takes 1,024 on a CPU,
            16,384 elsewhere.
        workers: loader threads.
        dim: Matryoshka width, or None for all.
        precision: `fp32`, `bf16` or `fp16` (autocast; vectors come out as float32).
        batch_invariant: compute each item alone, so that its vector does not depend on its neighbours, to the last bit.
            A padded or larger batch takes other kernels or sums in another order; one item always has one shape.

    Under a memory ceiling (`vlcli.runtime.memory`) the token budget and the waiting inputs are planned from the room
    that is left when the Embedder is made, a batch that finds no memory is halved, and so are all later ones.

    Raises:
        VlcliError: X104 for an unknown precision, U211 for a `dim` that the space does not have, U213 for a batch size
            below 1.
    """

    def __init__(
        self, space: Space, registry: Registry, *, batch_size: int = 32, max_tokens: int | None = None,
        workers: int = 2, dim: int | None = None, precision: str = "fp32", batch_invariant: bool = False,
    ) -> None:  # fmt: skip
        if precision not in PRECISIONS:
            raise VlcliError("X104", "--precision", f"'{precision}' is none", f"choose from {', '.join(PRECISIONS)}")
        if batch_size < 1 or (max_tokens is not None and max_tokens < 1):
            raise VlcliError("U213", "--batch-size", "must be at least 1")
        if dim is not None:
            space.check_dim(dim)
        self.space = space
        self.registry = registry
        self.batch_size = 1 if batch_invariant else batch_size
        limit_now(ADVICE)
        usual = DEFAULT_MAX_TOKENS.get(space.device.type, DEFAULT_MAX_TOKENS_OF_ACCELERATORS)
        self.max_tokens = max_tokens or planned(usual, 1 / TOKEN_BYTES, 256)
        self.waiting_bytes = planned(WAITING_BYTES, WAITING_SHARE, 2**20)
        self.workers = workers
        self.dim = dim
        self.dtype = PRECISIONS[precision]
        self.statistics = EmbedStatistics()
        self._modalities: dict[str, Modality] = {}

    def modality(self, name: str) -> Modality:
        """The modality of this name, constructed once."""
        if name not in self._modalities:
            self._modalities[name] = self.registry.load(self.registry.find("modality", name))()
        return self._modalities[name]

    def embed_sources(self, modality: str, sources: Iterable[Source]) -> Iterator[Embedded]:
        """Yield one `Embedded` a source, in the order of the sources.

        A bad input yields an error in its place. Items of a modality with lengths are sorted within windows.

        Raises:
            VlcliError: U210 when the space has no tower for the modality, P201 when the modality is unknown.
        """
        encoder = self.space.tower(modality).encoder
        loader = Loader(self.modality(modality), encoder, self.workers, self.waiting_bytes)
        varied = type(encoder).length is not Encoder.length
        limit = self.batch_size if not varied else max(1024, self.batch_size * WINDOW_BATCHES)
        window: list[Loaded] = []
        held = 0
        with contextlib.closing(loader(sources)) as stream:
            for loaded in stream:
                window.append(loaded)
                held += loaded.size()
                if len(window) >= limit or held >= self.waiting_bytes:
                    yield from self.embed_window(modality, loader.again(window), varied)
                    window, held = [], 0
            yield from self.embed_window(modality, loader.again(window), varied)

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Sentences to unit rows `[N, D]`, float32.

        Raises:
            VlcliError: when the space has no text side, or a text is empty.
        """
        rows: list[np.ndarray] = []
        for result in self.embed_sources("text", (Source(id=f"text {i + 1}", value=t) for i, t in enumerate(texts))):
            if result.error is not None:
                raise result.error
            assert result.vector is not None
            rows.append(result.vector)
        return np.stack(rows) if rows else np.zeros((0, self.dim or self.space.dim), np.float32)

    def embed_window(self, modality: str, window: list[Loaded], varied: bool) -> list[Embedded]:
        """Embed the loaded items of a window and give one result an item, in their order.

        Raises:
            VlcliError: X206 when more memory is in use than the ceiling allows, or it is too low for any item.
        """
        good = [item for item in window if item.error is None]
        lengths = [item.length for item in good]
        budget = self.max_tokens if varied else None
        vectors: dict[int, np.ndarray] = {}
        for indices in length_batches(lengths, self.batch_size, budget):
            check_ceiling(ADVICE)
            outcomes = self.embed_batch(modality, [good[index] for index in indices])
            self.check_that_some_fit()
            for index, outcome in zip(indices, outcomes, strict=True):
                if isinstance(outcome, VlcliError):
                    good[index].error = outcome
                else:
                    vectors[id(good[index])] = outcome
        self.statistics.items += len(window)
        return [Embedded(item.source, vectors.get(id(item)), item.error, item.content_hash, item.notes)
                for item in window]  # fmt: skip

    def check_that_some_fit(self) -> None:
        """To refuse every input one by one for want of memory would hide what is wrong: the ceiling."""
        ceiling, done = max_memory(), self.statistics
        if ceiling is not None and not done.batches and done.too_large >= TOO_LARGE_IN_A_ROW:
            used = show_bytes(memory_in_use())
            raise ceiling_error(ceiling, f"with {used} in use, none of {done.too_large} items can be computed", ADVICE)

    def embed_batch(self, modality: str, batch: list[Loaded], top: int | None = None) -> list[np.ndarray | VlcliError]:
        """Embed one batch; what fails is split in halves until it works or a single item is left.

        Args:
            modality: which tower.
            batch: loaded items.
            top: size of the batch before any split; None for this one.

        Raises:
            Exception: what the model raised, when it failed for every item of the first batch: then the model is at
                fault and not an input.
        """
        top = top or len(batch)
        try:
            return self.compute(modality, batch)
        except MODEL_ERRORS as error:
            # A broken CUDA context can compute nothing more; only an out-of-memory error leaves it whole.
            if isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error):
                raise
            failure: BaseException = error.with_traceback(None)
        memory = is_out_of_memory(failure)
        if memory:
            free_memory(self.space.device)
        if len(batch) == 1:
            return [self.item_error(batch[0], failure, memory)]
        self.statistics.splits += 1
        half = len(batch) // 2
        if memory and self.batch_size > half:
            self.batch_size = max(1, half)
        outcomes = [*self.embed_batch(modality, batch[:half], top), *self.embed_batch(modality, batch[half:], top)]
        failed = all(isinstance(outcome, VlcliError) and outcome.code == "X202" for outcome in outcomes)
        if failed and self.statistics.batches == 0 and len(batch) == top:
            raise failure
        return outcomes

    def item_error(self, item: Loaded, failure: BaseException, memory: bool) -> VlcliError:
        """The error of a single item that the model could not take."""
        if memory:
            self.statistics.too_large += 1
            return VlcliError("X201", item.source.id, f"out of memory even alone (length {item.length})",
                              "lower --max-tokens, use --precision bf16, or split the input")  # fmt: skip
        reason = (str(failure).strip().splitlines() or [""])[0]
        return VlcliError("X202", item.source.id, f"the encoder can not take it ({type(failure).__name__}: {reason})",
                          "check the input")  # fmt: skip

    def compute(self, modality: str, batch: list[Loaded]) -> list[np.ndarray | VlcliError]:
        """One forward pass."""
        inputs = self.modality(modality).collate([item.inputs or {} for item in batch])
        device = self.space.device
        autocast = torch.autocast(device.type, self.dtype) if self.dtype is not None else contextlib.nullcontext()
        with evaluating(self.space), torch.inference_mode(), autocast:
            vectors = self.space.embed(modality, to_device(inputs, device), self.dim)
        rows = vectors.float().cpu().numpy()
        self.statistics.batches += 1
        self.statistics.useful_tokens += sum(item.length for item in batch)
        self.statistics.padded_tokens += max(item.length for item in batch) * len(batch)
        usable = np.isfinite(rows).all(1) & (np.abs((rows.astype(np.float64) ** 2).sum(1) - 1) < 1e-3)
        return [row if good else no_direction(item) for row, good, item in zip(rows, usable, batch, strict=True)]


def no_direction(item: Loaded) -> VlcliError:
    """The error of an item whose vector is zero or not finite."""
    return VlcliError("X203", item.source.id, "the encoder gave a vector that is zero or not finite", "check the input")


def free_memory(device: torch.device) -> None:
    """Give cached blocks back to the device (or the system), so that a smaller batch finds room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    else:
        release_free_memory()


@contextlib.contextmanager
def evaluating(space: Space) -> Iterator[None]:
    """Evaluation mode for the duration; a space in training is put back."""
    training = [module for module in space.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
