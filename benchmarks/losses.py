"""Contrastive losses and GradCache against their plain forms: time, extra memory, equality.

    python benchmarks/losses.py --out losses.json [--batch 16384] [--dim 512] [--threads 2] [--rounds 3]

Times: ours and the full-matrix form take turns (A B A B …) in one process; the figure is the median of the ratios of
neighbouring runs. Memory: the highest resident size during a run of its own, above that before it. Inputs are float32
on the CPU; every run is forward and backward.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import platform
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlcli.align.gradcache import gradcache_backward, split_inputs
from vlcli.align.objectives.info_nce import InfoNCE
from vlcli.align.objectives.siglip import SigLIP

Row = dict[str, Any]
MIB = 2**20


def extra_memory(run: Callable[[], Any]) -> float:
    """MiB that `run` needs at its peak above what the process holds before."""
    process = psutil.Process()
    give_back_freed_memory()
    stop = threading.Event()
    before: int = process.memory_info().rss
    peak: int = before

    def watch() -> None:
        nonlocal peak
        while not stop.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = run()
        peak = max(peak, process.memory_info().rss)
        del result
    finally:
        stop.set()
        watcher.join()
    return float(peak - before) / MIB


def give_back_freed_memory() -> None:
    """Freed blocks that the allocator keeps would hide what the next run needs."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def ratio_of_times(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int) -> tuple[float, float, float]:
    """Median ratio ours / theirs of neighbouring runs, and both median times in seconds."""
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for name, run in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(times["ours"], times["theirs"], strict=True)]
    return statistics.median(ratios), statistics.median(times["ours"]), statistics.median(times["theirs"])


