"""A tiny plugin for tests: `.swatch` files hold a colour, texts hold colour words, one space holds both."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vlcli import builtin
from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.space import Space, Tower
from vlcli.api import MetricSpec, ModalitySpec, Source, SpaceSpec
from vlcli.errors import VlcliError
from vlcli.registry import Registry

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}


class Swatch:
    name = "swatch"
    templates = ("{}", "a {} swatch")

    def expand(self, path: Path) -> Iterator[Source]:
        yield Source(id=str(path), path=path)

    def load(self, source: Source) -> tuple[int, ...]:
        assert source.path is not None
        words = source.path.read_text().split()
        if len(words) != 3:
            raise VlcliError("D999", str(source.path), "is not a swatch")
        return tuple(int(word) for word in words)

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        return {name: torch.stack([item[name] for item in inputs]) for name in inputs[0]}

    def preview(self, source: Source, size: int = 256) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (size, size), self.load(source)).save(buffer, "PNG")
        return buffer.getvalue()


class Words(Swatch):
    name = "text"
    templates = ()

    def load(self, source: Source) -> Any:
        return source.value

    def preview(self, source: Source, size: int = 256) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (size, size), "white").save(buffer, "PNG")
        return buffer.getvalue()


class SwatchEncoder(Encoder):
    modality = "swatch"
    dim = 4

    def __init__(self, constant: bool = False) -> None:
        super().__init__()
        self.constant = constant

    def preprocess(self, item: tuple[int, ...]) -> dict[str, Tensor]:
        return {"rgb": torch.tensor([*item, 20.0])}

    def forward(self, inputs: dict[str, Tensor]) -> Encoded:
        return Encoded(torch.ones_like(inputs["rgb"]) if self.constant else inputs["rgb"])


class WordEncoder(SwatchEncoder):
    modality = "text"

    def preprocess(self, item: str) -> dict[str, Tensor]:
        known = [COLOURS[word] for word in item.lower().replace(",", " ").split() if word in COLOURS]
        return {"rgb": torch.tensor([*torch.tensor(known or [(0, 0, 0)], dtype=torch.float32).mean(0), 20.0])}


def starter(registry: Registry, device: Any = "cpu", constant: bool = False) -> Space:
    return Space("swatches/starter", {
        "swatch": Tower(SwatchEncoder(constant), name="swatches/rgb", options={"constant": constant}),
        "text": Tower(WordEncoder(constant), name="swatches/words", options={"constant": constant}),
    })  # fmt: skip


def flat(registry: Registry, device: Any = "cpu") -> Space:
    return starter(registry, device, constant=True)


def mean_rank(similarity: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """A metric: rank of the first right answer."""
    best = np.where(positives, similarity, -np.inf).max(axis=1, keepdims=True)
    ranks: np.ndarray = 1.0 + ((similarity > best) & ~positives).sum(axis=1)
    return ranks


def wrong_shape(similarity: np.ndarray, positives: np.ndarray) -> np.ndarray:
    return np.zeros((2, 2))


def build_registry() -> Registry:
    registry = Registry()
    for store in builtin.vlcli_stores():
        registry.add("core", "store", store)
    registry.add("swatches", "modality", ModalitySpec(
        name="swatch", summary="colours", target="swatches:Swatch", extensions=(".swatch",)))  # fmt: skip
    registry.add("swatches", "modality", ModalitySpec(name="text", summary="words", target="swatches:Words"))
    for name, target in (("starter", "swatches:starter"), ("flat", "swatches:flat")):
        registry.add("swatches", "space", SpaceSpec(
            name=name, summary="colours and words", target=target, modalities=("swatch", "text")))  # fmt: skip
    for name in ("mean_rank", "wrong_shape"):
        registry.add("swatches", "metric", MetricSpec(name=name, summary="a metric", target=f"swatches:{name}"))
    return registry


def write_swatches(folder: Path, per_colour: int = 6) -> list[Path]:
    """`red-0.swatch` …, every colour a little different, in class folders."""
    files = []
    for colour, rgb in COLOURS.items():
        (folder / colour).mkdir(parents=True, exist_ok=True)
        for index in range(per_colour):
            file = folder / colour / f"{colour}-{index}.swatch"
            file.write_text(" ".join(str(min(255, max(0, value + 9 * index - 20))) for value in rgb))
            files.append(file)
    return files
