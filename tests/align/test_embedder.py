"""The embedder: order, refusals, memory, batches, precision."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlcli.align import Embedder, Space, Tower
from vlcli.align.batches import is_out_of_memory, length_batches
from vlcli.align.loading import Loader
from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.registry import Registry


@pytest.fixture
def space(toys: Registry) -> Space:
    return Space("demo", {"numbers": Tower(toys.build("encoder", "toy"), name="toys/toy")}).eval()


def sources(count: int, seed: int = 0) -> list[Source]:
    rng = random.Random(seed)
    lines = [" ".join(f"{rng.random():.3f}" for _ in range(rng.randint(1, 40))) for _ in range(count)]
    return [Source(id=f"item {i}", value=line) for i, line in enumerate(lines)]


def expected(space: Space, source: Source) -> np.ndarray:
    values = torch.tensor([[float(word) for word in (source.value or "").split()]])
    inputs = {"values": values, "attention_mask": torch.ones_like(values, dtype=torch.long)}
    with torch.inference_mode():
        return space.embed("numbers", inputs)[0].numpy()


def test_rows_keep_the_order_of_the_inputs(space: Space, toys: Registry) -> None:
    given = sources(3000)
    embedder = Embedder(space, toys, batch_size=16)
    results = list(embedder.embed_sources("numbers", given))
    assert [result.source for result in results] == given
    for index in (0, 1, 777, 1023, 1024, 2999):
        vector = results[index].vector
        assert vector is not None and vector.dtype == np.float32
        np.testing.assert_allclose(vector, expected(space, given[index]), atol=1e-5)
    assert embedder.statistics.items == 3000
    assert embedder.statistics.padded_tokens <= 1.15 * embedder.statistics.useful_tokens


def test_refused_inputs_never_move_rows(space: Space, toys: Registry, tmp_path: Path) -> None:
    given = sources(200)
    bad = {3: "refuse", 50: "one two", 51: "-1 2", 120: "nan 1", 199: "refuse"}
    codes = {3: "D400", 50: "D190", 51: "X202", 120: "X203", 199: "D400", 77: "D190"}
    for index, text in bad.items():
        given[index] = Source(id=f"bad {index}", value=text)
    given[77] = Source(id="bad 77", path=tmp_path / "missing")
    results = list(Embedder(space, toys, batch_size=8).embed_sources("numbers", given))
    assert {i: r.error.code for i, r in enumerate(results) if r.error is not None} == codes
    for index, result in enumerate(results):
        assert (result.vector is None) == (index in codes)
        if result.vector is not None:
            np.testing.assert_allclose(result.vector, expected(space, given[index]), atol=1e-5)


def test_content_hash_is_that_of_the_bytes(space: Space, toys: Registry, tmp_path: Path) -> None:
    file = tmp_path / "numbers"
    file.write_bytes(b"1 2 3")
    given = [Source(id="a", path=file), Source(id="b", value="1 2 3"), Source(id="c", path=tmp_path / "none")]
    hashes = [result.content_hash for result in Embedder(space, toys).embed_sources("numbers", given)]
    assert hashes == [hashlib.sha256(b"1 2 3").hexdigest()] * 2 + [None]


def test_out_of_memory_splits_the_batch_and_goes_on(space: Space, toys: Registry) -> None:
    encoder: Any = space.tower("numbers").encoder
    encoder.largest_batch = 5
    given = sources(100)
    embedder = Embedder(space, toys, batch_size=64)
    results = list(embedder.embed_sources("numbers", given))
    assert all(result.error is None for result in results)
    np.testing.assert_allclose(results[42].vector, expected(space, given[42]), atol=1e-5)
    assert embedder.batch_size <= 5
    assert embedder.statistics.splits > 0


def test_an_item_too_large_alone_says_which_number_to_lower(space: Space, toys: Registry) -> None:
    encoder: Any = space.tower("numbers").encoder
    encoder.largest_batch = 0
    result = next(Embedder(space, toys).embed_sources("numbers", sources(1)))
    assert result.error is not None and result.error.code == "X201"
    assert "--max-tokens" in result.error.help


def test_a_model_that_always_fails_is_not_the_inputs_fault(space: Space, toys: Registry) -> None:
    given = [Source(id=f"{i}", value=f"-{i + 1} 1") for i in range(8)]
    with pytest.raises(RuntimeError, match="negative number"):
        list(Embedder(space, toys).embed_sources("numbers", given))


def test_reading_stays_a_bounded_distance_ahead(space: Space, toys: Registry) -> None:
    taken = 0

    def stream() -> Iterator[Source]:
        nonlocal taken
        for source in sources(5000):
            taken += 1
            yield source

    results = Embedder(space, toys, batch_size=4, workers=2).embed_sources("numbers", stream())
    next(results)
    assert taken < 1500
    results.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vlcli-load")]


def test_few_large_items_wait_for_the_model(space: Space, toys: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlcli.align.loading.WAITING_BYTES", 1000)
    monkeypatch.setattr("vlcli.align.embedder.WAITING_BYTES", 1000)
    taken = 0

    def stream() -> Iterator[Source]:
        nonlocal taken
        for source in sources(1000):
            taken += 1
            yield source

    results = Embedder(space, toys, workers=1).embed_sources("numbers", stream())
    next(results)
    assert taken <= 30


def test_loading_overlaps_in_threads(toys: Registry, space: Space) -> None:
    modality = toys.load(toys.find("modality", "numbers"))()
    barrier, original = threading.Barrier(2, timeout=20), modality.load

    def load(source: Source) -> Any:
        if source.id in ("item 0", "item 4"):
            barrier.wait()  # passes only when two threads load at once
        return original(source)

    modality.load = load
    loaded = list(Loader(modality, space.tower("numbers").encoder, workers=2)(sources(8)))
    assert [item.error for item in loaded] == [None] * 8


@pytest.mark.parametrize("wrapped", [False, True])
def test_what_found_no_memory_beside_others_is_loaded_once_more(
    toys: Registry, space: Space, monkeypatch: pytest.MonkeyPatch, wrapped: bool
) -> None:
    """Also when the modality tells of it by a refusal of its own."""
    modality_class = toys.load(toys.find("modality", "numbers"))
    original, tried = modality_class.load, []

    def load(modality: Any, source: Source) -> Any:
        tried.append(source.id)
        if tried.count("item 2") == 1 and source.id == "item 2":
            try:
                raise MemoryError
            except MemoryError as error:
                if wrapped:
                    raise VlcliError("D305", source.id, "asks for too much memory") from error
                raise
        return original(modality, source)

    monkeypatch.setattr(modality_class, "load", load)
    results = list(Embedder(space, toys).embed_sources("numbers", sources(5)))
    assert [result.error for result in results] == [None] * 5 and tried.count("item 2") == 2


def test_batch_invariant_vectors_are_equal_to_the_bit(space: Space, toys: Registry) -> None:
    given = sources(60)
    embedder = Embedder(space, toys, batch_invariant=True)
    together = [result.vector for result in embedder.embed_sources("numbers", given)]
    alone = [next(embedder.embed_sources("numbers", [source])).vector for source in reversed(given)][::-1]
    for one, other in zip(together, alone, strict=True):
        assert one is not None and other is not None and np.array_equal(one, other)


def test_bf16_is_near_and_float32(space: Space, toys: Registry) -> None:
    given = sources(20)
    for result in Embedder(space, toys, precision="bf16").embed_sources("numbers", given):
        assert result.vector is not None and result.vector.dtype == np.float32
        assert float(result.vector @ expected(space, result.source)) > 0.999


def test_width_and_wrong_settings(space: Space, toys: Registry) -> None:
    result = next(Embedder(space, toys, dim=3).embed_sources("numbers", sources(1)))
    assert result.vector is not None and result.vector.shape == (3,)
    for settings, code in (({"precision": "int3"}, "X104"), ({"dim": 7}, "U211"), ({"batch_size": 0}, "U213")):
        with pytest.raises(VlcliError) as caught:
            Embedder(space, toys, **settings)  # type: ignore[arg-type]
        assert caught.value.code == code


def test_a_space_in_training_is_put_back(space: Space, toys: Registry) -> None:
    space.train()
    list(Embedder(space, toys).embed_sources("numbers", sources(3)))
    assert all(module.training for module in space.modules())


def test_token_budget_bounds_every_batch() -> None:
    rng = random.Random(0)
    lengths = [rng.randint(1, 200) for _ in range(500)] + [5000]
    batches = length_batches(lengths, 32, 1000)
    assert sorted(index for batch in batches for index in batch) == list(range(501))
    for batch in batches:
        padded = max(lengths[index] for index in batch) * len(batch)
        assert len(batch) <= 32 and (padded <= 1000 or len(batch) == 1)


@pytest.mark.parametrize(
    ("error", "memory"),
    [(MemoryError(), True), (torch.OutOfMemoryError("x"), True), (RuntimeError("shape mismatch"), False),
     (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
     (ValueError("out of memory"), False)],
)  # fmt: skip
def test_out_of_memory_is_recognised(error: Exception, memory: bool) -> None:
    assert is_out_of_memory(error) is memory


def test_batches_hold_little_padding() -> None:
    lengths = [256, 250] + [16] * 40 + [12] * 30 + [9] * 30
    batches = length_batches(lengths, 32, 16_384)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    padded = sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)
    assert padded <= 1.15 * sum(lengths)
    # So little padding that a further batch would cost more.
    assert length_batches([20, 18, 15, 10, 3], 32, 1024) == [[0, 1, 2, 3, 4]]
