"""Mod-X as a method: the released code's numbers through its own loss, its teacher, and its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.space import Space, Tower
from vlcli.errors import VlcliError
from vlcli.methods.mod_x import FISHER_STEPS, ModX
from vlcli.registry import Registry
from vlcli.train.batches import Batch
from vlcli.train.method import Setup, Stage, StepState, set_trainable

GOLDEN = Path(__file__).parents[1] / "golden" / "mod_x" / "modx_loss.npz"
ANY: Any = None


class Flat(Encoder):
    """One layer."""

    def __init__(self, modality: str) -> None:
        super().__init__()
        self.modality, self.dim = modality, 4
        self.layer = nn.Linear(3, 4)

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        return Encoded(self.layer(inputs["x"]))


def build(keep: str, alpha: float = 2.0, modalities: tuple[str, ...] = ("images", "text")) -> ModX:
    torch.manual_seed(0)
    method = ModX(phases=({}, {"domain": "new"}), alpha=alpha, keep=keep)
    space = Space("demo", {name: Tower(Flat(name), name=f"x/{name}") for name in modalities})
    method.build(Setup(space, Registry(), 0, 10, list))
    return method


def state(stage: int, step: int = 0, steps: int = 10) -> StepState:
    return StepState(Stage(), stage, step, steps, step, 5, torch.Generator())


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    inputs = {name: {"x": torch.randn(6, 3, generator=generator)} for name in ("images", "text")}
    return Batch(inputs, {}, torch.arange(6), [], [])


@pytest.mark.parametrize("tag", ["mixed", "clean", "bad"])
def test_the_loss_matches_the_released_code(tag: str) -> None:
    with np.load(GOLDEN) as data:
        case = {name.removeprefix(f"{tag}."): torch.from_numpy(np.asarray(data[name]))
                for name in data.files if name.startswith(f"{tag}.")}  # fmt: skip
    image, text = case["image_features"].requires_grad_(), case["text_features"].requires_grad_()
    method = build("ranked-first", float(case["alpha"]))
    with torch.no_grad():
        method.space.logit_scale.fill_(float(case["logit_scale"].float().log()))
    encoded = {
        "x": functional.normalize(image, dim=-1), "y": functional.normalize(text, dim=-1),
        "teacher_x": functional.normalize(case["image_features_old"], dim=-1),
        "teacher_y": functional.normalize(case["text_features_old"], dim=-1),
    }  # fmt: skip
    terms = method.loss(encoded, ANY, state(1))
    for name, expected in (("contrastive", "contrastive"), ("kept", "distill"), ("total", "all")):
        torch.testing.assert_close(terms[name].detach(), case[f"loss_{expected}"], atol=1e-5, rtol=1e-5)
    terms["total"].backward()
    torch.testing.assert_close(image.grad, case["grad_image_features"], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(text.grad, case["grad_text_features"], atol=1e-5, rtol=1e-4)
    # In the first phase there is nothing to keep.
    assert set(method.loss(encoded, ANY, state(0))) == {"contrastive", "total"}


def test_the_teacher_is_the_model_of_the_phase_before_and_never_trains() -> None:
    method = build("ranked-first")
    method.on_stage_start(method.stages()[0], 0)
    assert method.teacher is None and "teacher_x" not in method.encode(batch())
    method.on_stage_start(method.stages()[1], 1)
    assert not [name for name in set_trainable(method, Stage()) if name.startswith("teacher")]
    encoded = method.encode(batch())
    torch.testing.assert_close(encoded["teacher_x"], encoded["x"])
    assert not encoded["teacher_x"].requires_grad
    with torch.no_grad():
        for parameter in method.space.parameters():
            parameter.add_(0.5)
    moved = method.encode(batch())
    assert torch.equal(moved["teacher_x"], encoded["teacher_x"]) and not torch.equal(moved["x"], encoded["x"])


def test_what_is_kept_differs() -> None:
    """From the same weights, moved the same way, the four baselines give four different losses."""
    found = {}
    for keep in ("nothing", "all", "ranked-first", "weights"):
        method = build(keep)
        if keep == "weights":
            method.loss(method.encode(batch()), batch(), state(0))["total"].backward()
            method.after_backward(state(0, step=9))
        method.on_stage_start(method.stages()[1], 1)
        with torch.no_grad():
            for parameter in method.space.parameters():
                parameter.add_(0.3)
        found[keep] = float(method.loss(method.encode(batch()), batch(), state(1))["total"].detach())
    assert len({round(value, 5) for value in found.values()}) == 4
    assert all(found["nothing"] < value for keep, value in found.items() if keep != "nothing")


def test_weight_consolidation_against_its_formula() -> None:
    method = build("weights")
    gathered: dict[str, Tensor] = {}
    steps = FISHER_STEPS + 20
    for step in (0, 19, 20, steps - 1):
        method.zero_grad()
        method.loss(method.encode(batch()), batch(), state(0))["total"].backward()
        method.after_backward(state(0, step, steps))
        if step >= 20:
            for name, parameter in method.trained():
                if parameter.grad is not None:
                    gathered[name] = (
                        gathered.get(name, torch.zeros_like(parameter)) + parameter.grad.square() / FISHER_STEPS
                    )
    method.on_stage_start(method.stages()[1], 1)
    assert float(method.weight_penalty().detach()) == 0
    start = {name: parameter.detach().clone() for name, parameter in method.trained()}
    with torch.no_grad():
        for parameter in method.space.parameters():
            parameter.add_(0.2)
    expected = sum(
        (gathered[name] * (one - start[name]).square()).sum() for name, one in method.trained() if name in gathered
    )
    torch.testing.assert_close(method.weight_penalty(), expected / 2)
    # Checkpoints hold it, and no stage trains it.
    assert any(name.startswith("importance.") for name in method.state_dict())
    assert not [name for name in set_trainable(method, Stage()) if not name.startswith("space.")]


def test_the_scale_stays_in_range() -> None:
    method = build("nothing")
    for given, expected in ((9.0, np.log(100)), (-1.0, 0.0)):
        with torch.no_grad():
            method.space.logit_scale.fill_(given)
        method.after_step(state(0))
        assert float(method.space.logit_scale) == pytest.approx(expected)


def test_it_evaluates_every_phase() -> None:
    asked = []

    def evaluate(split: str, prefix: str, overrides: dict[str, Any] | None) -> dict[str, float]:
        asked.append((split, prefix, overrides))
        return {f"{prefix}/R@1": 0.5}

    assert set(build("nothing").evaluate(evaluate)) == {"test/phase-0/R@1", "test/phase-1/R@1"}
    assert asked == [("test", "test/phase-0", {}), ("test", "test/phase-1", {"domain": "new"})]


def test_it_needs_text_and_one_other_modality() -> None:
    for modalities in (("text",), ("images", "text", "speech"), ("images",)):
        with pytest.raises(VlcliError, match="T101"):
            build("nothing", modalities=modalities)
