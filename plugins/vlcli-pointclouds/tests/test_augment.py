"""Random variations of clouds: within their limits, by their generator alone, and normals stay normals."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor
from vlcli_pointclouds.augment import RELEASED, Augmentation, augment, drop_points, rotation

NOTHING = Augmentation(dropout=0, scale=(1, 1), shift=0, tilt=0, turn=0)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spheres(batch: int = 16, count: int = 200) -> Tensor:
    """Points of unit spheres with their outward normals `[B, N, 6]`."""
    points = torch.nn.functional.normalize(torch.randn(batch, count, 3, generator=seeded(1)), dim=-1)
    return torch.cat([points, points], -1)


def test_nothing_changes_without_strength() -> None:
    clouds = spheres()
    torch.testing.assert_close(augment(clouds, seeded(), "normals", NOTHING), clouds, atol=1e-6, rtol=0)


def test_the_generator_alone_decides_and_the_input_stays() -> None:
    clouds = spheres()
    before = clouds.clone()
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second, other = (augment(clouds, seeded(seed), "normals") for seed in (3, 3, 4))
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(clouds, before) and torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(first[0], first[1])


def test_dropped_points_become_the_first_one() -> None:
    clouds = spheres(64)
    dropped = drop_points(clouds, 0.875, seeded())
    is_first = (dropped == clouds[:, :1]).all(-1)
    kept = (dropped == clouds).all(-1)
    assert bool((is_first | kept).all())
    share = (~kept).float().mean(1)
    assert share.max() < 0.95 and share.min() < 0.2 and 0.3 < share.mean() < 0.55


def test_scale_and_shift_stay_in_their_limits() -> None:
    clouds = spheres(256)
    strength = replace(NOTHING, scale=(0.8, 1.25), shift=0.1)
    varied = augment(clouds, seeded(), "normals", strength)
    torch.testing.assert_close(varied[..., 3:], clouds[..., 3:], atol=1e-6, rtol=0)
    spread = (varied[:, :, :3] - varied[:, :, :3].mean(1, keepdim=True)).norm(dim=-1).mean(1)
    spread = spread / (clouds[:, :, :3] - clouds[:, :, :3].mean(1, keepdim=True)).norm(dim=-1).mean(1)
    assert 0.8 <= spread.min() < 0.85 and 1.2 < spread.max() <= 1.25 + 1e-5
    moved = varied[:, 0, :3] - spread[:, None] * clouds[:, 0, :3]
    assert moved.abs().max() <= 0.1 + 1e-4 and moved.abs().amax(0).min() > 0.08


def test_normals_turn_with_the_points_and_colours_do_not() -> None:
    clouds = spheres()
    only_turns = Augmentation(dropout=0.5, scale=(1, 1), shift=0)
    varied = augment(clouds, seeded(), "normals", only_turns)
    torch.testing.assert_close(varied[..., :3], varied[..., 3:], atol=1e-6, rtol=0)
    coloured = augment(clouds, seeded(), "colours", replace(only_turns, dropout=0))
    assert torch.equal(coloured[..., 3:], clouds[..., 3:]) and not torch.equal(coloured[..., :3], clouds[..., :3])


def test_the_free_turn_is_about_the_up_axis_and_the_small_one_is_small() -> None:
    clouds = spheres(128)
    turned = augment(clouds, seeded(), "normals", replace(NOTHING, turn=math.pi))
    torch.testing.assert_close(turned[..., 1], clouds[..., 1], atol=1e-6, rtol=0)
    angle = torch.atan2(turned[:, 0, 2], turned[:, 0, 0]) - torch.atan2(clouds[:, 0, 2], clouds[:, 0, 0])
    assert torch.cos(angle).min() < -0.95 and torch.cos(angle).max() > 0.95
    tilted = augment(clouds, seeded(), "normals", replace(NOTHING, tilt=0.06))
    worst = (tilted[..., :3] * clouds[..., :3]).sum(-1).clamp(-1, 1).arccos().max()
    assert 0.06 < worst < math.sqrt(3) * 0.18 + 0.02


def test_rotations_are_proper_and_turn_the_right_way() -> None:
    matrices = rotation(torch.randn(50, 3, generator=seeded(), dtype=torch.float64))
    identity = torch.eye(3, dtype=torch.float64).expand(50, 3, 3)
    torch.testing.assert_close(matrices @ matrices.transpose(1, 2), identity)
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(50, dtype=torch.float64))
    quarter = rotation(torch.tensor([[0.0, math.pi / 2, 0.0]]))[0]
    torch.testing.assert_close(
        quarter @ torch.tensor([0.0, 0.0, 1.0]), torch.tensor([1.0, 0.0, 0.0]), atol=1e-6, rtol=0
    )


def test_all_devices_and_types_of_points_keep_theirs() -> None:
    clouds = spheres(2).double()
    assert augment(clouds, seeded()).dtype == torch.float64
    single = augment(clouds.float(), seeded())
    torch.testing.assert_close(single.double(), augment(clouds, seeded()), atol=1e-5, rtol=0)
    assert augment(clouds[:, :1], seeded(), strength=RELEASED).shape == (2, 1, 6)
