"""GradCache against one graph over the whole batch: time, memory as the batch grows, equality.

    python benchmarks/gradcache.py --out gradcache.json [--quick]

The towers are a token transformer and an MLP (no batch norm). The micro-batch is 128 throughout; the batch grows from
1 to 64 of them. Memory is that of a fresh process for every size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import common
from common import MIB, Part, Report, Settings, Spec

if TYPE_CHECKING:
    from torch import Tensor

MICRO_BATCH, WIDTH = 128, 128


class Example:
    """Towers, batches, and a training step's backward pass in both forms."""

    def __init__(self, micro_batch: int) -> None:
        import torch
        from torch import nn

        from vlcli.align.objectives.info_nce import InfoNCE

        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 512, dropout=0.0, batch_first=True)
        sides = {"x": nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
                 "y": nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, WIDTH))}  # fmt: skip
        self.towers = nn.ModuleDict(sides)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.objective = InfoNCE()
        self.micro_batch = micro_batch

    def batch(self, count: int) -> dict[str, Tensor]:
        """`count` micro-batches."""
        import torch

        generator = torch.Generator().manual_seed(1)
        size = count * self.micro_batch
        return {"x": torch.randn(size, 12, WIDTH, generator=generator), "y": torch.randn(size, 64, generator=generator)}

    def encode(self, part: dict[str, Tensor]) -> dict[str, Tensor]:
        """Both sides, of unit length."""
        import torch.nn.functional as F

        x, y = self.towers["x"](part["x"]).mean(1), self.towers["y"](part["y"])
        return {"x": F.normalize(x, dim=1), "y": F.normalize(y, dim=1)}

    def loss(self, out: dict[str, Tensor]) -> dict[str, Tensor]:
        """Named terms."""
        return {"total": self.objective(out["x"], out["y"], self.scale)}

    def clear(self) -> None:
        """No gradients."""
        self.towers.zero_grad(set_to_none=True)
        self.scale.grad = None

    def cached(self, batch: dict[str, Tensor]) -> None:
        """Gradients by GradCache."""
        from vlcli.align.gradcache import gradcache_backward, split_inputs

        self.clear()
        gradcache_backward(self.encode, self.loss, split_inputs(batch, self.micro_batch))

    def plain(self, batch: dict[str, Tensor]) -> None:
        """Gradients of the whole graph."""
        self.clear()
        self.loss(self.encode(batch))["total"].backward()  # type: ignore[no-untyped-call]

    def gradients(self) -> list[Tensor]:
        """Of every parameter."""
        return [one.grad.clone() for one in [*self.towers.parameters(), self.scale] if one.grad is not None]


def memory(form: str, count: int, micro_batch: int) -> float:
    """Extra MiB of a backward pass; runs in a fresh process."""
    example = Example(micro_batch)
    run: Callable[[Any], None] = getattr(example, form)
    run(example.batch(1))  # libraries start up
    batch = example.batch(count)
    return common.extra_memory(lambda: run(batch))


def measure(report: Report, settings: Settings) -> None:
    """All rows."""
    common.set_threads(settings.threads)
    micro_batch, counts = settings.pick(MICRO_BATCH, 8), (1, 4, 16, 64)
    example = Example(micro_batch)
    batch = example.batch(8)
    example.plain(batch)
    expected = example.gradients()
    example.cached(batch)
    difference = max(
        float((a - b).norm() / b.norm().clamp_min(1e-8)) for a, b in zip(example.gradients(), expected, strict=True)
    )
    detail = f"micro-batch {micro_batch} × 8"
    report.add("gradcache: gradient difference, relative", difference, detail=detail)
    # Three sizes of the batch at a fixed micro-batch.
    ratios, told = {}, []
    for count in (2, 8, 32):
        large = example.batch(count)
        runs = {"ours": partial(example.cached, large), "full": partial(example.plain, large)}
        times = common.interleave(runs, settings.pick(3, 1))
        ratios[count] = common.ratio(times["ours"], times["full"])
        middle = common.medians(times)
        told.append(f"× {count}: {middle['ours']:.2f} / {middle['full']:.2f} s = {ratios[count]:.2f}")
    report.add("gradcache: time / full batch", max(ratios.values()),
               detail=f"largest over batches of micro-batch {micro_batch} " + ", ".join(told))  # fmt: skip

    def peak(form: str, count: int) -> float:
        found = common.fresh("gradcache", "memory", settings.threads, form=form, count=count, micro_batch=micro_batch)
        return float(found)

    peaks = {count: peak("cached", count) for count in counts}
    full = {count: round(peak("plain", count)) for count in (1, 8, 64)}
    # What must grow with the batch: embeddings of both sides, in pieces and joined, their gradients (once
    # more inside the loss), and 16 MiB for its tiles.
    allowed = 64 * micro_batch * WIDTH * 4 * 2 * 4 / MIB + 16
    growth = max(peaks.values()) - peaks[1]
    report.add("gradcache: growth of memory from 1 to 64 micro-batches", growth / allowed,
               peers={"full batch, extra MiB": full},
               detail=f"{growth:.0f} MiB of {allowed:.0f} allowed (embeddings, their gradients, a tile of the loss); "
               f"extra MiB at {', '.join(f'{count}: {value:.0f}' for count, value in peaks.items())}")  # fmt: skip


PARTS = (
    Part(
        "gradcache",
        (
            Spec("gradcache: gradient difference, relative", "gradcache", "relative", 1e-4),
            Spec("gradcache: time / full batch", "gradcache", "ratio", 1.5),
            Spec("gradcache: growth of memory from 1 to 64 micro-batches", "gradcache", "ratio", 1.0),
        ),
        measure,
    ),
)

if __name__ == "__main__":
    common.main(__doc__, PARTS)
