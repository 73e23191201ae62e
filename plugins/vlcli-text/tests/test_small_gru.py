"""The small text tower: vocabulary, padding, saving, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from vlcli_text.small_gru import SmallGRU

from vlcli.align.vocabulary import CLS, SEP, UNK, load_tokenizer, train_word_tokenizer
from vlcli.data.collate import pad_and_stack
from vlcli.errors import VlcliError

CAPTIONS = ["a red circle", "a blue square at the top", "two RED squares, left", "a circle"]


def tower(captions: list[str] | None = None, **options: Any) -> SmallGRU:
    torch.manual_seed(0)
    encoder = SmallGRU(**{"vocabulary_size": 40, "width": 8, "dim": 12, **options}).eval()
    encoder.fit(CAPTIONS if captions is None else captions)
    return encoder


def batch(encoder: SmallGRU, texts: list[str]) -> dict[str, Tensor]:
    return pad_and_stack([encoder.preprocess(text) for text in texts])


def test_shapes_and_length() -> None:
    encoder = tower()
    encoded = encoder(batch(encoder, CAPTIONS))
    assert encoded.pooled.shape == (4, 12) and encoded.tokens is not None and encoded.tokens.shape == (4, 6, 12)
    assert encoded.mask is not None and encoded.mask.sum(1).tolist() == [3, 6, 5, 2]
    assert encoder.length(encoder.preprocess(CAPTIONS[1])) == 6


@pytest.mark.parametrize("pooling", ["mean", "ends"])
def test_padding_changes_nothing(pooling: str) -> None:
    encoder = tower(pooling=pooling)
    together = encoder(batch(encoder, CAPTIONS)).pooled
    alone = torch.cat([encoder(batch(encoder, [text])).pooled for text in CAPTIONS])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_order_and_case() -> None:
    encoder = tower()
    same, other = (encoder(batch(encoder, [text])).pooled for text in ("A RED circle", "circle red a"))
    torch.testing.assert_close(encoder(batch(encoder, ["a red circle"])).pooled, same)
    assert (same - other).abs().max() > 1e-3


def test_ends_are_added_to_the_mean() -> None:
    plain, ends = tower(), tower(pooling="ends")
    assert plain.join is None and ends.join is not None
    inputs = batch(ends, CAPTIONS[:1])
    encoded = ends(inputs)
    states = encoded.tokens[0]
    joined = torch.cat([states.mean(0), states[-1, :6], states[0, 6:]])
    torch.testing.assert_close(encoded.pooled[0], ends.join(joined))


def test_empty_unknown_and_long_texts() -> None:
    encoder = tower(max_words=4)
    assert encoder.preprocess("")["input_ids"].tolist() == [UNK]
    assert encoder.preprocess("zyzzyva")["input_ids"].tolist() == [UNK]
    assert len(encoder.preprocess("a " * 50)["input_ids"]) == 4
    assert torch.isfinite(encoder(batch(encoder, ["", "a red circle"])).pooled).all()


def test_the_vocabulary_is_the_most_frequent_words_and_always_the_same() -> None:
    first, second = (train_word_tokenizer(texts, 9) for texts in (CAPTIONS, CAPTIONS[::-1]))
    assert first.get_vocab() == second.get_vocab() and first.get_vocab_size() == 9
    assert {"a", "red", "circle"} <= set(first.get_vocab())
    wrapped = train_word_tokenizer(CAPTIONS, 30, wrap=True).encode("a red circle").ids
    assert (wrapped[0], wrapped[-1], len(wrapped)) == (CLS, SEP, 5)


def test_saving(tmp_path: Path) -> None:
    encoder = tower()
    encoder.save_assets(tmp_path)
    again = SmallGRU.restore(tmp_path, vocabulary_size=40, width=8, dim=12)
    again.load_state_dict(encoder.state_dict())
    inputs = batch(encoder, CAPTIONS)
    assert all(torch.equal(inputs[key], value) for key, value in batch(again, CAPTIONS).items())
    assert torch.equal(again.eval()(inputs).pooled, encoder(inputs).pooled)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(VlcliError, match=r"W140.*no vocabulary"):
        SmallGRU().preprocess("a red circle")
    with pytest.raises(VlcliError, match="W141"):
        load_tokenizer(tmp_path, 40)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(VlcliError, match="W141"):
        load_tokenizer(tmp_path, 40)
    tower().save_assets(tmp_path)
    with pytest.raises(VlcliError, match=r"W141.*tokens for 6 embeddings"):
        load_tokenizer(tmp_path, 6)
