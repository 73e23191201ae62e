"""Collating, batching and prefetching."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlcli.data.batching import length_batches, padding_ratio, token_batches, windows
from vlcli.data.collate import pad_and_stack
from vlcli.data.prefetch import prefetch
from vlcli.errors import VlcliError


def test_equal_shapes_are_stacked() -> None:
    batch = pad_and_stack([{"pixels": torch.full((3, 2, 2), float(n)), "n": n} for n in range(3)])
    assert batch["pixels"].shape == (3, 3, 2, 2)
    assert torch.equal(batch["n"], torch.tensor([0, 1, 2]))
    assert set(batch) == {"pixels", "n"}


def test_lengths_are_padded_and_masked() -> None:
    batch = pad_and_stack([{"frames": torch.ones(n, 4)} for n in (2, 5, 1)])
    assert batch["frames"].shape == (3, 5, 4)
    assert batch["attention_mask"].tolist() == [[1, 1, 0, 0, 0], [1] * 5, [1, 0, 0, 0, 0]]
    assert torch.equal(batch["frames"].sum((1, 2)), torch.tensor([8.0, 20.0, 4.0]))


def test_a_given_mask_is_padded_with_zeros() -> None:
    items = [{"input_ids": torch.ones(n, dtype=torch.long), "attention_mask": torch.ones(n, dtype=torch.long)}
             for n in (1, 3)]  # fmt: skip
    assert pad_and_stack(items)["attention_mask"].tolist() == [[1, 0, 0], [1, 1, 1]]


@pytest.mark.parametrize("items", [[], [{"a": torch.ones(2)}, {"b": torch.ones(2)}],
                                   [{"a": torch.ones(2, 3)}, {"a": torch.ones(2, 4)}],
                                   [{"a": torch.ones(())}, {"a": torch.ones(2)}]])  # fmt: skip
def test_what_can_not_be_collated_is_told(items: list) -> None:
    with pytest.raises(VlcliError, match="D120"):
        pad_and_stack(items)


@settings(max_examples=100, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 50), max_size=60), items=st.integers(1, 9), tokens=st.none() | st.integers(1, 90)
)
def test_batches_hold_each_item_once_within_the_limits(lengths: list[int], items: int, tokens: int | None) -> None:
    batches = length_batches(lengths, max_items=items, max_tokens=tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= items
        assert tokens is None or len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= tokens


def test_sorting_saves_padding() -> None:
    lengths = [1, 100] * 50
    in_order = [list(range(start, start + 10)) for start in range(0, 100, 10)]
    assert padding_ratio(lengths, in_order) > 1.9
    assert padding_ratio(lengths, length_batches(lengths, max_items=10)) == 1.0


def test_windows_and_streams() -> None:
    assert list(windows(range(5), 2)) == [[0, 1], [2, 3], [4]]
    streamed = list(token_batches(iter(["aaa", "bb", "c", "dddd"]), len, max_items=2, window=3))
    assert streamed == [["c", "bb"], ["aaa"], ["dddd"]]
    with pytest.raises(ValueError, match="at least one"):
        list(windows([], 0))
    with pytest.raises(ValueError, match="at least one"):
        length_batches([1], max_items=0)


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_prefetch_keeps_the_order_and_the_errors(workers: int) -> None:
    def invert(n: int) -> float:
        return 1 / n

    found = list(prefetch(invert, [1, 0, 2, 4], workers=workers))
    assert [(f.item, f.result) for f in found] == [(1, 1.0), (0, None), (2, 0.5), (4, 0.25)]
    assert isinstance(found[1].error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        found[1].value()


def test_prefetch_is_bounded() -> None:
    taken: list[int] = []

    def numbers():
        for n in range(1000):
            taken.append(n)
            yield n

    stream = prefetch(lambda n: n, numbers(), workers=2, ahead=3)
    next(stream)
    assert len(taken) == 5
    stream.close()
    assert len(taken) == 5
    assert not any(thread.name.startswith("vlcli-prefetch") for thread in threading.enumerate())


def test_prefetch_passes_on_the_failure_of_its_source_after_its_items() -> None:
    def source():
        yield from (1, 2)
        raise OSError("gone")

    seen = []
    with pytest.raises(OSError, match="gone"):
        for fetched in prefetch(lambda n: n * 10, source(), workers=2, ahead=8):
            seen.append(fetched.result)
    assert seen == [10, 20]
