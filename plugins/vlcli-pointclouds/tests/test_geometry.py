"""Distances, sampling and neighbourhoods: the released code's numbers, plain definitions, and what must not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from vlcli_pointclouds import geometry
from vlcli_pointclouds.cloud import normalise
from vlcli_pointclouds.encoders.pointnet2 import SetAbstraction
from vlcli_pointclouds.geometry import ball_query, farthest_point_sample, gather, knn, square_distance

GOLDEN = Path(__file__).parent / "golden" / "ulip"


def arrays(name: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / name) as stored:
        return {key: torch.from_numpy(np.asarray(stored[key])) for key in stored.files}


def layer_weights(data: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Official weights of a set abstraction; the convolutions lose their axes of size 1."""
    chosen = {key.removeprefix(prefix): value for key, value in data.items() if key.startswith(prefix)}
    return {key: value[..., 0, 0] if value.ndim == 4 else value for key, value in chosen.items()}


def test_sampling_distances_and_groups_are_those_of_the_released_code() -> None:
    data = arrays("pointnet2.npz")
    xyz = data["in_xyz"]
    index = farthest_point_sample(xyz, int(data["in_npoint"]), data["in_fps_start"])
    assert torch.equal(index, data["out_fps_idx"])
    centres = gather(xyz, index)
    assert torch.equal(centres, data["out_new_xyz"])
    torch.testing.assert_close(square_distance(centres, xyz), data["out_sqdist"], atol=1e-5, rtol=0)
    groups = ball_query(float(data["in_radius"]), int(data["in_nsample"]), xyz, centres)
    assert torch.equal(groups, data["out_ball_idx"])


def test_set_abstraction_is_that_of_the_released_code() -> None:
    data = arrays("pointnet2.npz")
    first = SetAbstraction(int(data["in_npoint"]), float(data["in_radius"]), int(data["in_nsample"]), 0, (8, 8, 16))
    whole = SetAbstraction(None, 0.0, 0, 16, (16, 24))
    first.load_state_dict(layer_weights(data, "w_sa1."))
    whole.load_state_dict(layer_weights(data, "w_sa2."))
    first.eval()
    whole.eval()
    with torch.no_grad():
        centres, features = first(data["in_xyz"], None, data["in_fps_start"])
        _, pooled = whole(centres, features)
    torch.testing.assert_close(centres.transpose(1, 2), data["out_sa1_xyz"], atol=0, rtol=0)
    torch.testing.assert_close(features.transpose(1, 2), data["out_sa1_feat"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(pooled.transpose(1, 2), data["out_sa2_feat"], atol=1e-5, rtol=1e-5)


def test_normalising_is_that_of_the_released_code() -> None:
    data = arrays("pc_normalize.npz")
    np.testing.assert_allclose(normalise(data["in_pc"].numpy()), data["out_pc"].numpy(), atol=1e-6)


def random_clouds(seed: int, batch: int, points: int, grid: int = 0) -> Tensor:
    """Uniform in [-1, 1]; with `grid` on so many places along each axis, so that points and distances coincide."""
    generator = torch.Generator().manual_seed(seed)
    if not grid:
        return torch.rand(batch, points, 3, generator=generator) * 2 - 1
    return torch.randint(grid, (batch, points, 3), generator=generator) / grid


SHAPES = st.tuples(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 60), st.sampled_from([0, 2, 4]))


def plain_sample(xyz: Tensor, count: int, start: int) -> list[int]:
    """Farthest point sampling by its definition, one cloud."""
    chosen = [start]
    while len(chosen) < count:
        nearest = square_distance(xyz[None, chosen], xyz[None])[0].amin(0)
        chosen.append(int(nearest.argmax()))
    return chosen


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.data())
def test_farthest_points_by_definition(shape: tuple[int, int, int, int], data: st.DataObject) -> None:
    xyz = random_clouds(*shape)
    batch, points, _ = xyz.shape
    count = data.draw(st.integers(1, points))
    start = torch.tensor(data.draw(st.lists(st.integers(0, points - 1), min_size=batch, max_size=batch)))
    index = farthest_point_sample(xyz, count, start)
    assert index.shape == (batch, count) and torch.equal(index[:, 0], start)
    assert torch.equal(farthest_point_sample(xyz, count)[:, 0], torch.zeros(batch, dtype=torch.int64))
    for number, cloud in enumerate(xyz):
        distinct = len(cloud.unique(dim=0))
        sampled = cloud[index[number]]
        assert len(sampled[: min(count, distinct)].unique(dim=0)) == min(count, distinct)
        assert bool((index[number, distinct:] == 0).all())
        if shape[3]:  # coordinates on a grid are exact in any order of operations
            assert index[number].tolist() == plain_sample(cloud, count, int(start[number]))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.floats(0.05, 2), st.integers(1, 12), st.integers(1, 9))
