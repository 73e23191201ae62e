"""A faster arithmetic on the CPU: what `--precision bf16` gains and what retrieval loses, beside torch's dynamic int8.

    VLCLI_SHARED=… python benchmarks/cpu_backend.py --out backend.json [--quick]

Text: MiniLM; the first sentence of an STS-B pair with a score of at least 4 looks for the second among all of them
(without `VLCLI_SHARED`: halves of paragraphs that scikit-learn installs). Images: the starter space; an emoji's name
looks for its picture among the others. R@10 is the share of queries whose own item is among the first ten.
"""

from __future__ import annotations

import copy
import csv
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
from common import Part, Report, Settings, Spec
from text_encoding import minilm
from texts import paragraphs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

PAIRS, PICTURES = 800, 160


def text_pairs(count: int) -> tuple[list[str], list[str], str]:
    """Queries, their own candidates, and the source in words."""
    if "VLCLI_SHARED" in os.environ:
        pairs: dict[str, str] = {}
        for file in sorted((Path(os.environ["VLCLI_SHARED"]) / "data" / "stsb_multi_mt").glob("stsb-en-*.csv")):
            with file.open(encoding="utf-8", newline="") as stream:
                pairs |= {a: b for a, b, score in csv.reader(stream) if float(score) >= 4 and a.strip() and b.strip()}
        found, source = list(pairs.items()), "STS-B pairs"
    else:
        found = [(text[: len(text) // 2], text[len(text) // 2 :]) for text in paragraphs()]
        source = "halves of scikit-learn's paragraphs"
    found = found[:count]
    return [a for a, _ in found], [b for _, b in found], source


def recall(queries: Vectors, candidates: Vectors) -> float:
    """R@10; candidate i belongs to query i."""
    scores = queries @ candidates.T
    own = scores.diagonal()[:, None]
    return float(((scores > own).sum(1) < 10).mean())


def measure_text(report: Report, settings: Settings) -> None:
    """MiniLM in bf16 and int8."""
    import torch

    from vlcli.align.embedder import Embedder

    common.set_threads(settings.threads)
    space, registry = minilm()
    queries, candidates, source = text_pairs(settings.pick(PAIRS, 24))
    int8 = copy.deepcopy(space)
    encoder: Any = int8.tower("text").encoder
    encoder.model = torch.ao.quantization.quantize_dynamic(encoder.model, {torch.nn.Linear}, dtype=torch.qint8)
    forms = {"fp32": (space, "fp32"), "bf16": (space, "bf16"), "torch dynamic int8": (int8, "fp32")}
    found: dict[str, float] = {}

    def run(name: str) -> None:
        chosen, precision = forms[name]
        embedder = Embedder(chosen, registry, precision=precision)
        found[name] = recall(embedder.embed_texts(queries), embedder.embed_texts(candidates))

    compare(report, settings, "text", {name: partial(run, name) for name in forms}, found,
            f"MiniLM, {len(queries)} {source}")  # fmt: skip


def measure_images(report: Report, settings: Settings) -> None:
    """The starter space's image side in bf16."""
    import numpy as np

    from vlcli.align.embedder import Embedder
    from vlcli.align.load import load_space
    from vlcli.data.datasets import open_dataset
    from vlcli.plugins import load_plugins

    common.set_threads(settings.threads)
    registry = load_plugins().registry
    space = load_space("images/starter", registry, "cpu")
    dataset = open_dataset("images/emoji", registry, {})
    step = max(1, len(dataset) // settings.pick(PICTURES, 6))
    examples = [dataset[index] for index in range(0, len(dataset), step)]
    names = Embedder(space, registry).embed_texts([example.captions[0] for example in examples])
    found: dict[str, float] = {}

    def run(precision: str) -> None:
        sources = [example.sources["images"] for example in examples]
        results = list(Embedder(space, registry, precision=precision).embed_sources("images", sources))
        assert all(result.vector is not None for result in results)
        found[precision] = recall(names, np.stack([result.vector for result in results if result.vector is not None]))

    compare(report, settings, "images", {name: partial(run, name) for name in ("fp32", "bf16")}, found,
            f"starter space, {len(examples)} emoji by their names")  # fmt: skip


def compare(
    report: Report, settings: Settings, side: str, runs: dict[str, Callable[[], None]], found: dict[str, float],
    detail: str,
) -> None:  # fmt: skip
    """Times and recalls of all forms; bf16 is the one that vlcli offers."""
    times = common.interleave(runs, settings.pick(3, 1))
    middle = common.medians(times)
    peers = {name: {"seconds": middle[name], "speed / fp32": common.ratio(times["fp32"], times[name]),
                    "R@10": found[name]} for name in runs if name != "bf16"}  # fmt: skip
    report.add(f"bf16, {side}: speed / fp32", common.ratio(times["fp32"], times["bf16"]), peers=peers,
               detail=f"{detail}; {middle['bf16']:.2f} s")  # fmt: skip
    report.add(f"bf16, {side}: R@10 lost", found["fp32"] - found["bf16"], peers=peers,
               detail=f"{detail}; R@10 {found['fp32']:.3f} in fp32, {found['bf16']:.3f} in bf16")  # fmt: skip


def specs_of(side: str) -> tuple[Spec, ...]:
    """The rows of one modality."""
    return (
        Spec(f"bf16, {side}: speed / fp32", "cpu back end", "ratio", 1.5, "higher"),
        Spec(f"bf16, {side}: R@10 lost", "cpu back end", "absolute", 0.01),
    )


PARTS = (Part("text", specs_of("text"), measure_text), Part("images", specs_of("images"), measure_images))

if __name__ == "__main__":
    common.main(__doc__, PARTS)
