"""Text encoding with MiniLM against sentence-transformers at its best batch size, on real texts of mixed length.

    VLCLI_SHARED=… python benchmarks/text_encoding.py --out text.json [--quick]

Both encode the same list into unit vectors, tokenizing included. Batch sizes for sentence-transformers are tried on a
fifth of the texts first; ours runs with its defaults.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

import common
from common import Part, Report, Settings, Spec
from texts import mixed_texts

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.registry import Registry

TEXTS = 5000
BATCH_SIZES = (8, 16, 32, 64, 128)


def minilm() -> tuple[Space, Registry]:
    """Our MiniLM space."""
    from vlcli.align.load import load_space
    from vlcli.plugins import load_plugins

    registry = load_plugins().registry
    return load_space("text/minilm", registry, "cpu"), registry


def sentence_transformer() -> Any:
    """The same weights in sentence-transformers."""
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]
    from vlcli_text.encoders import model_folder

    return SentenceTransformer(str(model_folder()), device="cpu")


def measure(report: Report, settings: Settings) -> None:
    """All rows."""
    import numpy as np

    from vlcli.align.embedder import Embedder

    common.set_threads(settings.threads)
    texts, source = mixed_texts(settings.pick(TEXTS, 60))
    space, registry = minilm()
    peer = sentence_transformer()
    results: dict[str, Any] = {}

    def ours() -> None:
        embedder = Embedder(space, registry)
        results["ours"] = embedder.embed_texts(texts)
        results["statistics"] = embedder.statistics

    def theirs(size: int, some: list[str]) -> Any:
        return peer.encode(some, batch_size=size, normalize_embeddings=True, show_progress_bar=False)

    some = random.Random(1).sample(texts, len(texts) // 5)
    theirs(32, some[:32])
    tried = {}
    for size in BATCH_SIZES:
        start = time.perf_counter()
        theirs(size, some)
        tried[size] = time.perf_counter() - start
    best = min(tried, key=tried.__getitem__)

    def at_best() -> None:
        results["theirs"] = theirs(best, texts)

    Embedder(space, registry).embed_texts(some[:32])
    times = common.interleave({"ours": ours, "theirs": at_best}, settings.pick(3, 1), warmup=0)
    middle, statistics = common.medians(times), results["statistics"]
    peers = {"sentence-transformers": {"texts/s": len(texts) / middle["theirs"], "batch size": best},
             "its batch sizes, texts/s": {size: len(some) / taken for size, taken in tried.items()}}  # fmt: skip
    detail = f"{len(texts):,} texts, {statistics.useful_tokens:,} tokens ({source})"
    report.add("text encoding: speed / sentence-transformers", common.ratio(times["theirs"], times["ours"]),
               peers=peers, detail=f"{detail}; {len(texts) / middle['ours']:.0f} texts/s")  # fmt: skip
    report.add("text encoding: padded / useful tokens", statistics.padded_tokens / statistics.useful_tokens,
               detail=f"{detail}; {statistics.batches} batches")  # fmt: skip
    difference = float(np.abs(results["ours"] - results["theirs"]).max())
    report.add("text encoding: largest difference, row by row", difference,
               detail="unit vectors of both in the order of the input")  # fmt: skip


PARTS = (
    Part(
        "text",
        (
            Spec("text encoding: speed / sentence-transformers", "text encoding", "ratio", 0.95, "higher"),
            Spec("text encoding: padded / useful tokens", "text encoding", "ratio", 1.15),
            Spec("text encoding: largest difference, row by row", "text encoding", "absolute", 1e-5),
        ),
        measure,
        ("sentence_transformers",),
    ),
)

if __name__ == "__main__":
    common.main(__doc__, PARTS)
