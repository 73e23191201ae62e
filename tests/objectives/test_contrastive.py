"""InfoNCE and SigLIP in linear memory equal the plain full-matrix losses, with all gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vlcli.align import pairwise
from vlcli.align.objectives.info_nce import InfoNCE, Teacher, contrastive_direction
from vlcli.align.objectives.margin import Margin
from vlcli.align.objectives.siglip import SigLIP
from vlcli.align.pairwise import pairwise_argmax, pairwise_logsumexp, pairwise_softplus_sum, softmax_average
from vlcli.errors import VlcliError

GOLDEN = Path(__file__).parents[1] / "golden"


def pairs(batch: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = F.normalize(torch.randn(batch, dim, generator=generator, dtype=dtype), dim=1)
    y = F.normalize(torch.randn(batch, dim, generator=generator, dtype=dtype) + 2 * x, dim=1)
    return x.requires_grad_(), y.requires_grad_()


def same(loss: Tensor, reference: Tensor, inputs: tuple[Tensor, ...], tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(loss, reference, rtol=tolerance, atol=tolerance)
    for ours, theirs in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(reference, inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=tolerance)
        # not only small, but right relative to the size of the gradient
        assert (ours - theirs).norm() <= 2e-5 * theirs.norm() + 1e-7


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several ragged tiles along both axes even in small tests."""
    monkeypatch.setattr(pairwise, "_CPU_TILE", (16, 24))