def pairs(batch: int, dim: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = F.normalize(torch.randn(batch, dim, generator=generator), dim=1)
    y = F.normalize(torch.randn(batch, dim, generator=generator) + x, dim=1)
    return x.requires_grad_(), y.requires_grad_()


def full_info_nce(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    scores = scale * (x @ y.T)
    own = torch.arange(len(x))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def full_siglip(x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    scores = scale * (x @ y.T) + bias
    return -F.logsigmoid((2 * torch.eye(len(x)) - 1) * scores).sum() / len(x)


def measure_loss(name: str, batch: int, dim: int, rounds: int) -> list[Row]:
    """The rows of one objective at one batch size."""
    scale = torch.tensor(1 / 0.07, requires_grad=True)
    bias = torch.tensor(-10.0, requires_grad=True)
    objective: nn.Module = InfoNCE() if name == "info-nce" else SigLIP()

    def make(size: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
        x, y = pairs(size, dim)
        chosen = [x, y, scale] if name == "info-nce" else [x, y, scale, bias]

        def ours() -> tuple[Tensor, ...]:
            loss = objective(*chosen[:3]) if name == "info-nce" else objective(*chosen[:3], bias=chosen[3])
            return (loss.detach(), *torch.autograd.grad(loss, chosen))

        def full() -> tuple[Tensor, ...]:
            loss = full_info_nce(*chosen) if name == "info-nce" else full_siglip(*chosen)
            return (loss.detach(), *torch.autograd.grad(loss, chosen))

        return ours, full

    ours, _ = make(batch // 2)
    ours()  # libraries start up
    half = extra_memory(ours)
    ours, full = make(batch)
    peak, full_peak = extra_memory(ours), extra_memory(full)
    difference = max(float((a - b).abs().max()) for a, b in zip(ours(), full(), strict=True))
    ratio, seconds, full_seconds = ratio_of_times(ours, full, rounds)
    detail = f"B={batch}, D={dim}, fp32, forward and backward"
    peers = {"full matrix": {"seconds": full_seconds, "extra_mib": full_peak}}
    return [
        row(f"{name}: time / full matrix", ratio, "ratio", 0.75, peers, f"{detail}; {seconds:.2f} s"),
        row(f"{name}: extra memory", peak, "MiB", 256.0, peers, detail),
        row(f"{name}: memory of twice the batch", peak / half, "ratio", 2.2, {}, f"{half:.0f} → {peak:.0f} MiB"),
        row(f"{name}: largest difference of loss and gradients", difference, "absolute", 1e-5, {}, detail),
    ]


def row(name: str, value: float, unit: str, bar: float, peers: dict[str, Any], detail: str) -> Row:
    """A line of the report; smaller is better in all of them."""
    passed = value <= bar
    print(
        f"{'pass' if passed else 'FAIL'}  {name}: {value:.4g} {unit} (at most {bar:g})  {detail}  {peers}", flush=True
    )
    return {
        "name": name, "value": value, "unit": unit, "bar": bar, "passed": passed, "peers": peers, "detail": detail,
    }  # fmt: skip


def measure_gradcache(micro_batch: int, rounds: int) -> list[Row]:
    """GradCache against one graph over the whole batch, for a token transformer and an MLP tower."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
    towers = nn.ModuleDict(
        {"x": nn.TransformerEncoder(layer, 2), "y": nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 128))}
    )
    scale = nn.Parameter(torch.tensor(10.0))
    objective = InfoNCE()

    def encode(part: dict[str, Tensor]) -> dict[str, Tensor]:
        return {
            "x": F.normalize(towers["x"](part["x"]).mean(1), dim=1),
            "y": F.normalize(towers["y"](part["y"]), dim=1),
        }

    def loss(out: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"total": objective(out["x"], out["y"], scale)}

    def batch_of(size: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(1)
        return {"x": torch.randn(size, 12, 128, generator=generator), "y": torch.randn(size, 64, generator=generator)}

    def cached(batch: dict[str, Tensor]) -> None:
        towers.zero_grad(set_to_none=True)
        scale.grad = None
        gradcache_backward(encode, loss, split_inputs(batch, micro_batch))

    def plain(batch: dict[str, Tensor]) -> None:
        towers.zero_grad(set_to_none=True)
        scale.grad = None
        torch.autograd.backward(loss(encode(batch))["total"])

    def gradients() -> list[Tensor]:
        return [one.grad.clone() for one in [*towers.parameters(), scale] if one.grad is not None]

    batch = batch_of(8 * micro_batch)
    plain(batch)
    expected = gradients()
    cached(batch)
    difference = max(
        float((a - b).norm() / b.norm().clamp_min(1e-8)) for a, b in zip(gradients(), expected, strict=True)
    )
    ratio, seconds, plain_seconds = ratio_of_times(lambda: cached(batch), lambda: plain(batch), rounds)
    peaks = {}
    for count in (1, 4, 16, 64):
        large = batch_of(count * micro_batch)
        cached(large)
        peaks[count] = extra_memory(lambda large=large: cached(large))  # type: ignore[misc]
    plain_peak = extra_memory(lambda: plain(batch_of(8 * micro_batch)))
    detail = f"micro-batch {micro_batch}"
    # what must grow: the embeddings of the batch and their gradients, 2 towers of 128 numbers, and a tile of the loss
    allowed = 64 * micro_batch * 128 * 4 * 2 * 4 / MIB + 16
    return [
        row("gradcache: gradient difference, relative", difference, "relative", 1e-4, {}, f"{detail} × 8"),
        row("gradcache: time / full batch", ratio, "ratio", 1.5, {"full batch": {"seconds": plain_seconds}},
            f"{detail} × 8; {seconds:.2f} s"),
        row("gradcache: growth from 1 to 64 micro-batches", peaks[64] - peaks[1], "MiB", allowed,
            {"full batch of 8": {"extra_mib": plain_peak}}, str({count: round(peak) for count, peak in peaks.items()})),
    ]  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--batch", type=int, default=16384)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["info-nce", "siglip", "gradcache"], help="one part instead of all")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: list[Row] = []
    for name in ("info-nce", "siglip"):
        if options.only in (None, name):
            rows += measure_loss(name, options.batch, options.dim, options.rounds)
    if options.only in (None, "gradcache"):
        rows += measure_gradcache(128, options.rounds)
    machine = {
        "cpu": platform.processor() or platform.machine(), "threads": options.threads, "torch": torch.__version__,
    }  # fmt: skip
    options.out.write_text(json.dumps({"schema": 1, "rows": rows, "machine": machine}, indent=1) + "\n")


if __name__ == "__main__":
    main()
