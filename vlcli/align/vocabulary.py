"""A tokenizer of whole words, learnt from training captions; for small text towers trained from scratch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(len(SPECIAL_TOKENS))
FILE = "tokenizer.json"


def train_word_tokenizer(texts: Iterable[str], size: int, *, wrap: bool = False) -> Tokenizer:
    """The most frequent lower-case words and marks; the five special tokens have the ids 0 to 4.

    Args:
        texts: captions.
        size: largest number of tokens, the special ones included.
        wrap: put `[CLS]` before and `[SEP]` after each text.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL_TOKENS[UNK]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=list(SPECIAL_TOKENS), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    if wrap:
        pairs = [(SPECIAL_TOKENS[CLS], CLS), (SPECIAL_TOKENS[SEP], SEP)]
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pairs)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write `tokenizer.json`."""
    # The tokenizer's own `save` tells of a full disk by an `Exception` without a number.
    (folder / FILE).write_text(tokenizer.to_str(pretty=True), encoding="utf-8")


def load_tokenizer(folder: Path, size: int) -> Tokenizer:
    """Read `tokenizer.json`.

    Raises:
        VlcliError: W141 when it is missing, malformed, or has more tokens than the model has rows.
    """
    from tokenizers import Tokenizer

    path = folder / FILE
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        if tokenizer.get_vocab_size() > size:
            raise ValueError(f"{tokenizer.get_vocab_size()} tokens for {size} embeddings")
    except Exception as error:  # tokenizers raises a bare Exception for malformed files
        raise VlcliError("W141", str(path), f"the tokenizer can not be read ({error})", "restore it") from error
    return tokenizer