# 14.3 takes the path without a running maximum, 100 the one with it.
@pytest.mark.parametrize("scale", [1.0, 14.3, 100.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_info_nce_equals_the_full_matrix(scale: float, smoothing: float) -> None:
    x, y = pairs(70, 32)
    factor = torch.tensor(scale, requires_grad=True)
    scores = factor * x @ y.T
    own = torch.arange(70)
    reference = (
        F.cross_entropy(scores, own, label_smoothing=smoothing)
        + F.cross_entropy(scores.T, own, label_smoothing=smoothing)
    ) / 2
    same(InfoNCE(smoothing)(x, y, factor), reference, (x, y, factor))


@pytest.mark.parametrize("x_weight", [0.0, 0.25, 1.0])
def test_info_nce_weighs_the_directions(x_weight: float) -> None:
    x, y = pairs(30, 8)
    factor = torch.tensor(10.0, requires_grad=True)
    scores = factor * x @ y.T
    own = torch.arange(30)
    reference = x_weight * F.cross_entropy(scores, own) + (1 - x_weight) * F.cross_entropy(scores.T, own)
    same(InfoNCE(x_weight=x_weight)(x, y, factor), reference, (x, y, factor))


@pytest.mark.parametrize("scale", [10.0, 90.0])
def test_info_nce_with_ids_queue_and_smoothing(scale: float) -> None:
    x, y = pairs(40, 16)
    extra_x, extra_y = pairs(25, 16, seed=5)
    factor = torch.tensor(scale, requires_grad=True)
    ids = torch.randint(0, 12, (40,), generator=torch.Generator().manual_seed(1))
    extra_ids = torch.randint(-1, 20, (25,), generator=torch.Generator().manual_seed(2))
    reference = x.new_zeros(())
    for queries, keys, extra in ((x, y, extra_y), (y, x, extra_x)):
        targets = (ids[:, None] == torch.cat([ids, extra_ids])[None]).float()
        targets = targets / targets.sum(1, keepdim=True) * 0.9 + 0.1 / 65
        scores = factor * queries @ torch.cat([keys, extra]).T
        reference = reference - (targets * scores.log_softmax(1)).sum(1).mean() / 2
    loss = InfoNCE(0.1)(x, y, factor, ids=ids, extra_x=extra_x, extra_y=extra_y, extra_ids=extra_ids)
    same(loss, reference, (x, y, extra_x, extra_y, factor))


def test_info_nce_with_a_teacher_and_a_queue() -> None:
    x, keys = pairs(20, 8)
    teacher, _ = pairs(20, 8, seed=7)
    queue, _ = pairs(13, 8, seed=8)
    factor = torch.tensor(12.0, requires_grad=True)
    candidates = torch.cat([keys, queue])
    soft = (20.0 * teacher.detach() @ candidates.detach().T).softmax(1)
    targets = 0.4 * soft + 0.6 * torch.eye(20, 33)
    reference = -(targets * (factor * x @ candidates.T).log_softmax(1)).sum(1).mean()
    guide = Teacher(teacher.detach(), keys.detach(), 20.0, 0.4, queue.detach())
    loss = contrastive_direction(x, keys, factor, extra_keys=queue, teacher=guide).mean()
    same(loss, reference, (x, keys, queue, factor))


@pytest.mark.parametrize(("scale", "bias"), [(10.0, -10.0), (100.0, 3.0)])
def test_siglip_equals_the_full_matrix(scale: float, bias: float) -> None:
    x, y = pairs(70, 32)
    factor, shift = torch.tensor(scale, requires_grad=True), torch.tensor([bias], requires_grad=True)
    ids = torch.arange(70)
    ids[5:9] = 3
    for given in (None, ids):
        sign = 2 * torch.eye(70) - 1 if given is None else 2.0 * (given[:, None] == given[None]) - 1
        reference = -F.logsigmoid(sign * (factor * x @ y.T + shift)).sum() / 70
        same(SigLIP()(x, y, factor, bias=shift, ids=given), reference, (x, y, factor, shift), 2e-5)


def test_float64_gradients_are_exact() -> None:
    x, y = pairs(7, 3, dtype=torch.float64)
    scale = torch.tensor(60.0, dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)

    def both(a: Tensor, b: Tensor, s: Tensor) -> Tensor:
        row, column = pairwise_logsumexp(a, b, s)
        return (row * torch.arange(7)).sum() + (column**2).sum()

    assert torch.autograd.gradcheck(both, (x, y, scale))
    assert torch.autograd.gradcheck(pairwise_softplus_sum, (x, y, scale, bias))


def test_half_precision_inputs_accumulate_in_float32() -> None:
    x, y = pairs(200, 64)
    low_x, low_y = x.detach().bfloat16().requires_grad_(), y.detach().bfloat16().requires_grad_()
    scale = torch.tensor(30.0)
    exact = InfoNCE()(low_x.float(), low_y.float(), scale)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = InfoNCE()(low_x, low_y, scale)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, rtol=1e-6, atol=1e-6)
    loss.backward()
    assert low_x.grad is not None and low_x.grad.dtype == torch.bfloat16


def test_no_square_matrix_is_ever_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            for value in result if isinstance(result, (tuple, list)) else [result]:
                if isinstance(value, Tensor):
                    Largest.numbers = max(Largest.numbers, value.numel())
            return result

    monkeypatch.setattr(pairwise, "_CPU_TILE", (64, 128))
    batch, dim = 500, 20
    x, y = pairs(batch, dim)
    scale = torch.tensor(10.0, requires_grad=True)
    guide = Teacher(x.detach(), y.detach(), 10.0, 0.5)
    ids = torch.arange(batch) // 2
    with Largest():
        InfoNCE(0.1)(x, y, scale, ids=ids, x_teacher=guide, y_teacher=guide).backward()
        SigLIP()(x, y, scale, bias=torch.tensor(-10.0), ids=ids).backward()
        pairwise_argmax(x, y)
    assert batch * dim <= Largest.numbers <= 2 * batch * dim < batch**2 / 10


def test_softmax_average_and_argmax() -> None:
    query, key = pairs(33, 8)
    value = torch.randn(33, 5, generator=torch.Generator().manual_seed(3), requires_grad=True)
    scores = 40.0 * query.detach() @ key.detach().T
    average, normaliser = softmax_average(query, key, value, 40.0)
    torch.testing.assert_close(normaliser, scores.logsumexp(1))
    weight = torch.randn(33, 5, generator=torch.Generator().manual_seed(4))
    same((average * weight).sum(), ((scores.softmax(1) @ value) * weight).sum(), (value,))
    twins = torch.cat([key, key])
    torch.testing.assert_close(pairwise_argmax(query, twins), (query @ key.T).argmax(1))


@pytest.mark.parametrize("hardest", [True, False])
def test_margin_equals_the_definition(hardest: bool) -> None:
    x, y = pairs(20, 6)
    ids = torch.arange(20)
    ids[3] = 4
    reference = x.new_zeros(())
    for scores in (x @ y.T, y @ x.T):
        for i in range(20):
            wrong = [j for j in range(20) if ids[j] != ids[i]]
            hinge = torch.stack([(0.2 + scores[i, j] - scores[i, i]).clamp_min(0) for j in wrong])
            reference = reference + (hinge.max() if hardest else hinge.mean()) / 40
    same(Margin(0.2, hardest)(x, y, ids=ids), reference, (x, y))


def test_refusals_name_the_cause() -> None:
    scale = torch.tensor(1.0)
    for x, y, code in (
        (torch.ones(0, 4), torch.ones(0, 4), "T301"),
        (torch.ones(1, 4), torch.ones(1, 4), "T302"),
        (torch.ones(3, 4), torch.ones(3, 5), "T303"),
    ):
        for objective in (InfoNCE(), SigLIP(), Margin()):
            with pytest.raises(VlcliError) as caught:
                objective(x, y, scale)
            assert caught.value.code == code
    two = torch.ones(2, 4)
    with pytest.raises(VlcliError) as caught:
        InfoNCE()(two, two, scale, ids=torch.arange(2), extra_y=two)
    assert caught.value.code == "T304"


def test_one_pair_may_be_contrasted_with_a_queue() -> None:
    x, y = pairs(1, 4)
    loss = InfoNCE(x_weight=1.0)(x, y, torch.tensor(5.0), extra_y=torch.eye(4))
    reference = F.cross_entropy(5.0 * x @ torch.cat([y, torch.eye(4)]).T, torch.tensor([0]))
    torch.testing.assert_close(loss, reference)


def test_llm2clip_contrast_matches_the_released_code() -> None:
    data = np.load(GOLDEN / "llm2clip" / "text_adaptor_and_loss.npz")
    image, text = torch.from_numpy(data["image_features"]), torch.from_numpy(data["text_features"])
    loss = InfoNCE()(image, text, torch.tensor(float(data["logit_scale"])))
    torch.testing.assert_close(loss, torch.tensor(float(data["loss"])), atol=1e-5, rtol=1e-5)


def test_ulip_three_way_contrast_matches_the_released_code() -> None:
    data = {name: torch.from_numpy(np.asarray(value)) for name, value in np.load(GOLDEN / "ulip" / "loss.npz").items()}
    cloud = data["in_pc_embed"].requires_grad_()
    unit = F.normalize(cloud, dim=-1)
    text, image = F.normalize(data["in_text_embed"], dim=-1), F.normalize(data["in_image_embed"], dim=-1)
    scale = data["in_logit_scale"]
    loss = InfoNCE()(unit, text, scale) + InfoNCE()(unit, image, scale)
    loss.backward()
    torch.testing.assert_close(loss.detach(), data["out_loss"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(cloud.grad, data["out_grad_pc_embed"], atol=1e-5, rtol=1e-4)


def test_second_derivatives_are_refused_not_wrong() -> None:
    x, y = pairs(6, 4)
    (first,) = torch.autograd.grad(InfoNCE()(x, y, torch.tensor(3.0)), x, create_graph=True)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(first.sum(), x)
