"""Frozen towers: an epoch from the feature cache against an epoch that encodes again.

    python benchmarks/frozen.py --out frozen.json [--quick]

EfficientNet-Lite0 is frozen, a linear head and a small text tower train on emoji (`images/emoji`). Both runs are our
loop over the same batches; one reads the features from the bank, the other encodes in every epoch with its
preprocessed pictures kept in memory. The third figure is a second run, which finds the first one's cache on disk.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import common
from common import Part, Report, Settings, Spec

PICTURES, BATCH = 192, 32


def measure(report: Report, settings: Settings) -> None:
    """All rows."""
    with tempfile.TemporaryDirectory(prefix="vlcli-frozen-") as folder:
        measure_in(Path(folder), report, settings)


def measure_in(folder: Path, report: Report, settings: Settings) -> None:
    """The rows, with the cache in a scratch folder."""
    import torch

    from vlcli.align.projection import build_head
    from vlcli.align.space import Space, Tower
    from vlcli.data.datasets import open_dataset
    from vlcli.methods.contrastive import Contrastive
    from vlcli.plugins import load_plugins
    from vlcli.train.batches import PairLoader
    from vlcli.train.frozen import FeatureBank, build_bank
    from vlcli.train.loop import LoopSettings, Trainer
    from vlcli.train.method import Setup, freeze
    from vlcli.train.run import make_accelerator

    common.set_threads(settings.threads)
    registry = load_plugins().registry
    dataset = open_dataset("images/emoji", registry, {})
    examples = [dataset[number] for number in range(settings.pick(PICTURES, 8))]
    steps = max(1, len(examples) // min(BATCH, len(examples)))
    modality: Any = registry.load(registry.find("modality", "images"))()

    def space() -> Space:
        torch.manual_seed(0)
        image: Any = registry.build("encoder", "images/efficientnet-lite0", {})
        text: Any = registry.build("encoder", "text/small-gru", {})
        text.fit(sorted({caption for example in examples for caption in example.captions}))
        freeze(image)
        linear = {"kind": "linear", "dim": 64}
        return Space("bench", {"images": Tower(image, build_head(linear, image.dim), "images/efficientnet-lite0"),
                               "text": Tower(text, build_head(linear, text.dim), "text/small-gru")})  # fmt: skip

    def bank() -> FeatureBank:
        return build_bank(
            space().tower("images"), modality, [example.sources["images"] for example in examples], views=1,
            folder=folder / "features", device=torch.device("cpu"), progress=False,
        )  # fmt: skip

    def trainer(banks: dict[str, FeatureBank]) -> tuple[Any, Any]:
        method = Contrastive()
        method.build(Setup(space(), registry, 0, steps, list))
        loader = PairLoader(examples, method.space, registry, batch_size=BATCH, seed=0, banks=banks, keep_inputs=True)
        return method, loader

    def epoch(method: Any, loader: Any) -> None:
        accelerator = make_accelerator(torch.device("cpu"), "fp32")
        chosen = LoopSettings(total_steps=steps)
        Trainer(method, [loader], chosen, accelerator, folder, lambda record: None).train()

    first = common.interleave({"first": bank}, 1, warmup=0)["first"]
    second = common.interleave({"second": bank}, settings.pick(3, 1), warmup=0)["second"]
    cached, live = trainer({"images": bank()}), trainer({})
    # The warm-up round is the first epoch: the other run preprocesses its pictures in it.
    times = common.interleave({"cached": lambda: epoch(*cached), "live": lambda: epoch(*live)}, settings.pick(3, 1))
    middle = common.medians(times)
    detail = f"{len(examples)} emoji pictures, EfficientNet-Lite0, batch {BATCH}"
    report.add("frozen towers: speed of a later epoch / encoding again", common.ratio(times["live"], times["cached"]),
               peers={"encoding again, s": middle["live"]},
               detail=f"{detail}; {middle['cached']:.3f} s an epoch")  # fmt: skip
    again = common.medians({"second": second})["second"]
    report.add("frozen towers: speed of a second run's start / first run's", first[0] / again,
               peers={"first run, s": first[0]},
               detail=f"{detail}; {again:.3f} s to load the network, hash all pictures and read the cache")  # fmt: skip


PARTS = (
    Part(
        "frozen",
        (
            Spec("frozen towers: speed of a later epoch / encoding again", "frozen towers", "ratio", 10, "higher"),
            Spec(
                "frozen towers: speed of a second run's start / first run's", "frozen towers", "ratio", None, "higher"
            ),
        ),
        measure,
    ),
)

if __name__ == "__main__":
    common.main(__doc__, PARTS)
