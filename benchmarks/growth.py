"""Training at three sizes, a factor 4 apart: time per item. (`embed.py` and `search.py` measure theirs.)

    python benchmarks/growth.py --out growth.json [--quick]

An epoch of our loop over features in memory, linear heads on both sides; what could grow is the loading and the order.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import common
from common import Part, Report, Settings, Spec

SIZES, BATCH, WIDTH = (2048, 8192, 32_768), 64, 384


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

    sizes = [settings.pick(size, 64 * 2**number) for number, size in enumerate(SIZES)]
    epoch(sizes[0])
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(settings.pick(3, 1)):
        for size in sizes:
            taken[size].append(1000 * epoch(size) / size)
    told = ", ".join(f"{size:,}: {statistics.median(values):.3f}" for size, values in taken.items())
    report.add("growth: train, time per item, largest / smallest size", common.ratio(taken[sizes[-1]], taken[sizes[0]]),
               detail=f"ms a pair at {told}; batch {BATCH}, features in memory")  # fmt: skip


PARTS = (
    Part(
        "train",
        (Spec("growth: train, time per item, largest / smallest size", "growth", "ratio", 1.3),),
        measure_train,
    ),
)

if __name__ == "__main__":
    common.main(__doc__, PARTS)
