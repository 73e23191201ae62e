"""Encoders learn from training items before training: a vocabulary, a mean."""

from __future__ import annotations

from typing import Any

import pytest
from train_toys import Letters, Net, Pairs

from vlcli.train import data


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What `fit` of each tower got."""
    got: dict[str, list[Any]] = {}
    monkeypatch.setattr(Net, "fit", lambda self, items: got.setdefault("numbers", items))
    monkeypatch.setattr(Letters, "fit", lambda self, items: got.setdefault("text", items))
    return got


def test_towers_get_the_training_items_and_no_others(train: Any, fitted: dict[str, list[Any]]) -> None:
    train("train.steps=1")
    world = [example for example in Pairs(48, 0, 0, True, True, False) if example.split == "train"]
    assert len(fitted["numbers"]) == len(world) == 24
    assert all(isinstance(item, list) and len(item) == 6 for item in fitted["numbers"])
    assert fitted["text"] == sorted(example.captions[0] for example in world)


def test_large_splits_are_sampled_at_equal_steps(
    train: Any, fitted: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    train("train.steps=1")
    every = fitted.pop("numbers")
    monkeypatch.setattr(data, "MOST_FITTED", 10)
    train("train.steps=1")
    assert fitted["numbers"] == every[::3]
