"""LaMP's captioner over a causal language model, BERTScore, and what generated motions are judged with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from vlcli_motion.methods.lamp.bert_score import bert_score, greedy_match
from vlcli_motion.methods.lamp.captioner_part import CaptionerPart, caption_parts, check_positions
from vlcli_motion.methods.lamp.captioning import (
    ADAPTER_FOLDER,
    Captioner,
    caption_ids,
    language_loss,
    load_language,
    small_language_model,
    tidy,
    word_tokenizer,
)
from vlcli_motion.methods.lamp.config import LampConfig
from vlcli_motion.methods.lamp.evaluation import (
    Classes,
    MotionClassifier,
    frechet_distance,
    shuffled,
    train_classifier,
)
from vlcli_motion.methods.lamp.generation_options import CaptionerOptions
from vlcli_motion.methods.lamp.rank import effective_rank

from vlcli.align.vocabulary import train_word_tokenizer
from vlcli.api import VlcliError
from vlcli.plugins import load_plugins
from vlcli.registry import Registry

CAPTIONS = ["a person walks forward, then stops", "a person stops, then walks forward", "a person waves"]
OPTIONS = CaptionerOptions(share=1.0, language_share=1.0, width=32, layers=1, heads=2, lora_rank=4, max_words=12)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins().registry


def words() -> Any:
    return word_tokenizer(train_word_tokenizer(CAPTIONS, 64, wrap=True))


def new_captioner() -> Captioner:
    torch.manual_seed(0)
    return Captioner(small_language_model(OPTIONS, 64, 24), words(), 8, OPTIONS)


def queries() -> torch.Tensor:
    return torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))


def fit(model: Captioner, steps: int = 150) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, 1e-2)
    for _ in range(steps):
        loss = model.loss(queries(), CAPTIONS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_captions_are_read_with_begin_and_end() -> None:
    tokenizer = words()
    ids, mask = caption_ids(tokenizer, CAPTIONS, 12)
    assert mask.sum(1).tolist() == [9, 9, 5]
    assert (ids[:, 0] == tokenizer.bos_token_id).all() and ids[2, 4] == tokenizer.eos_token_id
    cut, _ = caption_ids(tokenizer, CAPTIONS, 4)
    assert cut.shape == (3, 4) and (cut[:, -1] == tokenizer.eos_token_id).all()


def test_a_small_language_model_learns_captions() -> None:
    torch.manual_seed(0)
    model = small_language_model(OPTIONS, 64, 24)
    ids, mask = caption_ids(words(), CAPTIONS, 12)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    first = float(language_loss(model, ids, mask).detach())
    for _ in range(40):
        loss = language_loss(model, ids, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(language_loss(model, ids, mask).detach()) < first / 4
    # Padding asks for nothing: a caption's loss is the same alone.
    alone = language_loss(model, ids[2:, :5], mask[2:, :5])
    padded = language_loss(model, ids[2:], mask[2:])
    assert torch.allclose(alone, padded, atol=1e-5)


def test_only_lora_and_projection_are_trained_and_captions_are_learnt() -> None:
    model = new_captioner()
    frozen = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert trained and all("lora_" in name or name.startswith("projection.") for name in trained)
    assert any("lora_" in name for name in trained)
    fit(model)
    assert model.write(queries()) == CAPTIONS
    now = dict(model.named_parameters())
    assert all(torch.equal(value, now[name]) for name, value in frozen.items())
    # A caption does not depend on what else is captioned.
    assert model.write(queries()[1:2]) == CAPTIONS[1:2]
    assert model.write(queries()[:0]) == []


def test_a_captioner_is_saved_and_read(tmp_path: Path) -> None:
    model = new_captioner()
    fit(model)
    model.save(tmp_path / "captioner")
    assert not [*tmp_path.rglob("*.bin"), *tmp_path.rglob("*.pt")]
    loaded = Captioner.load(tmp_path / "captioner")
    assert loaded.write(queries()) == CAPTIONS
    with torch.no_grad():
        assert torch.allclose(loaded.loss(queries(), CAPTIONS), model.loss(queries(), CAPTIONS), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("captioner.json", None, "W331"),
        ("captioner.json", b"{", "W204"),
        ("captioner.json", b'{"schema": 1}', "W332"),
        ("captioner.json", b'{"schema": 1, "language": "", "prefix_width": -1, "max_words": 12, "beams": 1}', "W332"),
        ("projection.safetensors", b"no tensors", "W103"),
        ("adapter/adapter_model.safetensors", None, "W332"),
        ("adapter/adapter_model.safetensors", b"no tensors", "W332"),
        ("adapter/adapter_config.json", b"{", "W332"),
        ("language/model.safetensors", b"no tensors", "W103"),
        ("language/config.json", b"[]", "W204"),
        ("language/tokenizer.json", b"{", "W333"),
    ],
)
def test_damaged_captioners_are_refused(tmp_path: Path, name: str, content: bytes | None, code: str) -> None:
    folder = tmp_path / "captioner"
    new_captioner().save(folder)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(VlcliError) as refused:
        Captioner.load(folder)
    assert refused.value.code == code


def test_a_pickle_in_the_adapters_place_is_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "captioner"
    new_captioner().save(folder)
    (folder / ADAPTER_FOLDER / "adapter_model.safetensors").rename(folder / ADAPTER_FOLDER / "adapter_model.bin")
    with pytest.raises(VlcliError, match=r"holds no adapter_model\.safetensors"):
        Captioner.load(folder)


def published_model(folder: Path) -> Path:
    """A causal language model of another kind, as a user would name it."""
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(3)
    config = OPTConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, ffn_dim=64, num_attention_heads=2,
                       max_position_embeddings=64, word_embed_proj_dim=32, pad_token_id=0, bos_token_id=2,
                       eos_token_id=3)  # fmt: skip
    OPTForCausalLM(config).save_pretrained(folder)
    words().save_pretrained(folder)
    return folder


def test_any_causal_language_model_will_do(tmp_path: Path, registry: Registry) -> None:
    place = published_model(tmp_path / "opt")
    options = OPTIONS.model_copy(update={"checkpoint": str(place)})
    config = LampConfig(width=8, max_tokens=5, vocabulary=64)
    parts = caption_parts(options, config, train_word_tokenizer(CAPTIONS, 64, wrap=True), registry, None)
    assert [part.name for part in parts] == ["captioner"]
    part = parts[0]
    assert isinstance(part, CaptionerPart)
    fit(part.captioner)
    assert part.captioner.write(queries()) == CAPTIONS
    part.save(tmp_path)
    # Only what was trained is saved; the checkpoint is read from its own place.
    assert not (tmp_path / "captioner" / "language").exists()
    assert Captioner.load(tmp_path / "captioner").write(queries()) == CAPTIONS
    with pytest.raises(VlcliError) as refused:
        check_positions(load_language(str(place))[0], 65, "opt")
    assert refused.value.code == "T354"


def test_code_of_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    place = published_model(tmp_path / "opt")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    with pytest.raises(VlcliError) as refused:
        load_language(str(place))
    assert refused.value.code == "W333"


def test_words_become_a_sentence() -> None:
    assert tidy("a person  walks , then stops .") == "a person walks, then stops."


def test_greedy_matching_by_hand() -> None:
    begin, end = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    candidate = torch.tensor([begin, [0.0, 2.0, 0.0], end])
    reference = torch.tensor([begin, [0.0, 1.0, 0.0], [0.0, 1.0, 1.0], end])
    precision, recall = greedy_match(candidate, reference)
    assert float(precision) == pytest.approx(1.0)
    # The reference's second word: cosine 1/√2 with the candidate's word and with its end alike.
    assert float(recall) == pytest.approx((1 + 0.5**0.5) / 2)
    assert [float(value) for value in greedy_match(candidate[:2], reference)] == [0.0, 0.0]


def test_bert_score_is_that_of_its_package(registry: Registry) -> None:
    package = pytest.importorskip("bert_score")
    encoder = registry.build("encoder", "text/minilm").eval()
    candidates = [*CAPTIONS, "a person jumps twice and then sits down on a chair"]
    references = [CAPTIONS[1], CAPTIONS[0], "someone is waving both arms", "a person sits"]
    ours = bert_score(encoder, candidates, references)
    scorer = package.BERTScorer(model_type=str(encoder.folder), num_layers=6, device="cpu")
    theirs = scorer.score(candidates, references)
    for mine, other in zip((ours.precision, ours.recall, ours.f1), theirs, strict=True):
        assert torch.allclose(mine, other, atol=1e-5)
    assert bert_score(encoder, [], []).f1.shape == (0,)
    assert bert_score(encoder, ["", "."], CAPTIONS[:2]).f1[0] == 0
    same = bert_score(encoder, CAPTIONS, CAPTIONS)
    assert torch.allclose(same.f1, torch.ones(3), atol=1e-5)


def test_effective_rank() -> None:
    assert float(effective_rank(torch.eye(7))) == pytest.approx(7.0, abs=1e-4)
    assert float(effective_rank(torch.full((7, 7), 1 / 7))) == pytest.approx(1.0, abs=1e-3)
    two = effective_rank(torch.diag(torch.tensor([1.0, 1.0, 0.0])).expand(2, 3, 3))
    assert torch.allclose(two, torch.full((2,), 2.0), atol=1e-4)


def drawn_motions(count: int, seed: int) -> tuple[list[torch.Tensor], list[str]]:
    """Rising or falling numbers, one after another or alone, in noise."""
    rng = np.random.default_rng(seed)
    shapes = {"up": np.linspace(-1, 1, 20), "down": np.linspace(1, -1, 20), "wave": np.sin(np.linspace(0, 12, 20))}
    names = ["up", "down", "wave", "up, down", "down, up", "wave, up"]
    motions, labels = [], []
    for number in range(count):
        label = names[number % len(names)]
        values = np.concatenate([shapes[part] for part in label.split(", ")])
        motions.append(torch.tensor(values[:, None] + rng.normal(0, 0.1, (len(values), 4)), dtype=torch.float32))
        labels.append(label)
    return motions, labels


def test_the_classifier_knows_the_order_of_movements() -> None:
    motions, labels = drawn_motions(120, 0)
    before = torch.random.get_rng_state()
    judge = train_classifier(motions, labels, torch.zeros(4), torch.ones(4), steps=60, seed=1)
    assert torch.equal(before, torch.random.get_rng_state())
    assert judge.classes.names == ("", "down", "up", "wave") and judge.classes.places == 2
    held_out, truth = drawn_motions(60, 1)
    assert judge.accuracy(held_out, truth)[0] > 0.9
    swapped = [", ".join(reversed(label.split(", "))) for label in truth]
    assert judge.accuracy(held_out, swapped)[0] < 0.6
    # Alike alone and in a batch, which pads it.
    alone = judge([held_out[0]])
    assert torch.allclose(alone[0], judge(held_out[:6])[0], atol=1e-5)
    assert judge.accuracy(held_out, ["unheard of"] * 60)[0] == 0.0
    again = train_classifier(motions, labels, torch.zeros(4), torch.ones(4), steps=60, seed=1)
    assert torch.equal(again.out.weight, judge.out.weight)


def test_single_movements_are_counted_where_one_is_named() -> None:
    classes = Classes(("", "a", "b"), 2)
    judge = MotionClassifier(classes, torch.zeros(1), torch.ones(1))
    nn.init.zeros_(judge.out.weight)
    judge.out.bias.data = torch.tensor([0.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    judge.eval()
    # It always answers "a" alone.
    motions = [torch.zeros(20, 1)] * 3
    whole, single = judge.accuracy(motions, ["a", "a, b", "b"])
    assert whole == pytest.approx(1 / 3)
    assert single == pytest.approx(2 / 4)


def test_frechet_distance() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(4000, 3))
    assert frechet_distance(one, one) == pytest.approx(0.0, abs=1e-6)
    # Means apart by (1, 0, 0), and deviations 1 and 2: 1 + 3 · (1 + 4 - 2 · 2).
    other = 2 * rng.normal(size=(4000, 3)) + [1.0, 0.0, 0.0]
    assert frechet_distance(one, other) == pytest.approx(4.0, abs=0.3)


def test_everything_gets_anothers() -> None:
    assert shuffled(4) == [2, 3, 0, 1]
    assert all(row != other for row, other in enumerate(shuffled(7)))
