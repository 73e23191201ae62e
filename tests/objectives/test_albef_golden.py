"""The whole ALBEF pre-training step against vectors from the authors' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from vlcli_images.methods.albef import Albef, Draws, released_state
from vlcli_images.methods.albef_layers import AlbefConfig

from vlcli.align.objectives.matching import negative_weights

GOLDEN = Path(__file__).parents[1] / "golden" / "albef" / "pretrain_step.npz"
CONFIG = AlbefConfig(
    image_size=64, patch=16, image_width=24, image_layers=2, image_heads=2, vocabulary=60, text_width=24,
    text_layers=4, text_heads=2, text_hidden=48, fusion_layer=2, max_tokens=32, dim=12, queue=12,
    mask_probability=0.3, mask_id=3, special_ids=(0, 1, 2),
)  # fmt: skip


def close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 2e-5) -> None:
    torch.testing.assert_close(actual.detach(), expected, atol=tolerance, rtol=tolerance)


def golden_model() -> tuple[Albef, dict[str, torch.Tensor]]:
    with np.load(GOLDEN) as data:
        arrays = {name: torch.from_numpy(np.asarray(data[name])) for name in data.files}
    model = Albef(CONFIG)
    state = released_state({name[2:]: value for name, value in arrays.items() if name.startswith("w.")})
    model.load_state_dict(state, strict=True)
    return model.eval(), arrays


@pytest.mark.parametrize("tag", ["alpha0", "alpha04"])
def test_pretraining_step_matches_the_released_code(tag: str) -> None:
    model, arrays = golden_model()
    case = {name.removeprefix(f"{tag}."): value for name, value in arrays.items() if name.startswith(f"{tag}.")}
    draws = Draws(case["neg_image_for_text"], case["neg_text_for_image"], case["mlm_input_ids"], case["mlm_labels"])
    image, input_ids, mask = arrays["image"], arrays["input_ids"], arrays["attention_mask"]
    losses = model.pretraining_losses(image, input_ids, mask, float(case["alpha"]), draws=draws)
    close(losses.ita, case["loss_ita"])
    close(losses.itm, case["loss_itm"])
    close(losses.mlm, case["loss_mlm"])

    losses.total.backward()
    assert model.temperature.value.grad is not None
    close(model.temperature.value.grad, case["grad_temp"])
    close(model.online.vision_proj.weight.grad, case["grad_vision_proj_weight"])
    close(model.online.text_proj.weight.grad, case["grad_text_proj_weight"])
    close(model.itm_head.weight.grad, case["grad_itm_head_weight"])

    close(model.image_queue.features_buffer.T, case["image_queue_after"])
    close(model.text_queue.features_buffer.T, case["text_queue_after"])
    assert int(model.image_queue.pointer) == int(case["queue_ptr_after"])
    close(model.momentum.module.vision_proj.weight, case["vision_proj_m_weight_after"], 1e-7)


@pytest.mark.parametrize("tag", ["alpha0", "alpha04"])
def test_features_negatives_and_fusion_match_the_released_code(tag: str) -> None:
    model, arrays = golden_model()
    case = {name.removeprefix(f"{tag}."): value for name, value in arrays.items() if name.startswith(f"{tag}.")}
    image, input_ids, mask = arrays["image"], arrays["input_ids"], arrays["attention_mask"]
    model.momentum.update(model.online)
    image_states, image_features = model.online.image(image)
    text_states, text_features = model.online.text(input_ids, mask)
    _, image_features_m = model.momentum.module.image(image)
    _, text_features_m = model.momentum.module.text(input_ids, mask)
    close(image_states, case["image_embeds"])
    close(image_features, case["image_feat"])
    close(text_features, case["text_feat"])
    close(image_features_m, case["image_feat_m"])
    close(text_features_m, case["text_feat_m"])
    real = mask.bool()  # padded positions attend, but nothing reads them
    close(text_states[real], case["text_embeds"][real])
    close(model.online.text_encoder.fuse(text_states, mask, image_states)[real], case["fusion_pos"][real])
    # The softmax behind the weights runs over the batch part of the candidates.
    scale = 1 / 0.07
    close(negative_weights(scale * text_features @ image_features_m.T), case["weights_t2i"])
    close(negative_weights(scale * image_features @ text_features_m.T), case["weights_i2t"])


def test_own_draws_are_hard_negatives_and_repeatable() -> None:
    model, arrays = golden_model()
    arguments = arrays["image"], arrays["input_ids"], arrays["attention_mask"]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first = model.pretraining_losses(*arguments, generator=torch.Generator().manual_seed(3))
    model.load_state_dict(state)
    second = model.pretraining_losses(*arguments, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(first.total, second.total, rtol=0, atol=0)
    own = torch.arange(4)
    assert not bool((first.draws.image_for_text == own).any() | (first.draws.text_for_image == own).any())
    untouched = first.draws.labels == -100
    assert torch.equal(first.draws.masked_ids[untouched], arrays["input_ids"][untouched])


def test_all_parameters_but_the_teachers_learn() -> None:
    model, arrays = golden_model()
    losses = model.pretraining_losses(arrays["image"], arrays["input_ids"], arrays["attention_mask"])
    losses.total.backward()
    # rows of the type embedding other than 0 get zeros, but every tensor gets a gradient
    without = [
        name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None
    ]
    assert without == []
    assert all(not parameter.requires_grad for parameter in model.momentum.parameters())
