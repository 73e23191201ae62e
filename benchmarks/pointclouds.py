"""Point clouds: far-apart centres and the points around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import common
from common import Part, Spec

if TYPE_CHECKING:
    from torch import Tensor

NEAREST = "8,192 points to 512 centres and their 32 nearest points, clouds a second"
BALLS = "8,192 points to 512 balls of 32 points, clouds a second"
TRAINING = "small PointNet++ forward and backward, clouds a second"


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


PARTS = (
    Part("grouping", (Spec(NEAREST, "point clouds", "clouds/s", 20, "higher"),
                      Spec(BALLS, "point clouds", "clouds/s", 20, "higher")), grouping),
    Part("encoder", (Spec(TRAINING, "point clouds", "clouds/s", 100, "higher"),), training),
)  # fmt: skip

if __name__ == "__main__":
    common.main(__doc__, PARTS)
