"""Distances, sampling and neighbourhoods: the released code's numbers, plain definitions, and what must not matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from vlcli_pointclouds.cloud import normalise
from vlcli_pointclouds.encoders.pointnet2 import SetAbstraction
from vlcli_pointclouds.geometry import ball_query, farthest_point_sample, gather, square_distance

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
