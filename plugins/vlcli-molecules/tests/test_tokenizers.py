"""Tokenizers: the golden rows of SELFormer's two released definitions, and our own whole-symbol vocabularies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from vlcli_molecules.conversion import to_selfies
from vlcli_molecules.tokenizers import SPECIAL_TOKENS, SelfiesTokenizer, wrap

from vlcli.errors import VlcliError

GOLDEN = Path(__file__).parent / "golden" / "selformer" / "tokenizer.json"
SMILES = ["CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "[Na+].[Cl-]", "C[C@H](N)C(=O)O", "FC(F)(F)c1ccc(Br)cc1", "C#N"]


@pytest.fixture(scope="module")
def golden() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(GOLDEN.read_text(encoding="utf-8"))["rows"]
    return rows


@pytest.fixture(scope="module")
def released(golden: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `bpe.json` with the part of the released vocabulary that the golden rows show.

    The rows give tokens and their ids. The merges that lead to a token are made here, in the order of ids; what they
    pass through, and single characters that no row shows, get ids that the released vocabulary does not use.
    """
    ids = {token: number for row in golden for kind in ("bpe", "roberta_fast")
           for token, number in zip(row[f"{kind}_tokens"], row[f"{kind}_ids"], strict=True)}  # fmt: skip
    vocabulary = {**dict(zip(SPECIAL_TOKENS, range(5), strict=True)), **ids}
    spare = iter(range(208, 1000))
    for letter in sorted({letter for token in ids if token not in SPECIAL_TOKENS for letter in token}):
        vocabulary.setdefault(letter, next(spare))
    merges: list[tuple[str, str]] = []
    for token in sorted((token for token in ids if token not in SPECIAL_TOKENS), key=ids.__getitem__):
        pieces = Tokenizer(models.BPE(vocabulary, merges)).encode(token).tokens
        while len(pieces) > 1:
            merges.append((pieces[0], pieces[1]))
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
            if pieces[0] not in vocabulary:
                vocabulary[pieces[0]] = next(spare)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    wrap(tokenizer, "official_bpe")
    path = tmp_path_factory.mktemp("released") / "bpe.json"
    tokenizer.save(str(path))
    return path


def test_golden_selfies(golden: list[dict[str, Any]]) -> None:
    assert [to_selfies(row["smiles"]) for row in golden] == [row["selfies"] for row in golden]


