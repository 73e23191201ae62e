"""Encoders of point clouds: the contract, what must not change a vector, presets, and what is refused."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from vlcli_pointclouds.cloud import PointCloud, normalise
from vlcli_pointclouds.encoders.base import PointEncoder, join, largest
from vlcli_pointclouds.encoders.point_bert import PointBert
from vlcli_pointclouds.encoders.pointmlp import LocalGrouper, PointMlp
from vlcli_pointclouds.encoders.pointnet2 import PointNet2
from vlcli_pointclouds.geometry import farthest_point_sample, gather

from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.testing.contracts import check_registered_encoder

NAMES = ("pointclouds/pointnet2", "pointclouds/point-bert", "pointclouds/pointmlp")
PAPER = {"pointclouds/pointnet2": (256, 1.4e6, 1.5e6), "pointclouds/point-bert": (768, 21e6, 23e6),
         "pointclouds/pointmlp": (256, 12.5e6, 14e6)}  # fmt: skip
REGISTRY = load_plugins().registry


def cloud(seed: int, count: int = 600, stretch: float = 1.0) -> PointCloud:
    """A stretched sphere with normals and colours, in random order."""
    random_numbers = np.random.default_rng(seed)
    normals = random_numbers.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = normals * np.array([1.0, stretch, 1.0])
    colours = random_numbers.random((count, 3)).astype(np.float32)
    return PointCloud(normalise(points), normals=normals.astype(np.float32), colours=colours)


def clouds(*counts: int) -> list[PointCloud]:
    return [cloud(seed, count, 1 + seed / 2) for seed, count in enumerate(counts)]


def build(name: str, options: dict[str, Any] | None = None) -> PointEncoder:
    torch.manual_seed(0)
    encoder: PointEncoder = REGISTRY.build("encoder", name, options)
    # Running means and variances as after training, so that nothing is normalised by accident.
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return encoder


def batch(encoder: PointEncoder, items: list[PointCloud]) -> dict[str, Tensor]:
    return {"points": torch.stack([encoder.preprocess(item)["points"] for item in items])}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", ["xyz", "normals", "colours"])
def test_contract(name: str, channels: str) -> None:
    check_registered_encoder(REGISTRY, name, clouds(600, 200, 512), {"channels": channels})


@pytest.mark.parametrize("name", NAMES)
def test_paper_sizes(name: str) -> None:
    dim, least, most = PAPER[name]
    encoder = REGISTRY.build("encoder", name, {"size": "paper"})
    assert encoder.dim == dim
    assert least < sum(parameter.numel() for parameter in encoder.parameters()) < most


@pytest.mark.parametrize("name", NAMES)
def test_a_vector_is_the_same_in_any_batch(name: str) -> None:
    encoder = build(name).eval()
    inputs = batch(encoder, clouds(600, 600, 600, 600, 600))
    with torch.no_grad():
        together = encoder(inputs)
        alone = torch.cat([encoder({"points": row[None]}).pooled for row in inputs["points"]])
        turned = encoder({"points": inputs["points"].flip(0)}).pooled.flip(0)
    torch.testing.assert_close(together.pooled, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together.pooled, turned, atol=1e-5, rtol=1e-4)
    assert together.mask is not None and bool(together.mask.all())
    assert together.tokens is not None and together.mask.shape == together.tokens.shape[:2]
    assert (together.pooled[0] - together.pooled[4]).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_evaluation_draws_nothing_and_training_draws_from_torch(name: str) -> None:
    encoder = build(name)
    inputs = batch(encoder, clouds(600, 600, 600))
    encoder.eval()
    state = torch.get_rng_state()
    with torch.no_grad():
        assert torch.equal(encoder(inputs).pooled, encoder(inputs).pooled)
    assert torch.equal(torch.get_rng_state(), state)
    encoder.train()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(encoder(inputs).pooled.detach())
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_gets_a_finite_gradient(name: str) -> None:
    encoder = build(name, {"channels": "normals"}).train()
    encoded = encoder(batch(encoder, clouds(600, 300, 100, 60)))
    (encoded.pooled * torch.randn_like(encoded.pooled)).sum().backward()
    for parameter_name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert bool(torch.isfinite(parameter.grad).all()), parameter_name
        if not parameter_name.endswith("bias"):  # a bias in front of batch norm gets none
            assert float(parameter.grad.abs().max()) > 0, parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_bf16_is_near_and_finite(name: str) -> None:
    encoder = build(name)
    inputs = batch(encoder, clouds(600, 600, 64))
    encoder.eval()
    with torch.no_grad():
        exact = encoder(inputs).pooled
        with torch.autocast("cpu", torch.bfloat16):
            coarse = encoder(inputs).pooled.float()
    assert bool(torch.isfinite(coarse).all())
    similar = torch.nn.functional.cosine_similarity(exact, coarse)
    assert float(similar.min()) > 0.99
    encoder.train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = encoder(inputs).pooled.float().square().sum()
    loss.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in encoder.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", NAMES)
def test_the_smallest_clouds_are_finite(name: str) -> None:
    """Two places only: every group holds many equal points."""
    encoder = build(name).train()
    points = normalise(np.array([[0.0, 0, 0], [1, 2, 3]]))
    encoded = encoder(batch(encoder, [PointCloud(points), cloud(1)]))
    encoded.pooled.square().sum().backward()
    assert bool(torch.isfinite(encoded.pooled).all())
    assert all(bool(torch.isfinite(p.grad).all()) for p in encoder.parameters() if p.grad is not None)


def test_points_are_a_first_part_or_repeated() -> None:
    encoder = PointNet2(channels="colours")
    long, short = cloud(0, 700), cloud(1, 200)
    rows = encoder.preprocess(long)["points"].numpy()
    assert rows.shape == (512, 6) and rows.dtype == np.float32
    np.testing.assert_array_equal(rows[:, :3], long.points[:512])
    assert long.colours is not None
    np.testing.assert_array_equal(rows[:, 3:], long.colours[:512])
    repeated = encoder.preprocess(short)["points"].numpy()
    np.testing.assert_array_equal(repeated[:, :3], np.concatenate([short.points] * 3)[:512])


@pytest.mark.parametrize("channels", ["normals", "colours"])
def test_a_cloud_without_what_is_read_is_refused(channels: Any) -> None:
    bare = replace(cloud(0), normals=None, colours=None)
    assert PointBert().preprocess(bare)["points"].shape == (512, 3)
    with pytest.raises(VlcliError, match=f"has no {channels}") as caught:
        PointBert(channels=channels).preprocess(bare)
    assert caught.value.code == "D745" and "channels" in caught.value.help


@pytest.mark.parametrize("channels", ["xyz", "normals", "colours"])
def test_augmented_clouds_are_clouds(channels: Any) -> None:
    encoder, item = PointNet2(channels=channels), cloud(0)
    first, second, other = (encoder.augment(item, random.Random(seed)) for seed in (1, 1, 2))
    assert first.digest() == second.digest() != other.digest()
    assert first.points.shape == (512, 3) and first.points.dtype == np.float32
    assert encoder.preprocess(first)["points"].shape == (512, 3 + encoder.extra)
    if channels == "normals":
        np.testing.assert_allclose(np.linalg.norm(first.normals, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(item.points, cloud(0).points)


def shuffled(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first point stays: it is the first centre."""
    order = np.concatenate([[0], 1 + np.random.default_rng(0).permutation(len(points) - 1)])
    return points[order]


