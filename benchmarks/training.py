"""A training step of a dual encoder: our loop, open_clip's and sentence-transformers' trainer, on the same batches.

    python benchmarks/training.py --out training.json [--quick]

The same towers (two transformers of plain torch) start from the same weights and see the same batches, which lie in
memory; AdamW without weight decay, gradients clipped to norm 1, a constant learning rate. open_clip's loop is
`open_clip_train.train.train_one_epoch` itself with its ClipLoss; sentence-transformers' is `SentenceTransformerTrainer`
with `MultipleNegativesSymmetricRankingLoss`. A step lasts from one batch's arrival to the next; the figure of a round
is the median of its steps.
"""

from __future__ import annotations

import logging
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
from common import Part, Report, Settings, Spec

if TYPE_CHECKING:
    from torch import Tensor
    from training_towers import PlainTowers

BATCH, STEPS, LEARNING_RATE = 64, 12, 1e-3

Ready = "list[tuple[Tensor, Tensor]]"


class Clock:
    """Moments at which batches were taken."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def mark(self) -> None:
        """Now."""
        self.moments.append(time.perf_counter())

    def step(self) -> float:
        """Median seconds of a step; the first two are warm-up."""
        lengths = [b - a for a, b in zip(self.moments, self.moments[1:], strict=False)]
        return statistics.median(lengths[2:] or lengths)


def train_ours(towers: PlainTowers, ready: Ready, clock: Clock) -> Any:
    """Our loop; gives the method."""
    import torch
    from training_towers import ReadyBatches, vlcli_method

    from vlcli.plugins import load_plugins
    from vlcli.train.loop import LoopSettings, Trainer
    from vlcli.train.run import make_accelerator

    method = vlcli_method(towers, load_plugins().registry)
    settings = LoopSettings(
        total_steps=len(ready), lr=LEARNING_RATE, schedule="constant", grad_clip=1.0, log_every=10
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        loader: Any = ReadyBatches(ready, clock.mark)
        accelerator = make_accelerator(torch.device("cpu"), "fp32")
        Trainer(method, [loader], settings, accelerator, Path(folder), lambda record: None).train()
    return method


def train_open_clip(towers: PlainTowers, ready: Ready, clock: Clock) -> Any:
    """open_clip's loop; gives the model."""
    import copy

    import torch
    from open_clip.loss import ClipLoss  # type: ignore[import-not-found]
    from open_clip_train.train import train_one_epoch  # type: ignore[import-not-found]

    logging.getLogger().setLevel(logging.ERROR)
    model = copy.deepcopy(towers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)

    class Batches:
        num_batches, num_samples = len(ready), len(ready) * len(ready[0][0])
        dataloader: Any

        def set_epoch(self, epoch: int) -> None:
            """The order is fixed."""

        def __iter__(self) -> Any:
            for one in ready:
                clock.mark()
                yield one
            clock.mark()

    data = Batches()
    data.dataloader = data
    args = Namespace(
        device="cpu", precision="fp32", distill=False, accum_freq=1, skip_scheduler=True, horovod=False, rank=0,
        local_rank=0, grad_clip_norm=1.0, log_every_n_steps=10, batch_size=BATCH, world_size=1, wandb=False,
    )  # fmt: skip
    train_one_epoch(model, {"train": data}, ClipLoss(), 0, optimizer, None, None, None, args)
    return model


