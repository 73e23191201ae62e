"""GradCache gives the whole batch's gradient at the memory of one micro-batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlcli.align.encoder import Encoded
from vlcli.align.gradcache import gradcache_backward, split_inputs
from vlcli.align.late_interaction import late_interaction
from vlcli.align.logit_scale import LogitScale
from vlcli.align.objectives.info_nce import InfoNCE
from vlcli.errors import VlcliError


class Dual(nn.Module):
    """Two towers, one of them frozen at its start, and a scale that only the loss uses."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.image = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 8))
        self.text = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 8))
        self.text[0].requires_grad_(False)
        self.scale = LogitScale()

    def encode(self, batch: dict[str, Any]) -> dict[str, Any]:
        words = F.normalize(self.text(batch["text"]["tokens"]), dim=-1)
        return {
            "image": F.normalize(self.image(batch["image"]), dim=-1),
            "text": Encoded(pooled=F.normalize(words.mean(1), dim=-1), tokens=words, mask=batch["text"]["mask"]),
        }

    def loss(self, out: dict[str, Any]) -> dict[str, Tensor]:
        contrast = InfoNCE(0.1)(out["image"], out["text"].pooled, self.scale())
        fine = late_interaction(out["text"].tokens, out["image"].unsqueeze(1), out["text"].mask)
        return {"contrast": contrast, "fine": F.cross_entropy(fine, torch.arange(len(fine)))}


def batch_of(size: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(size, 4, 5, generator=generator)
    mask = torch.arange(4)[None] < torch.randint(1, 5, (size, 1), generator=generator)
    return {"image": torch.randn(size, 6, generator=generator), "text": {"tokens": tokens, "mask": mask}}


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


@pytest.mark.parametrize("micro_batch", [1, 5, 22, 64])
def test_gradient_equals_the_full_batch(micro_batch: int) -> None:
    batch, model = batch_of(22), Dual()
    reference = model.loss(model.encode(batch))
    torch.stack(list(reference.values())).sum().backward()
    expected = gradients(model)
    model.zero_grad()
    terms = gradcache_backward(model.encode, model.loss, split_inputs(batch, micro_batch))
    assert set(expected) == set(gradients(model)) and "scale.value" in expected and "text.0.weight" not in expected
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)
    for name, term in terms.items():
        assert not term.requires_grad
        torch.testing.assert_close(term, reference[name].detach())


def test_gradients_add_up_like_backward_does() -> None:
    batch, model = batch_of(8), Dual()
    gradcache_backward(model.encode, model.loss, split_inputs(batch, 3))
    once = gradients(model)
    gradcache_backward(model.encode, model.loss, split_inputs(batch, 3))
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, 2 * once[name])


def test_dropout_is_the_same_in_both_passes() -> None:
    batch, model = batch_of(12), Dual(dropout=0.5)
    seen: list[Tensor] = []

    def encode(part: dict[str, Any]) -> dict[str, Any]:
        out = model.encode(part)
        seen.append(out["image"].detach())
        return out

    torch.manual_seed(9)
    terms = gradcache_backward(encode, model.loss, split_inputs(batch, 4))
    after = torch.rand(3)
    for first, second in zip(seen[:3], seen[3:], strict=True):
        assert torch.equal(first, second)
    cached = gradients(model)

    # The same draws in one graph: micro-batches encoded in order, then one loss over all.
    model.zero_grad()
    torch.manual_seed(9)
    parts = [model.encode(part) for part in split_inputs(batch, 4)]
    whole = {
        "image": torch.cat([part["image"] for part in parts]),
        "text": Encoded(
            *(torch.cat([getattr(one["text"], key) for one in parts]) for key in ("pooled", "tokens", "mask"))
        ),
    }  # fmt: skip
    reference = model.loss(whole)
    torch.stack(list(reference.values())).sum().backward()
    assert torch.equal(after, torch.rand(3))  # the random state goes on as if nothing was encoded twice
    torch.testing.assert_close(terms["contrast"], reference["contrast"].detach())
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(cached[name], gradient, atol=1e-6, rtol=1e-4)


def test_own_generators_are_replayed_too() -> None:
    generator = torch.Generator().manual_seed(3)
    layer = nn.Linear(4, 4)
    draws: list[float] = []

    def encode(part: Tensor) -> Tensor:
        noise = torch.rand(1, generator=generator)
        draws.append(float(noise))
        return layer(part) * noise

    gradcache_backward(
        encode, lambda out: {"loss": out.square().sum()}, split_inputs(torch.randn(6, 4), 2), generators=[generator]
    )
    assert draws[:3] == draws[3:] and len(set(draws)) == 3


def test_graph_memory_does_not_grow_with_the_number_of_micro_batches() -> None:
    """Counts the numbers that autograd keeps for backward: at most those of one micro-batch and of the loss."""
    model = Dual()
    peaks = []
    for pieces in (1, 4, 16):
        alive, peak = 0, 0

        def pack(tensor: Tensor) -> tuple[Tensor, int]:
            nonlocal alive, peak
            alive += tensor.numel()
            peak = max(peak, alive)
            return tensor, tensor.numel()

        def encode(part: dict[str, Any]) -> dict[str, Any]:
            nonlocal alive
            alive = 0  # the previous micro-batch's graph was freed by its backward pass
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed[0]):
                return model.encode(part)

        gradcache_backward(encode, model.loss, split_inputs(batch_of(8 * pieces), 8))
        peaks.append(peak)
    assert peaks[0] == peaks[1] == peaks[2] > 0


def test_sync_is_suppressed_in_all_but_the_last_backward() -> None:
    import contextlib
    from collections.abc import Iterator

    model = Dual()
    quiet = 0
    steps: list[tuple[str, bool]] = []

    @contextlib.contextmanager
    def no_sync() -> Iterator[None]:
        nonlocal quiet
        quiet += 1
        yield
        quiet -= 1

    model.image[0].weight.register_post_accumulate_grad_hook(lambda _: steps.append(("tower", quiet > 0)))
    model.scale.value.register_post_accumulate_grad_hook(lambda _: steps.append(("scale", quiet > 0)))
    gradcache_backward(model.encode, model.loss, split_inputs(batch_of(9), 3), sync_context=no_sync)
    assert [quiet for name, quiet in steps if name == "tower"] == [True, True, False]
    assert [quiet for name, quiet in steps if name == "scale"][-1] is False


def test_refusals() -> None:
    model = Dual()
    with pytest.raises(VlcliError) as caught:
        gradcache_backward(model.encode, model.loss, [])
    assert caught.value.code == "T301"
    with pytest.raises(VlcliError) as caught:
        split_inputs({"a": torch.ones(3, 1), "b": torch.ones(4, 1)}, 2)
    assert caught.value.code == "T307"
    with pytest.raises(VlcliError) as caught:
        gradcache_backward(lambda part: part, lambda out: {"loss": torch.ones(())}, [torch.ones(2, 2)])
    assert caught.value.code == "T309"