@pytest.mark.parametrize("encoder", [PointBert(), PointMlp()], ids=["point-bert", "pointmlp"])
def test_the_order_of_points_behind_the_first_does_not_matter(encoder: PointEncoder) -> None:
    """With nearest neighbours; a ball takes the first points inside, which depends on the order."""
    encoder.eval()
    points = cloud(3, 512, 1.7).points
    with torch.no_grad():
        one, two = (encoder({"points": torch.from_numpy(rows)[None]}).pooled for rows in (points, shuffled(points)))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def test_numbers_replace_those_of_the_preset() -> None:
    options = {"num_points": 64, "groups": [16, 4], "neighbours": [8, 4], "radii": [0.5, 1.0],
               "widths": [[8, 8], [16], [32]], "hidden": 16, "dim": 12}  # fmt: skip
    encoded = build(NAMES[0], options).eval()({"points": torch.randn(2, 64, 3)})
    assert encoded.pooled.shape == (2, 12) and encoded.tokens.shape == (2, 4, 16)
    options = {"num_points": 64, "groups": 16, "neighbours": 8, "token_widths": [8, 8, 8, 8], "width": 24, "depth": 1}
    encoded = build(NAMES[1], options).eval()({"points": torch.randn(2, 64, 3)})
    assert encoded.pooled.shape == (2, 48) and encoded.tokens.shape == (2, 16, 24)
    options = {"num_points": 64, "groups": [16, 8, 4], "neighbours": 8, "embedding": 8, "widths": [8, 16, 32]}
    encoded = build(NAMES[2], options).eval()({"points": torch.randn(2, 64, 3)})
    assert encoded.pooled.shape == (2, 128) and encoded.tokens.shape == (2, 4, 32)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        (NAMES[0], {"num_points": 64}, "128 centres can not be chosen among 64 points"),
        (NAMES[0], {"groups": [16, 32]}, "32 centres can not be chosen among 16"),
        (NAMES[0], {"channels": "rgb"}, "channels"),
        (NAMES[1], {"heads": 5}, "5 heads do not divide the width 96"),
        (NAMES[1], {"neighbours": 600}, "have no 600 nearest ones"),
        (NAMES[1], {"dim": 64}, "dim"),
        (NAMES[2], {"widths": [32]}, "1 widths for 2 levels"),
        (NAMES[2], {"groups": [8, 4]}, "8 points .* have no 16 nearest ones"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(name: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(VlcliError, match=reason):
        REGISTRY.build("encoder", name, options)


def test_joining_a_group_is_the_layer_over_both() -> None:
    layer = torch.nn.Linear(7, 5)
    rows, group = torch.randn(6, 4, 3), torch.randn(6, 4)
    repeated = group[:, None].expand(-1, 4, -1)
    torch.testing.assert_close(
        join(layer, rows, group, group_first=True), layer(torch.cat([repeated, rows], -1)).flatten(0, 1)
    )
    torch.testing.assert_close(
        join(layer, rows, group, group_first=False), layer(torch.cat([rows, repeated], -1)).flatten(0, 1)
    )


def test_the_gradient_of_the_largest_goes_to_one_value() -> None:
    values = torch.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    largest(values, 1).sum().backward()
    assert values.grad is not None and values.grad.sum() == 1 and values.grad.count_nonzero() == 1


def test_groups_of_pointmlp_have_a_common_scale() -> None:
    torch.manual_seed(0)
    grouper = LocalGrouper(8, 4, 16)
    xyz, features = torch.randn(3, 64, 3), torch.randn(3, 64, 16)
    centres, anchors, groups = grouper(xyz, features, None)
    _, _, large = grouper(xyz, features * 50 + 3, None)
    assert centres.shape == (3, 8, 3) and anchors.shape == (3, 8, 16) and groups.shape == (3, 8, 4, 16)
    torch.testing.assert_close(groups, large, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(groups.flatten(1).std(1), torch.ones(3), atol=1e-3, rtol=0)
    assert groups[:, :, 0].abs().max() == 0  # the nearest point is the centre itself


@pytest.fixture(scope="module")
def real_clouds() -> list[PointCloud]:
    """Ten meshes of other people."""
    folder = os.environ.get("VLCLI_SHARED")
    if not folder:
        pytest.skip("VLCLI_SHARED names no folder of real data")
    root = Path(folder) / "data" / "point_clouds"
    files = sorted(root.glob("ModelNet10/bathtub/train/*.off")) + sorted(root.glob("common3d/*.obj"))[:5]
    assert len(files) == 10
    modality = REGISTRY.load(REGISTRY.find("modality", "pointclouds"))()
    return [modality.load(Source(file.name, path=file)) for file in files]


@pytest.mark.parametrize("name", NAMES)
def test_real_meshes(name: str, real_clouds: list[PointCloud]) -> None:
    """Two samples of a mesh are nearer to each other than to other meshes on average, even without training."""
    encoder = build(name, {"channels": "normals", "num_points": 1024}).eval()
    halves = [replace(one, points=one.points[4096:], normals=one.normals[4096:]) for one in real_clouds]  # type: ignore[index]
    with torch.no_grad():
        first, second = (encoder(batch(encoder, items)).pooled for items in (real_clouds, halves))
    assert bool(torch.isfinite(first).all())
    distance = torch.cdist(first, second)
    others = (distance.sum(1) - distance.diagonal()) / (len(distance) - 1)
    assert bool((distance.diagonal() < others).all())


def test_sampling_covers_real_meshes_better_than_chance(real_clouds: list[PointCloud]) -> None:
    xyz = torch.from_numpy(np.stack([one.points[:4096] for one in real_clouds]))
    chosen = gather(xyz, farthest_point_sample(xyz, 128))

    def gap(centres: Tensor) -> Tensor:
        """Distance of the point that is farthest from all centres."""
        return torch.cdist(xyz, centres).amin(2).amax(1)

    assert bool((gap(chosen) < 0.75 * gap(xyz[:, :128])).all())
