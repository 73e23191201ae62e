"""The small parts: scale, momentum, queue, soft targets, late interaction, lexical heads, matching, masked words."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vlcli.align.late_interaction import TokenWeighting, late_interaction, token_weights
from vlcli.align.lexical import LexicalHead, bag_of_words, elu1p, flops_penalty, keep_top, top_mask
from vlcli.align.logit_scale import LogitScale, Temperature
from vlcli.align.momentum import FrozenCopy, MomentumCopy, moving_average_
from vlcli.align.objectives.masked_lm import IGNORED, MaskedLanguageModel, mask_tokens
from vlcli.align.objectives.matching import Matching, negative_weights, sample_hard_negatives
from vlcli.align.queue import FeatureQueue
from vlcli.align.soft_targets import linear_ramp
from vlcli.errors import VlcliError

GOLDEN = Path(__file__).parents[1] / "golden"


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.mark.parametrize("part", [LogitScale(), Temperature(maximum=0.5)])
def test_scale_stays_in_range_and_can_come_back(part: LogitScale | Temperature) -> None:
    assert math.isclose(float(part().detach()), 1 / 0.07, rel_tol=1e-5)
    outside = {"high": 50.0, "low": -50.0}
    for value in outside.values():
        with torch.no_grad():
            part.value.fill_(value)
        scale = part()
        lowest, highest = (1.0, 100.0) if isinstance(part, LogitScale) else (2.0, 1000.0)
        assert lowest - 1e-4 <= float(scale.detach()) <= highest * 1.0001
        (gradient,) = torch.autograd.grad(scale, part.value)
        assert float(gradient) != 0
        part.clamp_()
        torch.testing.assert_close(part(), scale)
        assert abs(float(part.value.detach())) < 50


def test_momentum_copy_follows_and_never_learns() -> None:
    online = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    copy = MomentumCopy(online, 0.9)
    before = copy.module[0].weight.clone()
    with torch.no_grad():
        online[0].weight.add_(1.0)
        online[1].running_mean.fill_(7.0)
    copy.update(online)
    torch.testing.assert_close(copy.module[0].weight, before + 0.1)
    torch.testing.assert_close(copy.module[1].running_mean, torch.full((3,), 7.0))
    copy.update(online, momentum=0.0)
    torch.testing.assert_close(copy.module[0].weight, online[0].weight)
    assert not copy(torch.randn(4, 3)).requires_grad
    with pytest.raises(ValueError, match="one architecture"):
        moving_average_(nn.Linear(3, 3), nn.Linear(3, 3, bias=False), 0.5)


def test_frozen_copy_stays_in_evaluation_mode() -> None:
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5))
    wrapper = nn.ModuleList([FrozenCopy(module)]).train()
    teacher = wrapper[0]
    inputs = torch.randn(8, 2)
    torch.testing.assert_close(teacher(inputs), teacher(inputs))
    torch.testing.assert_close(teacher.module[0].running_mean, torch.zeros(2))
    assert not teacher.module[0].training


def test_queue_wraps_and_keeps_the_newest() -> None:
    queue = FeatureQueue(5, 1)
    assert queue.features.shape == (0, 1)
    pushed: list[float] = []
    for size in (2, 2, 3, 1, 7, 4):  # neither divides 5 nor stays below it
        batch = torch.arange(len(pushed), len(pushed) + size).float()
        pushed += batch.tolist()
        queue.enqueue(batch.unsqueeze(1), batch.long())
        assert sorted(queue.features.flatten().tolist()) == pushed[-5:]
        assert queue.features.flatten().tolist() == queue.ids.tolist()
    restored = FeatureQueue(5, 1)
    file = io.BytesIO()
    torch.save(queue.state_dict(), file)
    file.seek(0)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for either in (queue, restored):
        either.enqueue(torch.tensor([[100.0]]))
    assert torch.equal(queue.features, restored.features)
    assert queue.ids.tolist().count(FeatureQueue.NO_ID) == 1


def test_random_queue_counts_from_the_start() -> None:
    queue = FeatureQueue(6, 4, random=True, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(queue.features.norm(dim=1), torch.ones(6))
    snapshot = queue.features
    queue.enqueue(torch.zeros(2, 4))
    assert bool((snapshot[:2].norm(dim=1) > 0).all())  # a graph that holds the old features is not disturbed


def test_linear_ramp() -> None:
    assert [linear_ramp(step, 4, 0.4) for step in (0, 2, 4, 9)] == [0.0, 0.2, 0.4, 0.4]
    assert linear_ramp(0, 0, 0.4) == 0.4


@pytest.mark.parametrize("block", [2, 64])
def test_late_interaction_equals_a_loop(block: int) -> None:
    x, y = unit(5, 4, 6).requires_grad_(), unit(3, 7, 6, seed=1).requires_grad_()
    x_mask = torch.arange(4)[None] < torch.tensor([4, 1, 2, 3, 4])[:, None]
    y_mask = torch.arange(7)[None] < torch.tensor([7, 2, 5])[:, None]
    x_weight, y_weight = token_weights(x_mask), token_weights(y_mask, torch.randn(3, 7))
    rows = []
    for i in range(5):
        for j in range(3):
            cosines = x[i][x_mask[i]] @ y[j][y_mask[j]].T
            of_x = (cosines.amax(1) * x_weight[i][x_mask[i]]).sum()
            of_y = (cosines.amax(0) * y_weight[j][y_mask[j]]).sum()
            rows.append((cosines.amax(1).sum(), (of_x + of_y) / 2))
    plain = late_interaction(x, y, x_mask, y_mask, block=block)
    torch.testing.assert_close(plain.flatten(), torch.stack([row[0] for row in rows]))
    weighted = late_interaction(x, y, x_mask, y_mask, x_weight, y_weight, block=block)
    reference = torch.stack([row[1] for row in rows])
    torch.testing.assert_close(weighted.flatten(), reference)
    upstream = torch.randn(15, generator=torch.Generator().manual_seed(2))
    for ours, theirs in zip(
        torch.autograd.grad((weighted.flatten() * upstream).sum(), (x, y)),
        torch.autograd.grad((reference * upstream).sum(), (x, y)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_weighted_interaction_matches_the_released_code() -> None:
    """HBI's value function gets the cosines; tokens that are one-hot in a joint space reproduce any cosines."""
    data = {
        name: torch.from_numpy(np.asarray(value)) for name, value in np.load(GOLDEN / "hbi" / "wti_value.npz").items()
    }
    cosines = data["in_sim_abtv"]
    texts, videos, words, frames = cosines.shape
    text_weight = token_weights(data["in_text_mask"].bool(), data["in_text_logit"])
    video_weight = token_weights(data["in_video_mask"].bool(), data["in_video_logit"])
    for a in range(texts):
        for b in range(videos):
            score = late_interaction(
                cosines[a, b].unsqueeze(0), torch.eye(frames).unsqueeze(0),
                data["in_text_mask"][a : a + 1], data["in_video_mask"][b : b + 1],
                text_weight[a : a + 1], video_weight[b : b + 1],
            )  # fmt: skip
            torch.testing.assert_close(score[0, 0], data["out_value_ab"][a, b], atol=1e-5, rtol=1e-5)
    assert words == text_weight.shape[1]


