"""`text/small-gru`: a small trainable text tower with a vocabulary of words, learnt from the training captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.vocabulary import PAD, UNK, load_tokenizer, save_tokenizer, train_word_tokenizer
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class SmallGRU(Encoder):
    """Word embeddings and a two-way GRU; pooled is the mean over the words, tokens the states `[B, T, dim]`.

    Args:
        vocabulary_size: rows of the embedding; the most frequent words of the training captions fill it.
        width: of the embedding.
        dim: width of the pooled vector; even.
        max_words: longer texts are cut.
        pooling: `mean` over the states of the words, or `ends`: that mean and the state in which each direction ends,
            through one linear map. A mean tells "walks, then waves" from "waves, then walks" badly.
    """

    modality = "text"

    def __init__(
        self,
        vocabulary_size: int = 2000,
        width: int = 64,
        dim: int = 128,
        max_words: int = 64,
        pooling: Literal["mean", "ends"] = "mean",
    ) -> None:
        super().__init__()
        self.dim, self.max_words = dim, max_words
        self.tokenizer: Tokenizer | None = None
        self.embedding = nn.Embedding(vocabulary_size, width, padding_idx=PAD)
        self.gru = nn.GRU(width, dim // 2, batch_first=True, bidirectional=True)
        self.join = nn.Linear(2 * dim, dim) if pooling == "ends" else None

    def fit(self, items: list[Any]) -> None:
        """Learn the vocabulary."""
        self.tokenizer = train_word_tokenizer(items, self.embedding.num_embeddings)

    def preprocess(self, item: str) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` `[T]`; an empty text is one unknown word.

        Raises:
            VlcliError: W140 before a vocabulary was learnt or loaded.
        """
        if self.tokenizer is None:
            raise VlcliError("W140", "text/small-gru", "has no vocabulary yet", "train it by a recipe, or load a space")
        ids = self.tokenizer.encode(item).ids[: self.max_words] or [UNK]
        return {"input_ids": torch.tensor(ids), "attention_mask": torch.ones(len(ids), dtype=torch.long)}

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Words."""
        return len(inputs["input_ids"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """Mean of the states over real words, with the ends or without, and the states."""
        mask = inputs["attention_mask"].bool()
        embedded = self.embedding(inputs["input_ids"])
        # Packed, so that padding never enters the backward direction.
        packed = nn.utils.rnn.pack_padded_sequence(embedded, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        packed_states, ends = self.gru(packed)
        states, _ = nn.utils.rnn.pad_packed_sequence(packed_states, batch_first=True, total_length=mask.shape[1])
        weights = mask.unsqueeze(-1).to(states.dtype)
        pooled = (states * weights).sum(1) / weights.sum(1)
        if self.join is not None:
            pooled = self.join(torch.cat([pooled, ends[0], ends[1]], -1))
        return Encoded(pooled, states, mask)

    def save_assets(self, folder: Path) -> None:
        """Write the tokenizer, once there is one."""
        if self.tokenizer is not None:
            save_tokenizer(self.tokenizer, folder)

    def load_assets(self, folder: Path) -> None:
        """Read the tokenizer; W141 when it is missing or does not fit."""
        self.tokenizer = load_tokenizer(folder, self.embedding.num_embeddings)
