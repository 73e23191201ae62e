"""LaMP's losses against the released code's numbers, and who sees whom in the Q-Former."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from vlcli_motion.methods.lamp.config import LampConfig
from vlcli_motion.methods.lamp.model import Lamp, MotionTokens
from vlcli_motion.methods.lamp.objectives import (
    caption_loss,
    code_loss,
    contrast_loss,
    draw_negatives,
    matching_loss,
    max_similarity,
    scale_of,
)
from vlcli_motion.methods.lamp.qformer import self_attention_mask

GOLDEN = Path(__file__).parent / "golden" / "lamp"
SMALL = LampConfig(
    features=263, codes=16, code_dim=8, vq_width=16, vq_depth=2, max_tokens=6, vocabulary=20, width=16, layers=3,
    heads=2, hidden=32, max_words=8, dim=8, dropout=0.0, init_std=0.3,
)  # fmt: skip


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    """The released code's inputs, weights and losses."""
    with np.load(GOLDEN / "pretrain_losses.npz") as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


@pytest.fixture
def lamp() -> Lamp:
    """A small model with a codebook."""
    torch.manual_seed(0)
    model = Lamp(SMALL).eval()
    model.vq.quantiser.codebook.normal_()
    return model


def pairs() -> tuple[MotionTokens, Tensor, Tensor]:
    """Four motions of different lengths with texts of different lengths."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(6) < torch.tensor([6, 4, 5, 3]).unsqueeze(1)
    latents = torch.randn(4, 6, 8, generator=generator) * mask.unsqueeze(2)
    codes = torch.randint(16, (4, 6), generator=generator) * mask
    words = torch.arange(7) < torch.tensor([7, 5, 6, 4]).unsqueeze(1)
    ids = torch.randint(5, 20, (4, 7), generator=generator) * words
    return MotionTokens(latents, codes, mask), ids, words


def golden_similarity(golden: dict[str, Tensor]) -> Tensor:
    """Cosines of the golden features."""
    query = functional.linear(golden["in_query_output"], golden["w_motion_proj.weight"], golden["w_motion_proj.bias"])
    text = functional.linear(golden["in_text_output"], golden["w_text_proj.weight"], golden["w_text_proj.bias"])
    query, text = functional.normalize(query, dim=-1), functional.normalize(text[:, 0], dim=-1)
    torch.testing.assert_close(text, golden["out_text_feat"], atol=1e-5, rtol=0)
    mean = functional.normalize(query.mean(dim=1), dim=-1)
    torch.testing.assert_close(mean, golden["out_motion_mean_feat"], atol=1e-5, rtol=0)
    return max_similarity(query, text)


def test_contrast_is_the_released_one_with_the_raw_parameter(golden: dict[str, Tensor]) -> None:
    similarity = golden_similarity(golden)
    raw = golden["in_temp_raw"]
    official = contrast_loss(similarity, scale_of(raw, official=True))
    torch.testing.assert_close(official, golden["out_loss_contrastive"], atol=1e-5, rtol=0)
    assert abs(float(scale_of(raw)) - 1 / 0.07) < 1e-3
    assert abs(float(contrast_loss(similarity, scale_of(raw)) - official)) > 0.1


def test_matching_codes_and_total_are_the_released_ones(golden: dict[str, Tensor]) -> None:
    logits = functional.linear(
        golden["in_ptm_output"][:, :6], golden["w_match_head.weight"], golden["w_match_head.bias"]
    ).mean(dim=1)
    matching = matching_loss(logits)
    torch.testing.assert_close(matching, golden["out_loss_matching"], atol=1e-5, rtol=0)
    code_logits = functional.linear(golden["in_text_to_motion_output"], golden["w_motion_cls.weight"])
    codes = code_loss(code_logits, golden["in_motion_targets"])
    torch.testing.assert_close(codes, golden["out_loss_gen"], atol=1e-5, rtol=0)
    contrast = contrast_loss(golden_similarity(golden), scale_of(golden["in_temp_raw"], official=True))
    total = contrast + matching + codes + golden["in_lm_loss_stub"].float()
    torch.testing.assert_close(total, golden["out_loss_total"], atol=1e-5, rtol=0)


def test_equal_captions_share_the_target() -> None:
    similarity = torch.eye(4)
    similarity[0, 1] = similarity[1, 0] = 1.2
    scale = torch.tensor(20.0)
    assert contrast_loss(similarity, scale, torch.tensor([0, 0, 1, 2])) < contrast_loss(similarity, scale)


def test_negatives_are_never_the_own_pair_unless_official() -> None:
    logits = torch.full((3, 3), -5.0) + 20 * torch.eye(3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        drawn = draw_negatives(logits, generator=generator)
        assert not bool((drawn == torch.arange(3)).any())
    # As released, the own pair with its high score is what is drawn.
    assert draw_negatives(logits, generator=generator, official=True).tolist() == [0, 1, 2]
    same = draw_negatives(logits, torch.tensor([0, 0, 1]), generator)
    assert same.tolist()[:2] == [2, 2]


def test_negatives_are_mostly_hard_ones() -> None:
    logits = torch.tensor([[9.0, 4.0, 0.0, 0.0]] * 4)
    generator = torch.Generator().manual_seed(0)
    drawn = [int(draw_negatives(logits, generator=generator)[0]) for _ in range(50)]
    assert drawn.count(1) > 40


def test_caption_loss_is_the_next_word_without_padding() -> None:
    torch.manual_seed(0)
    logits = torch.randn(1, 4, 9)
    ids, mask = torch.tensor([[2, 5, 3, 0]]), torch.tensor([[True, True, True, False]])
    logs = logits.log_softmax(dim=-1)
    expected = -(logs[0, 0, 5] + logs[0, 1, 3]) / 2
    torch.testing.assert_close(caption_loss(logits, ids, mask), expected)


def test_masks_say_who_sees_whom() -> None:
    words = torch.tensor([[True, True, False]])
    both = self_attention_mask("both", 2, words)[0, 0].int().tolist()
    assert both == [[1, 1, 1, 1, 0]] * 5
    causal = self_attention_mask("causal", 2, words)[0, 0].int().tolist()
    assert causal == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0]]


def test_padding_changes_nothing(lamp: Lamp) -> None:
    tokens, ids, words = pairs()
    together = lamp.match_logits(tokens, ids, words)
    written = lamp.word_logits(tokens, ids, words)
    condition = lamp.text_condition(ids, words)
    for row in range(4):
        length, count = int(tokens.mask[row].sum()), int(words[row].sum())
        one = MotionTokens(tokens.latents[row : row + 1, :length], tokens.codes[row : row + 1, :length],
                           tokens.mask[row : row + 1, :length])  # fmt: skip
        own, own_mask = ids[row : row + 1, :count], words[row : row + 1, :count]
        torch.testing.assert_close(lamp.match_logits(one, own, own_mask)[0], together[row], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(lamp.word_logits(one, own, own_mask)[0], written[row, :count], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(lamp.text_condition(own, own_mask)[0], condition[row], atol=1e-4, rtol=1e-4)


def test_written_words_do_not_see_later_ones(lamp: Lamp) -> None:
    tokens, ids, words = pairs()
    before = lamp.word_logits(tokens, ids, words)
    changed = ids.clone()
    changed[:, 3] = 7 + (ids[:, 3] == 7).long()
    after = lamp.word_logits(tokens, changed, words)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert float((after[0, 3:] - before[0, 3:]).detach().abs().max()) > 1e-3


def test_queries_of_the_caption_task_are_those_of_the_contrast(lamp: Lamp) -> None:
    """The released code reuses keys and values of the queries; with the mask they are the same states."""
    tokens, ids, words = pairs()
    context = lamp.motion_context(tokens.latents)
    alone = lamp.qformer.ask(context, tokens.mask)
    together = lamp.qformer.together(ids, words, context, tokens.mask, "causal")
    torch.testing.assert_close(together[:, : SMALL.max_tokens], alone, atol=1e-5, rtol=1e-5)
    matched = lamp.qformer.together(ids, words, context, tokens.mask, "both")
    assert float((matched[:, : SMALL.max_tokens] - alone).detach().abs().max()) > 1e-3


def test_word_order_and_motion_order_matter(lamp: Lamp) -> None:
    tokens, ids, words = pairs()
    turned = ids.clone()
    turned[0, 1:6] = ids[0, 1:6].flip(0)
    for function in (lamp.text_features, lamp.text_condition):
        assert float((function(ids, words)[0] - function(turned, words)[0]).detach().abs().max()) > 1e-3
    context = lamp.motion_context(tokens.latents)
    backwards = lamp.motion_context(tokens.latents.flip(1))
    difference = lamp.qformer.ask(context)[0] - lamp.qformer.ask(backwards)[0]
    assert float(difference.detach().abs().max()) > 1e-3


def test_all_terms_train_their_modules_and_none_the_vq(lamp: Lamp) -> None:
    tokens, ids, words = pairs()
    losses = lamp.losses(tokens, ids, words, generator=torch.Generator().manual_seed(0))
    assert list(losses) == ["contrast", "matching", "caption", "codes"]
    torch.stack(list(losses.values())).sum().backward()
    for name, parameter in lamp.named_parameters():
        if name.startswith("vq."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name
    alone = lamp.losses(tokens, ids, words, terms=("contrast",))
    assert list(alone) == ["contrast"]