@pytest.mark.parametrize(("kind", "name"), [("official_bpe", "bpe"), ("official_byte_level", "roberta_fast")])
def test_golden_rows(golden: list[dict[str, Any]], released: Path, kind: Any, name: str) -> None:
    tokenizer = SelfiesTokenizer.load(released, kind)
    assert (tokenizer.kind, tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (kind, 1, 2, 3)
    for row in golden:
        assert tokenizer.tokens(row["selfies"]) == row[f"{name}_tokens"]
        assert tokenizer.encode(row["selfies"]) == row[f"{name}_ids"]
    batch = tokenizer.encode_batch([row["selfies"] for row in golden], None)
    for ids, mask, row in zip(batch["input_ids"], batch["attention_mask"], golden, strict=True):
        expected = row[f"{name}_ids"]
        assert ids[: len(expected)].tolist() == expected
        assert (ids[len(expected) :] == 3).all()
        assert mask.sum() == len(expected)


def test_released_file_decides_its_kind(released: Path, tmp_path: Path) -> None:
    SelfiesTokenizer.load(released, "official_byte_level").save(tmp_path / "tokenizer.json")
    assert SelfiesTokenizer.load(tmp_path).kind == "official_byte_level"
    assert SelfiesTokenizer.load(released.parent).kind == "official_bpe"


def test_symbols_are_whole_and_come_back(tmp_path: Path) -> None:
    corpus = [to_selfies(smiles) for smiles in SMILES]
    tokenizer = SelfiesTokenizer.train(corpus)
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = SelfiesTokenizer.load(tmp_path)
    assert loaded.kind == "selfies_symbol"
    assert loaded.tokens("[C][=Branch1][O].[Na+1]") == ["<s>", "[C]", "[=Branch1]", "[O]", ".", "[Na+1]", "</s>"]
    for text in corpus:
        assert loaded.encode(text) == tokenizer.encode(text) == tokenizer.tokenizer.encode(text).ids
        assert loaded.decode(loaded.encode(text)) == text
    assert loaded.encode("[Xx][C]") == [1, loaded.unk_id, loaded.vocabulary["[C]"], 2]
    assert [loaded.vocabulary[token] for token in SPECIAL_TOKENS] == [0, 1, 2, 3, 4]
    assert loaded.vocab_size == len(loaded.vocabulary)


def test_smiles_lose_no_character() -> None:
    texts = [*SMILES, "C%12CCCC%12", "[13CH4]", "F/C=C\\F", "C%(123)CC%(123)", "*C", "ClCBr"]
    tokenizer = SelfiesTokenizer.train(texts, "smiles")
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.unk_id not in tokenizer.encode(text)
    assert tokenizer.tokens("ClCBr") == ["<s>", "Cl", "C", "Br", "</s>"]


PIECES = st.sampled_from(["[C]", "[=O]", "[", "]", ".", "x", "<mask>", "<", "[Ring1]", "[[C]", " ", "é", "[C", "\n"])


@settings(max_examples=150)
@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["selfies_symbol", "smiles"]))
def test_dictionary_agrees_with_the_library(text: str, kind: Any) -> None:
    corpus = ["[C][=O][Ring1]", "CC(=O)N[C@H]1"]
    tokenizer = SelfiesTokenizer.train(corpus, kind)
    assert tokenizer.encode(text) == tokenizer.tokenizer.encode(text).ids


@pytest.mark.parametrize("kind", ["selfies_symbol", "official_bpe", "official_byte_level", "smiles"])
def test_truncation_keeps_the_end(kind: Any) -> None:
    corpus = SMILES if kind == "smiles" else [to_selfies(smiles) for smiles in SMILES]
    tokenizer = SelfiesTokenizer.train(corpus, kind)
    whole = tokenizer.encode(corpus[2])
    batch = tokenizer.encode_batch(corpus, 6)
    assert batch["input_ids"].shape == (len(SMILES), 6)
    assert batch["input_ids"].dtype == batch["attention_mask"].dtype == np.int64
    assert batch["input_ids"][2].tolist() == [*whole[:5], tokenizer.eos_id]
    assert tokenizer.encode_batch([], 6)["input_ids"].shape == (0, 0)
    with pytest.raises(ValueError, match="no room"):
        tokenizer.encode_batch(corpus, 1)


def test_byte_pairs_train_within_symbols() -> None:
    corpus = [to_selfies(smiles) for smiles in SMILES] * 5
    tokenizer = SelfiesTokenizer.train(corpus, "official_bpe", 60)
    assert tokenizer.vocab_size <= 60
    assert not any("[" in token or "]" in token for token in tokenizer.vocabulary)
    shredded = SelfiesTokenizer.train(corpus, "official_byte_level", 60)
    assert "=Branch1" not in shredded.tokens("[C][=Branch1][C][=O]")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "D114"), (b"{}", "W601"), (b"\xff\xfe", "W601"), (b"not json", "W601"), (b"[" * 100_000, "W601"),
        (b'{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}', "W602"),
    ],
)  # fmt: skip
def test_hostile_definitions_are_refused(content: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(VlcliError) as refused:
        SelfiesTokenizer.load(path)
    assert refused.value.code == code


def test_kinds_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    SelfiesTokenizer.train(["[C]"]).save(tmp_path / "tokenizer.json")
    with pytest.raises(VlcliError, match="W603"):
        SelfiesTokenizer.load(tmp_path, "official_bpe")
    with pytest.raises(VlcliError, match="D111"):
        SelfiesTokenizer.load(tmp_path / "nowhere.json")
    with pytest.raises(ValueError, match="unknown kind"):
        SelfiesTokenizer.train(["[C]"], "nonsense")  # type: ignore[arg-type]
