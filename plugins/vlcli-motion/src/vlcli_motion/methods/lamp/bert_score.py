"""BERTScore, and with it LaMP-BertScore: how well a motion's caption says what was asked for.

Zhang et al., "BERTScore: Evaluating Text Generation with BERT" (ICLR 2020), without idf weights and baseline rescaling;
LaMP captions a generated motion and takes the BERTScore of that caption against the prompt. The package `bert-score`
gives the same numbers (a test compares them), but reads any pickle that it is pointed to and fails on an empty caption
under transformers 5; here the token vectors come from any text encoder of the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from vlcli.align.encoder import Encoder


@dataclass(frozen=True)
class BertScores:
    """For each pair `[B]`: `precision` over the candidate's tokens, `recall` over the reference's, and their `f1`."""

    precision: Tensor
    recall: Tensor
    f1: Tensor


def greedy_match(candidate: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Precision and recall of one pair of sentences (equation 1 of the paper).

    Every token is matched with the most similar one of the other sentence. The first and last token of a sentence
    ([CLS] and [SEP]) can be matched, but do not count themselves. A sentence without any other token scores 0.

    Args:
        candidate: token vectors `[n, D]`.
        reference: token vectors `[m, D]`.
    """
    if min(len(candidate), len(reference)) < 3:
        return candidate.new_zeros(()), candidate.new_zeros(())
    cosines = functional.normalize(candidate, dim=-1) @ functional.normalize(reference, dim=-1).T
    return cosines.amax(1)[1:-1].mean(), cosines.amax(0)[1:-1].mean()


@torch.no_grad()
def token_vectors(encoder: Encoder, texts: Sequence[str], batch_size: int = 64) -> list[Tensor]:
    """The last layer's vectors of each text's tokens, `[n, D]` each; equal texts are encoded once."""
    unique = sorted(set(texts), key=len)
    found: dict[str, Tensor] = {}
    for start in range(0, len(unique), batch_size):
        part = unique[start : start + batch_size]
        rows = encoder.preprocess_many(part)
        names = rows[0].keys()
        batch = {name: torch.nn.utils.rnn.pad_sequence([row[name] for row in rows], batch_first=True) for name in names}
        encoded = encoder(batch)
        if encoded.tokens is None or encoded.mask is None:
            raise TypeError(f"{type(encoder).__name__} gives no vectors of single tokens")
        found |= {text: vectors[mask] for text, vectors, mask in zip(part, encoded.tokens, encoded.mask, strict=True)}
    return [found[text] for text in texts]


def bert_score(encoder: Encoder, candidates: Sequence[str], references: Sequence[str]) -> BertScores:
    """BERTScore of each candidate against its reference.

    Args:
        encoder: of text, with token vectors: BERT's family (`text/minilm`), whose texts begin and end with a token of
            their own.
    """
    if not candidates:
        empty = torch.zeros(0)
        return BertScores(empty, empty, empty)
    vectors = token_vectors(encoder, [*candidates, *references])
    pairs = zip(vectors[: len(candidates)], vectors[len(candidates) :], strict=True)
    matched = [greedy_match(candidate, reference) for candidate, reference in pairs]
    precision, recall = (torch.stack(values) for values in zip(*matched, strict=True))
    total = precision + recall
    return BertScores(precision, recall, torch.where(total == 0, 0.0, 2 * precision * recall / total))
