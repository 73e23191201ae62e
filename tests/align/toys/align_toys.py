"""Small encoders and modalities that the tests register."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from vlcli.align.encoder import Encoded, Encoder
from vlcli.api import Source, VlcliError
from vlcli.data.collate import pad_and_stack


class ToyOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    width: int = 6


class Numbers:
    """Items are lists of numbers written as text."""

    name = "numbers"

    def expand(self, path: Path) -> Iterator[Source]:
        yield Source(id=str(path), path=path)

    def load(self, source: Source) -> list[float]:
        text = source.value if source.value is not None else Path(source.path or "").read_text()
        if text == "refuse":
            raise VlcliError("D400", source.id, "is refused")
        return [float(word) for word in text.split()]

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return pad_and_stack(inputs)

    def preview(self, source: Source, size: int = 256) -> bytes:
        raise NotImplementedError


class Toy(Encoder):
    """The masked sum of numbers through a linear map; a negative number makes it fail."""

    modality = "numbers"

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.dim = width
        self.linear = nn.Linear(3, width)
        with torch.no_grad():
            self.linear.weight.copy_(torch.linspace(-1, 1, 3 * width).reshape(width, 3))
            self.linear.bias.fill_(0.1)
        self.largest_batch: int | None = None
        self.seen: list[tuple[int, int]] = []

    def preprocess(self, item: list[float]) -> dict[str, Tensor]:
        values = torch.tensor(item, dtype=torch.float32)
        return {"values": values, "attention_mask": torch.ones(len(item), dtype=torch.long)}

    def length(self, inputs: dict[str, Tensor]) -> int:
        return len(inputs["values"])

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        values, mask = inputs["values"], inputs["attention_mask"]
        self.seen.append((values.shape[0], values.shape[1]))
        if self.largest_batch is not None and len(values) > self.largest_batch:
            raise torch.OutOfMemoryError("out of memory (injected)")
        if bool((values < 0).any()):
            raise RuntimeError("negative number")
        values = values * mask
        features = torch.stack([values.sum(1), (values**2).sum(1), mask.sum(1).float()], dim=1)
        return Encoded(self.linear(features), tokens=values.unsqueeze(-1), mask=mask.bool())


class Published(Toy):
    """A Toy whose weights count as published."""

    def reference(self) -> dict[str, str] | None:
        return {"source": "toy==1", "sha256": "a" * 64}


class OtherPublished(Toy):
    """The same encoder after its package was replaced by another version."""

    def reference(self) -> dict[str, str] | None:
        return {"source": "toy==2", "sha256": "b" * 64}
