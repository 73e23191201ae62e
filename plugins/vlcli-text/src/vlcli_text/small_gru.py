"""`text/small-gru`: a small trainable text tower with a vocabulary of words, learnt from the training captions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vlcli.align.encoder import Encoded, Encoder
from vlcli.errors import VlcliError

WORD = re.compile(r"\w+|[^\w\s]")
PADDING, UNKNOWN = 0, 1
VOCABULARY_FILE = "vocabulary.json"


class SmallGRU(Encoder):
    """Word embeddings and a two-way GRU; pooled is the mean over the words, tokens the states `[B, T, dim]`.

    Args:
        vocabulary_size: rows of the embedding; the most frequent words of the training captions fill it.
        width: of the embedding.
        dim: width of the pooled vector; even.
        max_words: longer texts are cut.
    """

    modality = "text"

    def __init__(self, vocabulary_size: int = 2000, width: int = 64, dim: int = 128, max_words: int = 64) -> None:
        super().__init__()
        self.dim, self.max_words = dim, max_words
        self.words: dict[str, int] = {}
        self.embedding = nn.Embedding(vocabulary_size, width, padding_idx=PADDING)
        self.gru = nn.GRU(width, dim // 2, batch_first=True, bidirectional=True)

    def fit(self, items: list[Any]) -> None:
        """Take the most frequent words; ties in alphabetical order."""
        counts: dict[str, int] = {}
        for text in items:
            for word in split_words(text):
                counts[word] = counts.get(word, 0) + 1
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        room = self.embedding.num_embeddings - 2
        self.words = {word: number for number, word in enumerate(ranked[:room], start=2)}

    def preprocess(self, item: str) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` `[T]`; an empty text is one unknown word.

        Raises:
            VlcliError: W140 before a vocabulary was learnt or loaded.
        """
        if not self.words:
            raise VlcliError("W140", "text/small-gru", "has no vocabulary yet", "train it by a recipe, or load a space")
        ids = [self.words.get(word, UNKNOWN) for word in split_words(item)[: self.max_words]] or [UNKNOWN]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids), dtype=torch.long)}

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Words."""
        return len(inputs["input_ids"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """Mean of the states over real words, and the states."""
        mask = inputs["attention_mask"].bool()
        embedded = self.embedding(inputs["input_ids"])
        # Packed, so that padding never enters the backward direction.
        packed = nn.utils.rnn.pack_padded_sequence(embedded, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=mask.shape[1])
        weights = mask.unsqueeze(-1).to(states.dtype)
        pooled = (states * weights).sum(1) / weights.sum(1)
        return Encoded(pooled, states, mask)

    def save_assets(self, folder: Path) -> None:
        """Write the vocabulary."""
        (folder / VOCABULARY_FILE).write_text(json.dumps(self.words, ensure_ascii=False), encoding="utf-8")

    def load_assets(self, folder: Path) -> None:
        """Read the vocabulary.

        Raises:
            VlcliError: W141 when it is missing or malformed.
        """
        path = folder / VOCABULARY_FILE
        try:
            words = json.loads(path.read_text(encoding="utf-8"))
            self.words = {str(word): int(number) for word, number in words.items()}
            if not all(2 <= number < self.embedding.num_embeddings for number in self.words.values()):
                raise ValueError("a number is out of range")
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise VlcliError("W141", str(path), f"the vocabulary can not be read ({error})", "restore it") from error


def split_words(text: str) -> list[str]:
    """Lower-case words and marks."""
    return WORD.findall(text.lower())
