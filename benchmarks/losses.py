"""Contrastive losses against the full matrix and against open_clip: time, extra memory, equality; two processes alike.

    python benchmarks/losses.py --out losses.json [--only info-nce] [--quick]

Every run is forward and backward in float32 on the CPU. Ours, the full matrix and open_clip take turns in one process;
open_clip joins the first round only. Our memory is that of a fresh process, the peers' that of their first round.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import common
from common import FOLDER, Part, Report, Settings, Spec

if TYPE_CHECKING:
    from torch import Tensor

    Runs = dict[str, Callable[[], "list[Tensor]"]]

BATCH, DIM = 16_384, 512
WORLD = 2


def unit_pairs(batch: int, dim: int) -> tuple[Tensor, Tensor]:
    """Rows that resemble their partners."""
    import torch
    import torch.nn.functional as F

    generator = torch.Generator().manual_seed(0)
    x = F.normalize(torch.randn(batch, dim, generator=generator), dim=1)
    y = F.normalize(torch.randn(batch, dim, generator=generator) + x, dim=1)
    return x, y


def full_info_nce(x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    """The loss as it is written in papers, with the whole matrix."""
    import torch
    import torch.nn.functional as F

    scores = scale * (x @ y.T)
    own = torch.arange(len(x))
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def full_siglip(x: Tensor, y: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """The loss as it is written in papers, with the whole matrix."""
    import torch
    import torch.nn.functional as F

    scores = scale * (x @ y.T) + bias
    return -F.logsigmoid((2 * torch.eye(len(x)) - 1) * scores).sum() / len(x)


def runs_of(name: str, x: Tensor, y: Tensor) -> Runs:
    """Functions that give the loss and its gradients: ours, the full matrix, open_clip's."""
    import torch

    from vlcli.align.objectives.info_nce import InfoNCE
    from vlcli.align.objectives.siglip import SigLIP

    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    scale = torch.tensor(1 / 0.07, requires_grad=True)
    bias = torch.tensor(-10.0, requires_grad=True)
    chosen = [x, y, scale] if name == "info-nce" else [x, y, scale, bias]

    def both(loss: Callable[[], Tensor]) -> Callable[[], list[Tensor]]:
        def run() -> list[Tensor]:
            value = loss()
            return [value.detach(), *torch.autograd.grad(value, chosen)]

        return run

    def open_clip() -> Tensor:
        from open_clip.loss import ClipLoss, SigLipLoss  # type: ignore[import-not-found]

        value: Tensor = ClipLoss()(x, y, scale) if name == "info-nce" else SigLipLoss()(x, y, scale, bias)
        return value

    ours: dict[str, Callable[[], Tensor]] = {
        "info-nce": lambda: InfoNCE()(x, y, scale), "siglip": lambda: SigLIP()(x, y, scale, bias=bias),
    }  # fmt: skip
    full = {"info-nce": lambda: full_info_nce(x, y, scale), "siglip": lambda: full_siglip(x, y, scale, bias)}
    return {"ours": both(ours[name]), "full matrix": both(full[name]), "open_clip": both(open_clip)}


def memory(name: str, batch: int, dim: int) -> float:
    """Extra MiB of our loss; runs in a fresh process."""
    runs_of(name, *unit_pairs(1024, dim))["ours"]()  # libraries start up
    ours = runs_of(name, *unit_pairs(batch, dim))["ours"]
    return common.extra_memory(ours)


def largest_difference(ours: list[Tensor], other: list[Tensor]) -> float:
    """Over the loss and every gradient, absolute."""
    return max(float((a - b).abs().max()) for a, b in zip(ours, other, strict=True))