def test_balls_by_definition(shape: tuple[int, int, int, int], radius: float, count: int, groups: int) -> None:
    xyz = random_clouds(*shape)
    centres = random_clouds(shape[0] + 1, len(xyz), groups, shape[3]) * 1.5
    index = ball_query(radius, count, xyz, centres)
    assert index.shape == (len(xyz), groups, count) and index.dtype == torch.int64
    x, y, z = (centres[:, :, None] - xyz[:, None]).square().unbind(-1)
    distance = x + y + z  # rounded as in the blocks, so that no point on the rim is taken by one and left by the other
    for cloud in range(len(xyz)):
        for group in range(groups):
            inside = [int(one) for one in (distance[cloud, group] <= radius * radius).nonzero()[:, 0]]
            expected = inside[:count] or [int(distance[cloud, group].argmin())]
            expected += expected[:1] * (count - len(expected))
            assert index[cloud, group].tolist() == expected


def test_balls_of_members_hold_their_centre_within_the_radius() -> None:
    xyz = random_clouds(0, 3, 400)
    centres = gather(xyz, farthest_point_sample(xyz, 40))
    index = ball_query(0.3, 16, xyz, centres)
    distance = (gather(xyz, index) - centres[:, :, None]).norm(dim=-1)
    assert distance.max() <= 0.3 + 1e-6
    small = gather(xyz, ball_query(1e-4, 16, xyz, centres))
    assert torch.equal(small, centres[:, :, None].expand(-1, -1, 16, -1))


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.integers(1, 9), st.data())
def test_nearest_by_definition(shape: tuple[int, int, int, int], groups: int, data: st.DataObject) -> None:
    xyz = random_clouds(*shape)
    count = data.draw(st.integers(1, xyz.shape[1]))
    centres = random_clouds(shape[0] + 1, len(xyz), groups, shape[3])
    index = knn(count, xyz, centres)
    assert all(len(set(row)) == count for row in index.flatten(0, 1).tolist())
    distance = square_distance(centres, xyz)
    torch.testing.assert_close(
        distance.gather(2, index), distance.sort(2).values[..., :count], atol=1e-6, rtol=0
    )  # fmt: skip


@pytest.mark.parametrize("points", [37, 512, 3000])
def test_results_are_the_same_bits_in_any_batch(points: int) -> None:
    xyz = random_clouds(1, 5, points)
    index = farthest_point_sample(xyz, 30)
    centres = gather(xyz, index)
    found = ball_query(0.3, 8, xyz, centres), knn(8, xyz, centres)
    for number in range(len(xyz)):
        one = xyz[number : number + 1]
        assert torch.equal(farthest_point_sample(one, 30)[0], index[number])
        middles = centres[number : number + 1]
        assert torch.equal(ball_query(0.3, 8, one, middles)[0], found[0][number])
        assert torch.equal(knn(8, one, middles)[0], found[1][number])


