"""Distillation and Mod-X's loss: against the definition and against vectors from the authors' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vlcli.align.objectives.distillation import SimilarityDistillation, ranked_first
from vlcli.align.objectives.off_diagonal import OffDiagonal, mod_x_loss

GOLDEN = Path(__file__).parents[1] / "golden" / "mod_x" / "modx_loss.npz"


@pytest.mark.parametrize("tag", ["mixed", "clean", "bad"])
def test_mod_x_matches_the_released_code(tag: str) -> None:
    with np.load(GOLDEN) as data:
        case = {
            name.removeprefix(f"{tag}."): torch.from_numpy(np.asarray(data[name]))
            for name in data.files
            if name.startswith(f"{tag}.")
        }
    image, text = case["image_features"].requires_grad_(), case["text_features"].requires_grad_()
    x, y = F.normalize(image, dim=-1), F.normalize(text, dim=-1)
    old_x, old_y = (F.normalize(case[name], dim=-1) for name in ("image_features_old", "text_features_old"))
    scale = case["logit_scale"].float()

    assert torch.equal(ranked_first(old_x, old_y).long(), case["old_i2t_row_correct"])
    assert torch.equal(ranked_first(old_y, old_x).long(), case["old_t2i_row_correct"])
    parts = mod_x_loss(x, y, scale, old_x, old_y, float(case["alpha"]))
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(parts.contrastive.detach(), case["loss_contrastive"], **close)
    torch.testing.assert_close(parts.distillation.detach(), case["loss_distill"], **close)
    torch.testing.assert_close(parts.total.detach(), case["loss_all"], **close)
    forward, backward = OffDiagonal().distillation.directions(x, y, torch.ones(()), old_x, old_y)
    torch.testing.assert_close(forward.detach(), case["loss_dia_img"], **close)
    torch.testing.assert_close(backward.detach(), case["loss_dia_text"], **close)
    parts.total.backward()
    torch.testing.assert_close(image.grad, case["grad_image_features"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(text.grad, case["grad_text_features"], atol=1e-5, rtol=1e-4)


def test_leaving_rows_out_equals_replacing_them() -> None:
    """The paper replaces wrong rows by the current model's own; that adds neither loss nor gradient."""
    generator = torch.Generator().manual_seed(0)
    x, y, old_x, old_y = (F.normalize(torch.randn(12, 6, generator=generator), dim=1) for _ in range(4))
    x.requires_grad_()
    scores, old = x @ y.T, old_x @ old_y.T
    right = old.argmax(1) == torch.arange(12)
    assert 0 < int(right.sum()) < 12
    target = torch.where(right[:, None], old, scores).softmax(1)
    reference = F.kl_div(scores.log_softmax(1), target, reduction="sum")
    ours, _ = OffDiagonal().distillation.directions(x, y, torch.ones(()), old_x, old_y)
    torch.testing.assert_close(ours, reference, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        torch.autograd.grad(ours, x)[0], torch.autograd.grad(reference, x)[0], atol=1e-6, rtol=1e-4
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_distillation_equals_the_definition(reduction: str) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (F.normalize(torch.randn(50, 8, generator=generator), dim=1).requires_grad_() for _ in range(2))
    teacher_x, teacher_y = (F.normalize(torch.randn(50, 5, generator=generator), dim=1) for _ in range(2))
    scale = torch.tensor(8.0, requires_grad=True)
    scores, old = scale * x @ y.T, 6.0 * teacher_x @ teacher_y.T
    reference = sum(
        F.kl_div(s.log_softmax(1), t.log_softmax(1), reduction="sum", log_target=True) / 2
        for s, t in ((scores, old), (scores.T, old.T))
    )
    reference = reference / 50 if reduction == "mean" else reference
    loss = SimilarityDistillation(6.0, reduction)(x, y, scale, teacher_x, teacher_y)  # type: ignore[arg-type]
    torch.testing.assert_close(loss, reference, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad(loss, (x, y, scale)), torch.autograd.grad(reference, (x, y, scale)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_student_equal_to_its_teacher_loses_nothing() -> None:
    x = F.normalize(torch.randn(30, 8, generator=torch.Generator().manual_seed(2)), dim=1)
    y = x.roll(1, 0)
    loss = SimilarityDistillation(5.0)(x.requires_grad_(), y, torch.tensor(5.0), x.detach(), y.detach())
    assert abs(float(loss.detach())) < 1e-6
    assert float(torch.autograd.grad(loss, x)[0].abs().max()) < 1e-6
