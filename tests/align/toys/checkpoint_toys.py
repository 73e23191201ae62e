"""A tiny tokenizer and config for checkpoints that the tests save."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor

from vlcli.align import Space
from vlcli.data.collate import pad_and_stack

TEXTS = ["a dog on the beach", "two people", "the red car of a man and a dog on the street"]
WORDS = sorted({word for text in TEXTS for word in text.split()})
TEXT = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
        "vocab_size": 40}  # fmt: skip


def tokenizer(limit: int = 16) -> Any:
    """A word tokenizer: <pad> 0, <s> 1, </s> 2, <unk> 3, then the words."""
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>",
        model_max_length=limit, model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def embed(space: Space, modality: str, items: list[Any]) -> Tensor:
    with torch.inference_mode():
        return space.embed(modality, pad_and_stack([space.preprocess(modality, item) for item in items]))
