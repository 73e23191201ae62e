"""Vectors that do not depend on the batch: how far the default mode deviates, and what the batch-invariant one costs.

    python benchmarks/determinism.py --out determinism.json [--quick]

The same items go through batches of 1, 7, 32 and 256, each time in another order. The deviation is the largest of any
number of any vector from the batch-invariant one; the factor is the time of a pass in batches of 32 in both modes, one
right after the other, as the median of the rounds.
"""

from __future__ import annotations

import random
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

import common
from common import Part, Report, Settings, Spec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vlcli.align.space import Space
    from vlcli.api import Source
    from vlcli.registry import Registry

SPACES = {"text": "text/minilm", "images": "images/starter"}
BATCHES = (1, 7, 32, 256)
WORDS = ["a", "cat", "dog", "tree", "house", "red", "the", "of", "in", "on", "small", "bright", "quark"]


def items(modality: str, count: int, registry: Registry) -> list[Source]:
    """Texts of 2 to 90 words, or emoji."""
    from vlcli.api import Source
    from vlcli.data.datasets import open_dataset

    if modality == "images":
        dataset = open_dataset("images/emoji", registry, {})
        return [dataset[index].sources["images"] for index in range(count)]
    rng = random.Random(0)
    texts = [" ".join(rng.choices(WORDS, k=rng.randint(2, 90))) for _ in range(count)]
    return [Source(id=str(number), value=text) for number, text in enumerate(texts)]


def embed(
    space: Space, registry: Registry, modality: str, sources: list[Source], batch_size: int, invariant: bool, seed: int
) -> tuple[NDArray[np.float32], float]:
    """Vectors in the order of `sources`, computed in an order drawn with `seed`, and seconds."""
    import numpy as np

    from vlcli.align import Embedder

    order = random.Random(seed).sample(sources, len(sources))
    embedder = Embedder(space, registry, batch_size=batch_size, batch_invariant=invariant)
    started = time.perf_counter()
    found = {result.source.id: result.vector for result in embedder.embed_sources(modality, order)}
    seconds = time.perf_counter() - started
    rows = [found[source.id] for source in sources]
    return np.stack([row for row in rows if row is not None]), seconds


def measure(modality: str, report: Report, settings: Settings) -> None:
    """The three rows of a modality."""
    import numpy as np
    import torch

    from vlcli.align.load import load_space
    from vlcli.plugins import load_plugins

    torch.set_num_threads(settings.threads)
    registry = load_plugins().registry
    space = load_space(SPACES[modality], registry, "cpu")
    sources = items(modality, settings.pick(256, 24), registry)
    pass_ = partial(embed, space, registry, modality, sources)
    exact = [pass_(size, True, size)[0] for size in BATCHES]
    default = [pass_(size, False, size)[0] for size in BATCHES]
    same = sum(vectors.tobytes() == exact[0].tobytes() for vectors in exact)
    report.add(f"batch-invariant, {modality}", same, detail=f"of {len(BATCHES)} batch sizes and orders byte-identical")
    largest = max(float(np.abs(vectors - exact[0]).max()) for vectors in default)
    report.add(f"default largest deviation, {modality}", largest, detail=f"batches of {', '.join(map(str, BATCHES))}")
    factors = []
    for round_ in range(settings.pick(3, 1)):
        factors.append(pass_(32, True, round_)[1] / pass_(32, False, round_)[1])
    report.add(f"batch-invariant time factor, {modality}", statistics.median(factors), detail="median of rounds")


PARTS = tuple(
    Part(
        f"determinism of {modality}",
        (
            Spec(f"batch-invariant, {modality}", "determinism", "runs", len(BATCHES), "higher"),
            Spec(f"default largest deviation, {modality}", "determinism", "", None),
            Spec(f"batch-invariant time factor, {modality}", "determinism", "×", None),
        ),
        partial(measure, modality),
    )
    for modality in SPACES
)

if __name__ == "__main__":
    common.main(__doc__, PARTS)
