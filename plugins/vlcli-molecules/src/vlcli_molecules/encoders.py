"""Encoders of the molecule-text space: a bag of structural features, and a bag of words and parts of words.

Both embed sparse features and add a correction by a small network. They learn nomenclature from pairs alone: the parts
of a name ("chlor", "benz", "-2-yl") meet the environments of atoms that they stand for.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.encoder import Encoded, Encoder
from vlcli_molecules.fingerprints import sparse_features
from vlcli_molecules.hashing import feature_ids
from vlcli_molecules.molecule import Molecule

GRAMS = (3, 4, 5)


class FeatureBag(nn.Module):
    """Weighted sum of the embeddings of sparse features, plus a correction by one hidden layer.

    Args:
        buckets: rows of the table; row 0 is padding.
        dim: width of the output.
        hidden: of the correction.
        dropout: share of features that is left out while training.
    """

    def __init__(self, buckets: int, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.table = nn.EmbeddingBag(buckets, dim, mode="sum", padding_idx=0)
        nn.init.normal_(self.table.weight, std=dim**-0.5)
        self.norm = nn.LayerNorm(dim)
        self.correction = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, ids: Tensor, counts: Tensor, weights: Tensor | None = None) -> Tensor:
        """`ids` `[N]` of all items one after another, `counts` `[B]` of each, `weights` `[N]` -> `[B, dim]`."""
        if weights is None:
            weights = torch.ones_like(ids, dtype=self.table.weight.dtype)
        if self.training and self.dropout:
            weights = functional.dropout(weights, self.dropout)
        offsets = counts.cumsum(0) - counts
        summed = self.table(ids, offsets, per_sample_weights=weights)
        bag = self.norm(summed / counts.clamp(min=1).to(summed.dtype).sqrt()[:, None])
        output: Tensor = bag + self.correction(bag)
        return output


class FingerprintEncoder(Encoder):
    """`molecules/fingerprint`: count fingerprints and descriptors, embedded. Items are `Molecule`s.

    Args:
        buckets: features are hashed into so many.
        dim: width of the pooled vector.
        hidden: of the correction.
        dropout: share of features that is left out while training.
    """

    modality = "molecules"

    def __init__(self, buckets: int = 1 << 14, dim: int = 192, hidden: int = 384, dropout: float = 0.1) -> None:
        super().__init__()
        self.buckets, self.dim = buckets, dim
        self.bag = FeatureBag(buckets, dim, hidden, dropout)

    def preprocess(self, item: Any) -> dict[str, Tensor]:
        """`ids` `[T]` int32 and `weights` `[T]`; both are padded with zeros in a batch."""
        from rdkit import rdBase

        molecule: Molecule = item
        with rdBase.BlockLogs():
            ids, weights = sparse_features(molecule.mol, self.buckets)
        return {"ids": torch.from_numpy(ids), "weights": torch.from_numpy(weights)}

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Features."""
        return len(inputs["ids"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`ids` and `weights` `[B, T]` to `Encoded` without tokens."""
        real = inputs["ids"] > 0
        return Encoded(self.bag(inputs["ids"][real].long(), real.sum(1), inputs["weights"][real]))


class HashedTextEncoder(Encoder):
    """`molecules/hashed-text`: words, pairs of words and n-grams of 3 to 5 bytes, hashed and embedded.

    Nothing is learnt before training and there is no vocabulary to save. Letter case does not count.

    Args:
        buckets: features are hashed into so many.
        dim: width of the pooled vector.
        hidden: of the correction.
        dropout: share of features that is left out while training.
        max_bytes: longer texts are cut.
    """

    modality = "text"

    def __init__(
        self, buckets: int = 1 << 16, dim: int = 192, hidden: int = 384, dropout: float = 0.1, max_bytes: int = 1000
    ) -> None:
        super().__init__()
        self.buckets, self.dim, self.max_bytes = buckets, dim, max_bytes
        self.bag = FeatureBag(buckets, dim, hidden, dropout)

    def preprocess(self, item: str) -> dict[str, Tensor]:
        """`bytes` `[T]` of the normalised text, between two spaces."""
        return {"bytes": torch.frombuffer(bytearray(normalised(item)[: self.max_bytes]), dtype=torch.uint8)}

    def length(self, inputs: dict[str, Tensor]) -> int:
        """Bytes."""
        return len(inputs["bytes"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        """`bytes` `[B, T]`, zeros behind the end, to `Encoded` without tokens."""
        return Encoded(self.bag(*feature_ids(inputs["bytes"], GRAMS, self.buckets)))


def normalised(text: str) -> bytes:
    """Lower case, single spaces, `.alpha.` as `alpha`, a space at both ends."""
    plain = re.sub(r"\.([a-z]+)\.", r"\1", text.casefold()).replace("\0", " ")
    return f" {' '.join(plain.split())} ".encode("utf-8", "replace")
