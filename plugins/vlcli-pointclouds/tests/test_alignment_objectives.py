"""ULIP's and JM3D's losses against the numbers of their released code, and what they promise beyond those."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from vlcli_pointclouds.methods.objectives import (
    ClassHead,
    JointContrast,
    TripletContrast,
    ViewStrengthening,
    class_loss,
    contrast_accuracy,
    joint_view,
    view_weights,
)

GOLDEN = Path(__file__).parent / "golden"


def arrays(name: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / name) as stored:
        return {key: torch.from_numpy(np.asarray(stored[key])) for key in stored.files}


def unit(rows: Tensor) -> Tensor:
    return functional.normalize(rows, dim=-1)


def test_ulip_loss_gradient_and_accuracies_are_those_of_the_released_code() -> None:
    data = arrays("ulip/loss.npz")
    points = data["in_pc_embed"].requires_grad_()
    text, images = unit(data["in_text_embed"]), unit(data["in_image_embed"])
    terms = TripletContrast()(unit(points), text, images, data["in_logit_scale"])
    total = terms["points_text"] + terms["points_images"]
    total.backward()
    assert torch.allclose(total.detach(), data["out_loss"], atol=1e-5)
    assert points.grad is not None
    assert torch.allclose(points.grad, data["out_grad_pc_embed"], atol=1e-5)
    assert 100 * contrast_accuracy(unit(points), text) == pytest.approx(float(data["out_pc_text_acc"]), abs=1e-4)
    assert 100 * contrast_accuracy(unit(points), images) == pytest.approx(float(data["out_pc_image_acc"]), abs=1e-4)


@pytest.fixture
def strengthening() -> ViewStrengthening:
    data = arrays("jm3d/joint_loss.npz")
    module = ViewStrengthening(16)
    module.load_state_dict({
        "azimuth.weight": data["w_strength.degree_embedding"],
        "kind.weight": data["w_strength.depth_embedding"],
        "norm.weight": data["w_strength.ln_final.weight"],
        "norm.bias": data["w_strength.ln_final.bias"],
    })  # fmt: skip
    return module


def strengthened_views(module: ViewStrengthening, data: dict[str, Tensor]) -> Tensor:
    degrees = data["in_view_degree_idx"]
    # View 0 is the RGB render, view 1 the depth render.
    return module(data["in_image_feats"], degrees, torch.tensor([0, 1]).expand_as(degrees))


def test_jm3d_strengthened_views_and_weights_are_those_of_the_released_code(strengthening: ViewStrengthening) -> None:
    data = arrays("jm3d/joint_loss.npz")
    strong = strengthened_views(strengthening, data)
    assert torch.allclose(strong, data["out_strength_image_embed"], atol=1e-5)
    weights = view_weights(data["in_image_feats"], data["in_text_embed"])
    assert torch.allclose(weights, data["out_view_weights_recomputed"], atol=1e-5)


def test_jm3d_joint_loss_and_gradient_are_those_of_the_released_code(strengthening: ViewStrengthening) -> None:
    data = arrays("jm3d/joint_loss.npz")
    points, text, scale = data["in_pc_embed"].requires_grad_(), data["in_text_embed"], data["in_logit_scale"]
    strong = strengthened_views(strengthening, data)
    joint = joint_view(strong, view_weights(data["in_image_feats"], text))
    total = torch.stack(list(JointContrast()(unit(points), unit(text), joint, scale).values())).sum()
    total.backward()
    assert torch.allclose(total.float(), data["out_loss_joint"], atol=1e-5)
    assert points.grad is not None
    assert torch.allclose(points.grad, data["out_grad_pc_embed"], atol=1e-5)
    assert strengthening.azimuth.weight.grad is not None, "the view module learns from the joint view"


def test_jm3d_class_loss_with_the_official_probabilities() -> None:
    data = arrays("jm3d/joint_loss.npz")
    found = class_loss(data["in_class_probs"], data["in_class_labels"])
    assert torch.allclose(found, data["out_class_loss"], atol=1e-5)
    assert torch.allclose(data["out_loss_joint"] + found, data["out_loss_with_class"], atol=1e-5)


def test_jm3d_with_one_raw_view_is_the_loss_without_joint_modelling() -> None:
    data = arrays("jm3d/joint_loss.npz")
    first = unit(data["in_image_feats"][:, 0])
    terms = JointContrast()(unit(data["in_pc_embed"]), unit(data["in_text_embed"]), first, data["in_logit_scale"])
    total = torch.stack(list(terms.values())).sum()
    assert torch.allclose(total.float(), data["out_loss_single_view_no_jma"], atol=1e-5)


def test_official_class_head_gives_probabilities_and_the_default_logits() -> None:
    rows = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    official, plain = ClassHead(8, 5, official=True), ClassHead(8, 5)
    plain.load_state_dict(official.state_dict())
    assert torch.allclose(official(rows).sum(1), torch.ones(6))
    assert torch.allclose(official(rows), functional.relu(plain(rows)).softmax(1))
    # After two softmaxes even a certain answer costs much; with logits it costs nothing.
    certain = torch.eye(5)
    assert class_loss(certain, torch.arange(5)) > 0.4
    assert class_loss(100 * certain, torch.arange(5)) < 1e-6


def test_view_weights_prefer_the_view_that_fits_and_do_not_depend_on_lengths() -> None:
    text = torch.tensor([[1.0, 0.0, 0.0]])
    views = torch.tensor([[[2.0, 0.1, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]])
    weights = view_weights(views, text)
    assert weights.sum().item() == pytest.approx(1)
    assert weights[0, 0] > weights[0, 1] > weights[0, 2]
    assert torch.allclose(weights, view_weights(7 * views, 3 * text))


def test_joint_view_of_equal_views_is_that_view_and_otherwise_shorter() -> None:
    views = torch.tensor([[[0.0, 3.0], [0.0, 5.0]], [[1.0, 0.0], [0.0, 1.0]]])
    joint = joint_view(views, torch.full((2, 2), 0.5))
    assert torch.allclose(joint, torch.tensor([[0.0, 1.0], [0.5, 0.5]]))
