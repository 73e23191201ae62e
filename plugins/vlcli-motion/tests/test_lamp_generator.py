"""LaMP's masked transformer, its schedules and sampling, and the generator over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from vlcli_motion.methods.lamp.masked_transformer import (
    MaskedTransformer,
    corrupt,
    cosine_schedule,
    draw,
    fill_in,
    hidden_cross_entropy,
    keep_top,
    positions,
)

GOLDEN = Path(__file__).parent / "golden" / "lamp"

NAMES = {
    "token_emb.": "token_embedding.",
    "input_process.poseEmbedding.": "input_projection.",
    "cond_emb.": "condition_projection.",
    "seqTransEncoder.layers.": "blocks.",
    "self_attn.in_proj_": "in_proj.",
    "self_attn.out_proj.": "out_proj.",
    "output_process.dense.": "head_dense.",
    "output_process.LayerNorm.": "head_norm.",
    "output_process.poseFinal.": "head_out.",
}
"""Official names of the weights -> ours."""


def golden(name: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / name, allow_pickle=False) as data:
        return {key: torch.from_numpy(np.asarray(data[key])) for key in data.files}


def official_model(data: dict[str, Tensor]) -> MaskedTransformer:
    weights = {}
    for key, value in data.items():
        name = key.removeprefix("w.")
        if name == key or name == "position_enc.pe":
            continue
        for official, ours in NAMES.items():
            name = name.replace(official, ours)
        weights[name] = value
    model = MaskedTransformer(
        codes=11, condition_width=16, code_width=8, width=16, layers=2, heads=int(data["cfg_nhead"]), feed_forward=32,
        attention="official",
    )  # fmt: skip
    model.load_state_dict(weights, strict=True)
    return model.eval()


def test_masked_transformer_is_the_released_one() -> None:
    data = golden("masked_transformer.npz")
    model = official_model(data)
    assert torch.allclose(positions(5000, 16), data["w.position_enc.pe"][:, 0], atol=1e-4)
    with torch.no_grad():
        logits = model(data["in_motion_ids"], data["in_cond"])
        without = model(data["in_motion_ids"], None)
        guided = model.guided(data["in_motion_ids"], data["in_cond"], 3.0)
    assert torch.allclose(logits.mT, data["out_logits"], atol=1e-5)
    assert torch.allclose(without.mT, data["out_logits_uncond"], atol=1e-5)
    expected = data["out_logits_uncond"] + 3.0 * (data["out_logits"] - data["out_logits_uncond"])
    assert torch.allclose(guided.mT, expected, atol=1e-4)
    labels = data["in_labels_ignore_is_num_tokens"]
    loss, accuracy = hidden_cross_entropy(logits, labels, ignored=11)
    assert float(loss) == pytest.approx(float(data["out_ce"]), abs=1e-5)
    assert float(accuracy) == pytest.approx(float(data["out_acc"]), abs=1e-6)
    assert torch.equal(logits.argmax(-1), data["out_pred"])


def test_schedule_and_filter_are_the_released_ones() -> None:
    data = golden("schedule_topk.npz")
    assert torch.allclose(cosine_schedule(data["in_t"]), data["out_cosine"], atol=1e-6)
    assert torch.equal(keep_top(data["in_logits"], 0.9), data["out_topk_thres0.9"])


def small(attention: str = "causal", width: int = 16) -> MaskedTransformer:
    torch.manual_seed(0)
    return MaskedTransformer(
        codes=12, condition_width=6, code_width=width, width=width, layers=2, heads=2, feed_forward=32, dropout=0.0,
        attention=attention,  # type: ignore[arg-type]
    ).eval()  # fmt: skip


@pytest.mark.parametrize(("attention", "hidden"), [("causal", True), ("bidirectional", False), ("official", False)])
def test_only_the_real_mask_hides_the_future(attention: str, hidden: bool) -> None:
    model = small(attention)
    ids = torch.randint(12, (3, 7), generator=torch.Generator().manual_seed(1))
    condition = torch.randn(3, 6, generator=torch.Generator().manual_seed(2))
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 1) % 12
    before, after = model(ids, condition), model(other, condition)
    assert torch.equal(before[:, :-1], after[:, :-1]) is hidden
    assert not torch.allclose(before[:, -1], after[:, -1])
    # The past and the condition are seen.
    other = ids.clone()
    other[:, 0] = (other[:, 0] + 1) % 12
    assert not torch.allclose(model(other, condition)[:, -1], before[:, -1])
    assert not torch.allclose(model(ids, condition + 1)[:, -1], before[:, -1])


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_padding_is_not_seen(attention: str) -> None:
    model = small(attention)
    ids = torch.randint(12, (2, 9), generator=torch.Generator().manual_seed(1))
    condition = torch.randn(2, 6, generator=torch.Generator().manual_seed(2))
    padded = model(model.pad(ids, torch.tensor([5, 9])), condition)
    assert torch.allclose(padded[0, :5], model(ids[:1, :5], condition[:1])[0], atol=1e-6)
    assert torch.isfinite(padded).all()


def test_corruption_hides_a_share_and_asks_for_nothing_else() -> None:
    generator = torch.Generator().manual_seed(3)
    lengths = torch.tensor([40, 25, 3, 1]).repeat(500)
    ids = torch.randint(50, (2000, 40), generator=generator)
    inputs, labels = corrupt(ids, lengths, 50, generator)
    inside = torch.arange(40) < lengths[:, None]
    asked = labels != 50
    assert not (asked & ~inside).any()
    assert (inputs[~inside] == 51).all()
    assert torch.equal(labels[asked], ids[asked])
    # At least one each; what was not chosen is unchanged.
    assert (asked.sum(1) >= 1).all()
    assert torch.equal(inputs[inside & ~asked], ids[inside & ~asked])
    # The mean of cos over a uniform time is 2/π.
    share = (asked.sum(1) / lengths)[lengths >= 25].mean()
    assert float(share) == pytest.approx(2 / torch.pi, abs=0.02)
    hidden = (inputs == 50)[asked].float().mean()
    assert float(hidden) == pytest.approx(0.9 * 0.88, abs=0.01)
    random_ones = ((inputs != 50) & (inputs != ids))[asked].float().mean()
    assert float(random_ones) == pytest.approx(0.1 * 49 / 50, abs=0.01)


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_filling_in_is_complete_and_depends_on_its_own_seed_alone() -> None:
    model = small()
    condition = torch.randn(3, 6, generator=torch.Generator().manual_seed(4))
    lengths = torch.tensor([8, 5, 8])
    ids = fill_in(model, condition, lengths, generators(1, 2, 3))
    inside = torch.arange(8) < lengths[:, None]
    assert (ids[inside] < 12).all() and (ids[~inside] == model.padding).all()
    assert torch.equal(ids, fill_in(model, condition, lengths, generators(1, 2, 3)))
    assert not torch.equal(ids[0], fill_in(model, condition, lengths, generators(9, 2, 3))[0])
    alone = fill_in(model, condition[1:2], lengths[1:2], generators(2))
    assert torch.equal(alone[0], ids[1, :5])
    one_pass = fill_in(model, condition, lengths, generators(1, 2, 3), steps=1)
    assert (one_pass[inside] < 12).all()


def test_temperature_zero_takes_the_most_probable_code() -> None:
    logits = torch.randn(2, 4, 12, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([4, 4])
    assert torch.equal(draw(logits, lengths, generators(0, 1), 0.0), logits.argmax(-1))
    many = torch.stack([draw(logits[:1], lengths[:1], generators(seed), 1.0)[0] for seed in range(3000)])
    counts = torch.stack([(many[:, 0] == code).float().mean() for code in range(12)])
    assert torch.allclose(counts, logits[0, 0].softmax(-1), atol=0.04)


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_the_condition_is_learnt(attention: str) -> None:
    """Two conditions, a rising and a falling run of tokens: each is made for its own condition."""
    model = small(attention, width=32).train()
    generator = torch.Generator().manual_seed(5)
    up = torch.arange(8)
    rows, conditions = torch.stack([up, 11 - up]), torch.eye(6)[:2]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    pick = torch.arange(16) % 2
    for _ in range(200):
        loss, _ = model.loss(rows[pick], conditions[pick], torch.full((16,), 8), 0.1, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    made = fill_in(model, conditions, torch.tensor([8, 8]), generators(0, 1), guidance=2.0, temperature=0.0)
    assert float((made == rows).float().mean()) > 0.9
    # Without text nothing says which run it is to be.
    holes = torch.full((1, 8), model.hidden)
    first = model(holes, None)[0, 0].softmax(-1)
    assert bool((first[[0, 11]] > 0.2).all())
