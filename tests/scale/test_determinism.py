"""Same seed, same bits; and vectors that do not depend on the batch, to the last bit."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from vlcli.align import Embedder
from vlcli.align.load import load_space
from vlcli.api import Source
from vlcli.cli.main import run
from vlcli.plugins import load_plugins
from vlcli.store import open_store


@pytest.mark.parametrize("name", ["text/minilm", "images/starter"])
def test_batch_invariant_vectors_are_equal_to_the_last_bit(name: str, pictures: Path) -> None:
    """Batches of 1, 7, 32 and 256, each in another order, of texts of many lengths and of pictures."""
    torch.set_num_threads(1)
    registry = load_plugins().registry
    modality, _, _ = name.partition("/")
    if modality == "text":
        sources = [Source(id=str(i), value="a word " * (1 + i % 23) + str(i)) for i in range(40)]
    else:
        sources = [Source(id=path.name, path=path) for path in sorted(pictures.glob("p*.png"))[:10]]
    space = load_space(name, registry, "cpu")
    found: set[bytes] = set()
    for batch_size in (1, 7, 32, 256):
        order = random.Random(batch_size).sample(sources, len(sources))
        embedder = Embedder(space, registry, batch_size=batch_size, batch_invariant=True)
        vectors = {result.source.id: result.vector for result in embedder.embed_sources(modality, order)}
        rows = [vectors[source.id] for source in sources]
        found.add(np.stack([row for row in rows if row is not None]).tobytes())
    assert len(found) == 1 and len(next(iter(found))) == len(sources) * space.dim * 4


def test_the_same_command_gives_the_same_bits(pictures: Path, tmp_path: Path) -> None:
    for store in ("a", "b"):
        assert run(["embed", str(pictures), "--store", f"./{store}", "--batch-invariant", "--quiet"]) == 3
    vectors = []
    for store in ("a", "b"):
        with open_store(tmp_path / store) as opened:
            vectors.append(opened.vectors([item.id for item in opened.items()]).tobytes())
    assert vectors[0] == vectors[1]
