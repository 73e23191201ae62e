"""Embedding and training at three sizes, a factor 4 apart: time per item, and the memory of `embed`.

    python benchmarks/growth.py --out growth.json [--quick]

Embedding: lines of a text file (emoji names, numbered) into a new store, with MiniLM, as `vlcli embed` does it; a fresh
process for every size. Training: an epoch of our loop over features in memory, linear heads on both sides.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import common
from common import Part, Report, Settings, Spec
from texts import emoji_names

SIZES, BATCH, WIDTH = (512, 2048, 8192), 64, 384


def embed(size: int) -> dict[str, float]:
    """Seconds and extra MiB of embedding so many lines; runs in a fresh process."""
    from text_encoding import minilm

    from vlcli.store import SpaceInfo, create_store
    from vlcli.store.ingest import ingest

    space, registry = minilm()
    names, info = emoji_names(), SpaceInfo(space.name, space.identity, space.dim, space.load_name)
    with tempfile.TemporaryDirectory(prefix="vlcli-growth-") as folder:

        def run(name: str, count: int) -> None:
            lines = Path(folder, f"{name}.txt")
            lines.write_text("".join(f"{names[n % len(names)]} {n}\n" for n in range(count)), encoding="utf-8")
            with create_store(Path(folder, name), info) as store:
                report = ingest(store, space, registry, [str(lines)])
            assert report.embedded == count, report

        run("first", 300)  # libraries start up, and the windows are filled once
        start = time.perf_counter()
        peak = common.extra_memory(lambda: run("second", size))
        return {"seconds": time.perf_counter() - start, "peak": peak}


def measure_embed(report: Report, settings: Settings) -> None:
    """Time and memory of embedding."""
    sizes = [settings.pick(size, 40 * 2**number) for number, size in enumerate(SIZES)]
    found = {size: common.fresh("growth", "embed", settings.threads, size=size) for size in sizes}
    each = {size: 1000 * one["seconds"] / size for size, one in found.items()}
    told = ", ".join(f"{size:,}: {value:.2f}" for size, value in each.items())
    report.add("growth, embed: time per item, largest / smallest size", each[sizes[-1]] / each[sizes[0]],
               detail=f"ms a text at {told}")  # fmt: skip
    peaks = {size: one["peak"] for size, one in found.items()}
    told = ", ".join(f"{size:,}: {value:.0f}" for size, value in peaks.items())
    report.add("growth, embed: memory, largest - smallest size", peaks[sizes[-1]] - peaks[sizes[0]],
               detail=f"extra MiB at {told}")  # fmt: skip


def measure_train(report: Report, settings: Settings) -> None:
    """Time of an epoch."""
    import numpy as np
    import torch
    from training_towers import Side

    from vlcli.align.projection import build_head
    from vlcli.align.space import Space, Tower
    from vlcli.api import Source
    from vlcli.data.dataset import Example
    from vlcli.methods.contrastive import Contrastive
    from vlcli.plugins import load_plugins
    from vlcli.train.batches import PairLoader
    from vlcli.train.frozen import FeatureBank
    from vlcli.train.loop import LoopSettings, Trainer
    from vlcli.train.method import Setup, freeze
    from vlcli.train.run import make_accelerator

    common.set_threads(settings.threads)
    registry = load_plugins().registry

    def epoch(size: int) -> float:
        """Seconds of an epoch over so many pairs, everything made anew."""
        torch.manual_seed(0)
        towers = {}
        for name in ("images", "text"):
            side = Side(name, torch.nn.Identity())
            side.dim = WIDTH
            freeze(side)
            towers[name] = Tower(side, build_head({"kind": "linear", "dim": 128}, WIDTH), name)
        method = Contrastive()
        method.build(Setup(Space("bench", towers), registry, 0, 1, list))
        examples = [Example(str(n), {"images": Source(id=f"i{n}", value="")}, (f"t{n}",)) for n in range(size)]
        features = np.random.default_rng(0).standard_normal((size, WIDTH), dtype=np.float32)
        banks = {name: FeatureBank(features, {(f"{name[0]}{n}", 0): n for n in range(size)})
                 for name in ("images", "text")}  # fmt: skip
        loader: Any = PairLoader(examples, method.space, registry, batch_size=BATCH, seed=0, banks=banks)
        chosen = LoopSettings(total_steps=loader.steps_per_epoch)
        with tempfile.TemporaryDirectory() as folder:
            accelerator = make_accelerator(torch.device("cpu"), "fp32")
            trainer = Trainer(method, [loader], chosen, accelerator, Path(folder), lambda record: None)
            start = time.perf_counter()
            trainer.train()
            return time.perf_counter() - start

    sizes = [settings.pick(4 * size, 64 * 2**number) for number, size in enumerate(SIZES)]
    epoch(sizes[0])
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(settings.pick(3, 1)):
        for size in sizes:
            taken[size].append(1000 * epoch(size) / size)
    told = ", ".join(f"{size:,}: {statistics.median(values):.3f}" for size, values in taken.items())
    report.add("growth, train: time per item, largest / smallest size", common.ratio(taken[sizes[-1]], taken[sizes[0]]),
               detail=f"ms a pair at {told}; batch {BATCH}, features in memory")  # fmt: skip


PARTS = (
    Part(
        "embed",
        (
            Spec("growth, embed: time per item, largest / smallest size", "growth", "ratio", 1.3),
            Spec("growth, embed: memory, largest - smallest size", "growth", "MiB", 32),
        ),
        measure_embed,
    ),
    Part(
        "train", (Spec("growth, train: time per item, largest / smallest size", "growth", "ratio", 1.3),), measure_train
    ),
)

if __name__ == "__main__":
    common.main(__doc__, PARTS)
