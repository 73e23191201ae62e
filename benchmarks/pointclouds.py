"""Point clouds: far-apart centres and the points around them; files of meshes into a store.

    python benchmarks/pointclouds.py --out pointclouds.json [--only grouping|encoder|growth]

Growth: `vlcli embed` of 200 and of 1,000 meshes (listing, hashing, reading, sampling, encoding, commits), each in a
process of its own. The encoder has random weights; whether memory grows does not depend on them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import common
from common import MIB, Part, Spec

if TYPE_CHECKING:
    from torch import Tensor

NEAREST = "8,192 points to 512 centres and their 32 nearest points, clouds a second"
BALLS = "8,192 points to 512 balls of 32 points, clouds a second"
TRAINING = "small PointNet++ forward and backward, clouds a second"
MEMORY = "embed: 1,000 meshes against 200, more memory at the peak"
EACH = "embed: 1,000 meshes against 200, time per mesh"
MESHES = (200, 1000)


def sphere(batch: int, points: int) -> Tensor:
    """Points on unit spheres `[batch, points, 3]`."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.nn.functional.normalize(torch.randn(batch, points, 3, generator=generator), dim=-1)


def grouping(report: common.Report, settings: common.Settings) -> None:
    """Farthest point sampling and both ways of grouping; sampling alone is timed too, to tell what costs how much."""
    from vlcli_pointclouds.geometry import ball_query, farthest_point_sample, gather, knn

    common.set_threads(settings.threads)
    batch = settings.pick(8, 2)
    xyz = sphere(batch, 8192)

    def sample() -> Tensor:
        return gather(xyz, farthest_point_sample(xyz, 512))

    times = common.interleave(
        {
            "sampling": sample,
            "nearest": lambda: knn(32, xyz, sample()),
            "balls": lambda: ball_query(0.2, 32, xyz, sample()),
        },
        settings.pick(9, 2),
    )
    seconds = common.medians(times)
    share = f"batch of {batch}; farthest point sampling takes {seconds['sampling'] / batch * 1000:.1f} ms of a cloud's"
    for name, key in ((NEAREST, "nearest"), (BALLS, "balls")):
        report.add(name, batch / seconds[key], detail=f"{share} {seconds[key] / batch * 1000:.1f} ms")


def training(report: common.Report, settings: common.Settings) -> None:
    """A batch of 64 clouds of 512 points, with the gradient of every weight; no optimizer."""
    import torch
    from vlcli_pointclouds.encoders.pointnet2 import PointNet2

    common.set_threads(settings.threads)
    torch.manual_seed(0)
    encoder = PointNet2("small").train()
    batch = settings.pick(64, 8)
    inputs = {"points": sphere(batch, 512)}

    def step() -> None:
        encoder.zero_grad()
        encoder(inputs).pooled.square().mean().backward()

    seconds = common.medians(common.interleave({"step": step}, settings.pick(9, 2)))["step"]
    weights = sum(parameter.numel() for parameter in encoder.parameters())
    report.add(TRAINING, batch / seconds, detail=f"batch of {batch}, 512 points, {weights:,} weights")


def write_meshes(folder: Path, count: int) -> None:
    """Tori of 4,608 triangles, all different, as binary PLY."""
    import numpy as np
    from vlcli_pointclouds.shape import Shape
    from vlcli_pointclouds.writers import write_shape

    folder.mkdir()
    random = np.random.default_rng(0)
    sides, rings = 36, 64
    around, along = np.meshgrid(np.arange(sides), np.arange(rings))
    corner, right = around + sides * along, (around + 1) % sides + sides * along
    above, both = around + sides * ((along + 1) % rings), (around + 1) % sides + sides * ((along + 1) % rings)
    faces = np.concatenate([np.stack([corner, right, above], -1), np.stack([right, both, above], -1)]).reshape(-1, 3)
    turn, tilt = 2 * np.pi * along / rings, 2 * np.pi * around / sides
    for number in range(count):
        thick = random.uniform(0.1, 0.9)
        radius = 1 + thick * np.cos(tilt)
        points = np.stack([radius * np.cos(turn), thick * np.sin(tilt), radius * np.sin(turn)], -1).reshape(-1, 3)
        write_shape(folder / f"{number:04}.ply", Shape(points * random.uniform(0.5, 2, 3), faces))


def take_in(folder: str, store: str) -> dict[str, float]:
    """Embed a folder into a new store; seconds and the process's peak of resident memory, MiB. Run by `fresh`."""
    import time

    import torch
    from vlcli_pointclouds.encoders.pointnet2 import PointNet2

    from vlcli.align.projection import build_head
    from vlcli.align.space import Space, Tower
    from vlcli.plugins import load_plugins
    from vlcli.store import SpaceInfo, open_or_create_store
    from vlcli.store.ingest import ingest

    torch.manual_seed(0)
    registry = load_plugins().registry
    encoder = PointNet2("small")
    tower = Tower(encoder, build_head({"kind": "linear", "dim": 64}, encoder.dim), "pointclouds/pointnet2")
    space = Space("bench", {"pointclouds": tower})
    start = time.perf_counter()
    with open_or_create_store(Path(store), SpaceInfo("bench", space.identity, 64, "bench")) as opened:
        report = ingest(opened, space, registry, [folder], modality="pointclouds")
    if report.refused:
        raise RuntimeError(f"{len(report.refused)} meshes were refused, first: {report.refused[0]}")
    seconds = time.perf_counter() - start
    return {"items": report.embedded, "seconds": seconds, "peak": common.status_bytes("VmHWM") / MIB}


def growth(report: common.Report, settings: common.Settings) -> None:
    """Peak of memory and time per mesh at two sizes."""
    sizes = settings.pick(MESHES, (8, 24))
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory() as scratch:
        for size in sizes:
            write_meshes(Path(scratch) / str(size), size)
        for number in range(settings.pick(2, 1)):
            for size in sizes:
                found[size].append(common.fresh("pointclouds", "take_in", settings.threads,
                                                folder=str(Path(scratch) / str(size)),
                                                store=str(Path(scratch) / f"store{size}-{number}")))  # fmt: skip
                assert found[size][-1]["items"] == size
    few, many = sizes
    peak = {size: max(one["peak"] for one in runs) for size, runs in found.items()}
    each = {size: min(one["seconds"] for one in runs) * 1000 / size for size, runs in found.items()}
    told = ", ".join(f"{size:,}: {peak[size]:.0f} MiB" for size in sizes)
    report.add(MEMORY, peak[many] - peak[few], detail=f"{told}, libraries included")
    told = ", ".join(f"{size:,}: {each[size]:.1f} ms" for size in sizes)
    report.add(EACH, each[many] / each[few], detail=f"{told}; 4,608 triangles each, small PointNet++ of 512 points")


PARTS = (
    Part("grouping", (Spec(NEAREST, "point clouds", "clouds/s", 20, "higher"),
                      Spec(BALLS, "point clouds", "clouds/s", 20, "higher")), grouping),
    Part("encoder", (Spec(TRAINING, "point clouds", "clouds/s", 100, "higher"),), training),
    Part("growth", (Spec(MEMORY, "point clouds", "MiB", 32.0),
                    Spec(EACH, "point clouds", "ratio", 1.3)), growth),
)  # fmt: skip

if __name__ == "__main__":
    common.main(__doc__, PARTS)