def test_token_weighting_ignores_padding() -> None:
    weighting = TokenWeighting(6)
    tokens, mask = unit(2, 4, 6), torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    weights = weighting(tokens, mask)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert float(weights[0, 2:].detach().abs().sum()) == 0


@pytest.mark.parametrize("activation", ["log1p_relu", "elu1p"])
def test_lexical_head_equals_the_definition(activation: str) -> None:
    head = LexicalHead(6, 40, activation, block=2)  # type: ignore[arg-type]
    tokens, mask = unit(5, 7, 6).requires_grad_(), torch.arange(7)[None] < torch.tensor([7, 1, 3, 5, 2])[:, None]
    scores = tokens @ head.words.weight.T + head.words.bias
    act = elu1p(scores) if activation == "elu1p" else torch.log1p(scores.relu())
    reference = act.masked_fill(~mask.unsqueeze(-1), -1.0).amax(1)
    weights = head(tokens, mask)
    torch.testing.assert_close(weights, reference)
    parameters = (tokens, *head.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(weights.square().sum(), parameters),
        torch.autograd.grad(reference.square().sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_sparsity_helpers() -> None:
    weights = torch.tensor([[0.1, 3.0, 2.0, 0.5], [1.0, 0.0, 4.0, 2.0]])
    assert top_mask(weights, 2).tolist() == [[False, True, True, False], [False, False, True, True]]
    bag = bag_of_words(torch.tensor([[0, 0], [1, 3]]), 4, special_ids=torch.tensor([3]))
    assert bag.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert keep_top(weights, 1, also=bag).tolist() == [[pytest.approx(0.1), 3.0, 0, 0], [0, 0.0, 4.0, 0]]
    expected = sum(float(weights[:, v].mean()) ** 2 for v in range(4))
    assert float(flops_penalty(weights)) == pytest.approx(expected)


def test_hard_negatives_follow_the_softmax_without_the_own_pair() -> None:
    x, y = unit(4, 3), unit(4, 3, seed=1)
    generator = torch.Generator().manual_seed(0)
    # 500 copies of the same four pairs in one batch; ids keep copies of the own pair out
    copies = torch.arange(4).repeat(500)
    drawn = sample_hard_negatives(x.repeat(500, 1), y.repeat(500, 1), 3.0, generator, copies) % 4
    weights = negative_weights(3.0 * x @ y.T)
    assert float(weights.diagonal().sum()) == 0
    expected = weights / weights.sum(1, keepdim=True)
    for row in range(4):
        share = torch.bincount(drawn[copies == row], minlength=4) / 500
        torch.testing.assert_close(share, expected[row], atol=0.09, rtol=0)
    # a model that is sure of its pairs still finds its negatives, and ids widen what is never drawn
    sure = torch.eye(4)
    ids = torch.tensor([0, 0, 1, 1])
    for _ in range(20):
        drawn = sample_hard_negatives(sure, sure, 500.0, generator, ids)
        assert bool((ids[drawn] != ids).all())
    with pytest.raises(VlcliError) as caught:
        sample_hard_negatives(x, y, 1.0, ids=torch.zeros(4, dtype=torch.long))
    assert caught.value.code == "T306"


def test_matching_is_a_two_way_cross_entropy() -> None:
    logits = torch.randn(9, 2)
    labels = torch.tensor([1] * 3 + [0] * 6)
    torch.testing.assert_close(Matching()(logits[:3], logits[3:]), F.cross_entropy(logits, labels))


def test_masking_keeps_specials_and_its_shares() -> None:
    ids = torch.randint(10, 1000, (200, 100), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, 60:] = 1, 0
    kept = ids.clone()
    arguments = {"mask_id": 3, "vocabulary_size": 1000, "special_ids": (0, 1, 2), "probability": 0.3}
    masked, labels = mask_tokens(ids, **arguments, generator=torch.Generator().manual_seed(5))  # type: ignore[arg-type]
    again, _ = mask_tokens(ids, **arguments, generator=torch.Generator().manual_seed(5))  # type: ignore[arg-type]
    assert torch.equal(ids, kept) and torch.equal(masked, again)
    chosen = labels != IGNORED
    assert not bool(chosen[:, 0].any() | chosen[:, 60:].any())
    assert torch.equal(labels[chosen], ids[chosen]) and torch.equal(masked[~chosen], ids[~chosen])
    assert float(chosen[:, 1:60].float().mean()) == pytest.approx(0.3, abs=0.02)
    assert float((masked[chosen] == 3).float().mean()) == pytest.approx(0.8, abs=0.02)
    assert float((masked[chosen] == ids[chosen]).float().mean()) == pytest.approx(0.1, abs=0.02)


def test_masked_language_model_with_soft_targets() -> None:
    logits, teacher = torch.randn(2, 5, 7, requires_grad=True), torch.randn(2, 5, 7)
    labels = torch.full((2, 5), IGNORED)
    labels[0, 1], labels[1, 4], labels[1, 0] = 3, 0, 6
    hidden = labels != IGNORED
    hard = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    soft = -(teacher.softmax(-1) * logits.log_softmax(-1)).sum(-1)[hidden].mean()
    torch.testing.assert_close(MaskedLanguageModel()(logits, labels), hard)
    torch.testing.assert_close(MaskedLanguageModel()(logits, labels, teacher, 0.4), 0.6 * hard + 0.4 * soft)
    nothing = MaskedLanguageModel()(logits, torch.full((2, 5), IGNORED))
    assert float(nothing.detach()) == 0
    assert float(torch.autograd.grad(nothing, logits)[0].abs().sum()) == 0