def train_sentence_transformers(towers: PlainTowers, ready: Ready, clock: Clock) -> Any:
    """sentence-transformers' trainer; gives its model."""
    import copy

    import torch
    from datasets import Dataset  # type: ignore[import-not-found]
    from sentence_transformers import (  # type: ignore[import-not-found]
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import (  # type: ignore[import-not-found]
        MultipleNegativesSymmetricRankingLoss,
    )

    class Both(torch.nn.Module):
        """Chooses the tower by what it is given."""

        def __init__(self, plain: PlainTowers) -> None:
            super().__init__()
            self.images, self.text = plain.images, plain.text

        def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
            """Adds `sentence_embedding`."""
            if "pixel_values" in features:
                features["sentence_embedding"] = self.images(features["pixel_values"])
            else:
                features["sentence_embedding"] = self.text(features["input_ids"])
            return features

        def tokenize(self, texts: list[str], **_: Any) -> dict[str, Tensor]:
            """Asked for the statistics of the model card only: the collator gives tensors."""
            return {"input_ids": torch.zeros(len(texts), 1, dtype=torch.long)}

        preprocess = tokenize

        def save(self, *_: Any, **__: Any) -> None:
            """Nothing is saved."""

    class Collator:
        """Gives the ready batches in order."""

        valid_label_columns = ("label",)

        def __init__(self) -> None:
            self.next = 0

        def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
            clock.mark()
            images, text = ready[self.next % len(ready)]
            self.next += 1
            return {"anchor_pixel_values": images, "positive_input_ids": text}

    model = SentenceTransformer(modules=[Both(copy.deepcopy(towers))], device="cpu")
    size = len(ready[0][0])
    rows = Dataset.from_dict({"anchor": ["a"] * size * len(ready), "positive": ["b"] * size * len(ready)})
    with tempfile.TemporaryDirectory() as folder:
        args = SentenceTransformerTrainingArguments(
            output_dir=folder, max_steps=len(ready), per_device_train_batch_size=size, learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant", weight_decay=0.0, max_grad_norm=1.0, report_to="none", save_strategy="no",
            logging_steps=10, disable_tqdm=True, use_cpu=True, dataloader_pin_memory=False,
        )  # fmt: skip
        loss = MultipleNegativesSymmetricRankingLoss(model, scale=1 / 0.07)
        trainer = SentenceTransformerTrainer(
            model=model, args=args, train_dataset=rows, loss=loss, data_collator=Collator()
        )  # fmt: skip
        from transformers.trainer_callback import PrinterCallback

        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return model


def take_turns(peer: Callable[..., Any], settings: Settings) -> tuple[list[float], list[float], Any, Any]:
    """Median steps of ours and of a peer in every round, and what both trained last."""
    from training_towers import PlainTowers, batches

    common.set_threads(settings.threads)
    towers = PlainTowers(settings.pick(3, 1))
    ready = batches(settings.pick(STEPS, 3), settings.pick(BATCH, 4))
    steps: dict[str, list[float]] = {"ours": [], "peer": []}
    trained = {}
    for _ in range(settings.pick(5, 1)):
        for name, train in (("ours", train_ours), ("peer", peer)):
            clock = Clock()
            trained[name] = train(towers, ready, clock)
            steps[name].append(clock.step())
    return steps["ours"], steps["peer"], trained["ours"], trained["peer"]


def measure_open_clip(report: Report, settings: Settings) -> None:
    """Our loop beside open_clip's."""
    import torch

    ours, theirs, method, model = take_turns(train_open_clip, settings)
    report.add("training step: speed / open_clip", common.ratio(theirs, ours),
               peers={"open_clip, ms": 1000 * statistics.median(theirs)},
               detail=f"batch {settings.pick(BATCH, 4)}, {1000 * statistics.median(ours):.1f} ms a step")  # fmt: skip
    vector = {name: torch.cat([p.detach().flatten() for p in part.parameters()]) for name, part in (
        ("ours", method.space.tower("images").encoder.body), ("open_clip", model.images))}  # fmt: skip
    difference = vector["ours"] - vector["open_clip"]
    report.add("training step: weights, difference to open_clip's", float(difference.norm() / vector["ours"].norm()),
               detail="relative norm over the image tower after all steps: both did the same work")  # fmt: skip


def measure_sentence_transformers(report: Report, settings: Settings) -> None:
    """Our loop beside sentence-transformers' trainer."""
    ours, theirs, _, _ = take_turns(train_sentence_transformers, settings)
    report.add("training step: speed / sentence-transformers", common.ratio(theirs, ours),
               peers={"sentence-transformers, ms": 1000 * statistics.median(theirs)},
               detail=f"batch {settings.pick(BATCH, 4)}, {1000 * statistics.median(ours):.1f} ms a step")  # fmt: skip


PARTS = (
    Part(
        "open_clip",
        (
            Spec("training step: speed / open_clip", "training step", "ratio", 0.95, "higher"),
            Spec("training step: weights, difference to open_clip's", "training step", "relative", 1e-3),
        ),
        measure_open_clip,
        ("open_clip", "open_clip_train"),
    ),
    Part(
        "sentence-transformers",
        (Spec("training step: speed / sentence-transformers", "training step", "ratio", 0.95, "higher"),),
        measure_sentence_transformers,
        ("sentence_transformers", "datasets"),
    ),
)

if __name__ == "__main__":
    common.main(__doc__, PARTS)