def measure_loss(name: str, report: Report, settings: Settings) -> None:
    """One objective."""
    from importlib.util import find_spec

    common.set_threads(settings.threads)
    batch, dim, rounds = settings.pick(BATCH, 512), settings.pick(DIM, 64), settings.pick(3, 1)
    half = common.fresh("losses", "memory", settings.threads, name=name, batch=batch // 2, dim=dim)
    whole = common.fresh("losses", "memory", settings.threads, name=name, batch=batch, dim=dim)
    small, runs = runs_of(name, *unit_pairs(256, dim)), runs_of(name, *unit_pairs(batch, dim))
    if find_spec("open_clip") is None:
        del small["open_clip"], runs["open_clip"]
    for run in small.values():  # libraries start up
        run()
    results: dict[str, list[Tensor]] = {}
    seconds: dict[str, list[float]] = {key: [] for key in runs}
    peaks: dict[str, float] = {}

    def take(key: str) -> None:
        start = time.perf_counter()
        results[key] = runs[key]()
        seconds[key].append(time.perf_counter() - start)

    for number in range(rounds):
        for key in runs:
            if number and key == "open_clip":
                continue
            results.pop(key, None)
            if number == 0:
                peaks[key] = common.extra_memory(lambda key=key: take(key))  # type: ignore[misc]
            else:
                take(key)
    times = common.medians(seconds)
    peers: dict[str, Any] = {key: {"seconds": times[key], "extra MiB": round(peaks[key])} for key in runs
                             if key != "ours"}  # fmt: skip
    detail = f"B={batch:,}, D={dim}, fp32, forward and backward"
    report.add(f"{name}: time / full matrix", common.ratio(seconds["ours"], seconds["full matrix"]), peers=peers,
               detail=f"{detail}; {times['ours']:.2f} s")  # fmt: skip
    if "open_clip" in runs:
        report.add(f"{name}: time / open_clip", seconds["ours"][0] / seconds["open_clip"][0], peers=peers,
                   detail=f"{detail}; one round")  # fmt: skip
    report.add(f"{name}: extra memory", whole, peers=peers, detail=detail)
    report.add(f"{name}: memory of twice the batch", whole / half, detail=f"{half:.0f} → {whole:.0f} MiB")
    difference = max(largest_difference(results["ours"], results[key]) for key in runs if key != "ours")
    report.add(f"{name}: largest difference of loss and gradients", difference,
               detail=f"{detail}; to {' and '.join(key for key in runs if key != 'ours')}")  # fmt: skip


def process_of_two(folder: str, rank: int, name: str, batch: int, dim: int, rounds: int) -> None:
    """One of two processes: time and extra memory of its half, and its gradients."""
    import torch
    import torch.distributed as dist
    from safetensors.torch import save_file

    from vlcli.align.objectives.info_nce import InfoNCE
    from vlcli.align.objectives.siglip import SigLIP

    common.set_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD)

    def half(size: int) -> list[Tensor]:
        rows = slice(rank * size // WORLD, (rank + 1) * size // WORLD)
        scale, bias = torch.tensor(1 / 0.07), torch.tensor(-10.0)
        own = [part[rows].clone() for part in unit_pairs(size, dim)]
        return [tensor.requires_grad_() for tensor in [*own, scale, *([bias] if name == "siglip" else [])]]

    def ours(parts: list[Tensor]) -> list[Tensor]:
        loss = InfoNCE()(*parts) if name == "info-nce" else SigLIP()(*parts[:3], bias=parts[3])
        return [loss.detach(), *torch.autograd.grad(loss, parts)]

    def open_clip(parts: list[Tensor]) -> list[Tensor]:
        from open_clip.loss import ClipLoss, SigLipLoss

        if name == "info-nce":
            loss = ClipLoss(local_loss=True, gather_with_grad=True, rank=rank, world_size=WORLD)(*parts)
        else:
            loss = SigLipLoss(rank=rank, world_size=WORLD)(*parts)
        return [loss.detach(), *torch.autograd.grad(loss, parts)]

    for run in (ours, open_clip):  # libraries start up
        run(half(256))

    parts = half(batch)
    dist.barrier()
    peak = common.extra_memory(lambda: ours(parts))
    seconds: dict[str, list[float]] = {"ours": [], "open_clip": []}
    results: list[Tensor] = []
    for _ in range(rounds):
        for key, run in (("ours", ours), ("open_clip", open_clip)):
            dist.barrier()
            start = time.perf_counter()
            found = run(parts)
            dist.barrier()
            seconds[key].append(time.perf_counter() - start)
            results = found if key == "ours" else results
            del found
    save_file({str(number): tensor.contiguous() for number, tensor in enumerate(results)}, f"{folder}/{rank}.st")
    Path(folder, f"{rank}.json").write_text(json.dumps({"peak": peak, "seconds": seconds}))
    dist.destroy_process_group()


def measure_two(name: str, report: Report, settings: Settings) -> None:
    """The same loss over two processes (gloo), each with half of the batch and one thread."""
    import torch
    from safetensors.torch import load_file

    common.set_threads(settings.threads)
    batch = settings.pick(BATCH, 512)
    dim, rounds = settings.pick(DIM, 64), settings.pick(3, 1)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(FOLDER / "losses.py"), "--process", folder, name]
        sizes = [str(size) for size in (batch, dim, rounds)]
        processes = [
            subprocess.Popen([*command, str(rank), *sizes], env=common.environment(1)) for rank in range(WORLD)
        ]
        try:
            codes = [process.wait(timeout=300) for process in processes]
        finally:
            for process in processes:
                process.kill()
        if any(codes):
            raise RuntimeError(f"the two processes ended with {codes}")
        parts = [load_file(f"{folder}/{rank}.st") for rank in range(WORLD)]
        told = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(WORLD)]
    expected = runs_of(name, *unit_pairs(batch, dim))["full matrix"]()
    # Every process holds its share; the mean over the processes is the whole, as DistributedDataParallel takes it.
    found = [
        torch.cat([part[str(n)] for part in parts]) / WORLD if n in (1, 2) else sum(p[str(n)] for p in parts) / WORLD
        for n in range(len(expected))
    ]
    detail = f"2 processes (gloo), one thread each, B={batch:,} over both, D={dim}"
    seconds = told[0]["seconds"]
    report.add(f"{name} over two processes: time / open_clip", common.ratio(seconds["ours"], seconds["open_clip"]),
               peers={"open_clip": {"seconds": common.medians(seconds)["open_clip"]}},
               detail=f"{detail}; {common.medians(seconds)['ours']:.2f} s")  # fmt: skip
    report.add(f"{name} over two processes: extra memory of each", max(one["peak"] for one in told),
               detail=detail)  # fmt: skip
    report.add(f"{name} over two processes: largest difference", largest_difference(found, expected),
               detail=f"{detail}; to the full matrix in one process")  # fmt: skip