def test_blocks_do_not_change_results(monkeypatch: pytest.MonkeyPatch) -> None:
    xyz = random_clouds(2, 5, 90)
    centres = random_clouds(3, 5, 21)
    whole = farthest_point_sample(xyz, 40), ball_query(0.4, 8, xyz, centres), knn(8, xyz, centres)
    for size in (1, 100, 90 * 21, 2 * 90 * 21, 90 * 8 * 3):
        monkeypatch.setattr(geometry, "CHUNK", size)
        parts = farthest_point_sample(xyz, 40), ball_query(0.4, 8, xyz, centres), knn(8, xyz, centres)
        assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True)), size


def test_tensors_and_arrays_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accelerators run the same lines in torch as the CPU runs in NumPy."""
    xyz = random_clouds(5, 4, 300)
    start = torch.tensor([0, 7, 299, 3])
    centres = random_clouds(6, 4, 21)
    arrays_found = farthest_point_sample(xyz, 40, start), ball_query(0.4, 8, xyz, centres), knn(8, xyz, centres)
    monkeypatch.setattr(geometry, "memory", lambda values: values)
    tensors_found = farthest_point_sample(xyz, 40, start), ball_query(0.4, 8, xyz, centres), knn(8, xyz, centres)
    assert all(torch.equal(a, b) for a, b in zip(arrays_found, tensors_found, strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 60))
def test_permuted_points_give_permuted_results(seed: int, points: int) -> None:
    xyz = random_clouds(seed, 2, points).double()  # hardly any distances are equal
    order = torch.randperm(points, generator=torch.Generator().manual_seed(seed))
    permuted = xyz[:, order]
    count = max(1, points // 2)
    start = torch.tensor([0, points - 1])
    place = order.argsort()
    index = farthest_point_sample(xyz, count, start)
    assert torch.equal(order[farthest_point_sample(permuted, count, place[start])], index)
    assert torch.equal(order[knn(count, permuted, xyz[:, :3])], knn(count, xyz, xyz[:, :3]))
    # A ball with room for all takes the same points in another order; a smaller one those that come first.
    full, mixed = ball_query(0.8, points, xyz, xyz), ball_query(0.8, points, permuted, xyz)
    for row, other in zip(full.flatten(0, 1).tolist(), order[mixed].flatten(0, 1).tolist(), strict=True):
        assert set(row) == set(other)


def test_gather_takes_rows_of_its_own_cloud_and_has_a_gradient() -> None:
    values = torch.arange(24.0).view(2, 4, 3).requires_grad_()
    index = torch.tensor([[[0, 3], [3, 3]], [[1, 0], [2, 2]]])
    taken = gather(values, index)
    assert taken.shape == (2, 2, 2, 3)
    for cloud in range(2):
        assert torch.equal(taken[cloud], values[cloud][index[cloud]])
    taken.sum().backward()
    assert values.grad is not None
    assert values.grad[..., 0].tolist() == [[1, 0, 0, 3], [1, 1, 2, 0]]


def test_squared_distances_are_differentiable_and_never_negative() -> None:
    first = random_clouds(0, 2, 5).double().requires_grad_()
    second = random_clouds(1, 2, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(square_distance, (first, second))
    near = torch.full((1, 50, 3), 1000.1)
    assert square_distance(near, near).abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_compared_in_at_least_32_bits(dtype: torch.dtype) -> None:
    xyz = random_clouds(4, 2, 300).to(dtype)
    index = farthest_point_sample(xyz, 20)
    as_float = xyz.to(torch.promote_types(dtype, torch.float32))
    assert torch.equal(index, farthest_point_sample(as_float, 20))
    centres = gather(xyz, index)
    assert torch.equal(knn(4, xyz, centres), knn(4, as_float, centres))


def test_impossible_counts_are_refused() -> None:
    xyz = random_clouds(0, 1, 4)
    for count in (0, 5):
        with pytest.raises(ValueError, match=str(count)):
            farthest_point_sample(xyz, count)
        with pytest.raises(ValueError, match=str(count)):
            knn(count, xyz, xyz)
