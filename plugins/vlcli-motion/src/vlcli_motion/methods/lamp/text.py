"""Texts to padded word ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vlcli.align.vocabulary import PAD

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], max_words: int) -> tuple[Tensor, Tensor]:
    """Ids and mask `[B, L]` of texts, `[CLS]` first and `[SEP]` last; longer ones are cut."""
    rows = [torch.tensor(encoding.ids[:max_words]) for encoding in tokenizer.encode_batch(list(texts))]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(ids.shape[1]) < lengths.unsqueeze(1)