def specs_of(name: str) -> tuple[Spec, ...]:
    """The rows of one objective."""
    return (
        Spec(f"{name}: time / full matrix", "losses", "ratio", 0.75),
        Spec(f"{name}: time / open_clip", "losses", "ratio", 0.75),
        Spec(f"{name}: extra memory", "losses", "MiB", 256),
        Spec(f"{name}: memory of twice the batch", "losses", "ratio", 2.2),
        Spec(f"{name}: largest difference of loss and gradients", "losses", "absolute", 1e-5),
    )


def specs_of_two(name: str) -> tuple[Spec, ...]:
    """The rows of one objective over two processes."""
    return (
        Spec(f"{name} over two processes: time / open_clip", "losses", "ratio", 0.75),
        Spec(f"{name} over two processes: extra memory of each", "losses", "MiB", 256),
        Spec(f"{name} over two processes: largest difference", "losses", "absolute", 1e-5),
    )


PARTS = (
    Part("info-nce", specs_of("info-nce"), lambda *given: measure_loss("info-nce", *given)),
    Part("siglip", specs_of("siglip"), lambda *given: measure_loss("siglip", *given)),
    Part("info-nce-two", specs_of_two("info-nce"), lambda *given: measure_two("info-nce", *given), ("open_clip",)),
    Part("siglip-two", specs_of_two("siglip"), lambda *given: measure_two("siglip", *given), ("open_clip",)),
)

if __name__ == "__main__":
    if sys.argv[1:2] == ["--process"]:
        place, objective, *numbers = sys.argv[2:]
        process_of_two(place, int(numbers[0]), objective, *map(int, numbers[1:]))
    else:
        common.main(__doc__, PARTS)
