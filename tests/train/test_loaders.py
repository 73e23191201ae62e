"""Batches that a method makes itself, and methods that give no space."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.errors import VlcliError
from vlcli.registry import Registry
from vlcli.runtime.files import atomic_folder
from vlcli.testing import check_method
from vlcli.train import ExampleLoader, LoaderSpec, Stage

RECIPE = """\
schema = 1
name = "mean"
threads = 1
[data]
use = "toys/pairs"
options = { size = 48 }
[method]
use = "toys/averager"
[optim]
lr = 0.1
[train]
steps = 12
batch_size = 8
log_every = 1
checkpoint_every = 5
eval_every = 4
"""


def examples(count: int) -> list[Example]:
    return [Example(str(n), {"numbers": Source(str(n), value=str(n))}, label="ab"[n % 5 == 0]) for n in range(count)]


def loader(count: int, batch: int, rank: int = 0, world: int = 1, balanced: bool = False) -> ExampleLoader:
    spec = LoaderSpec(Stage(), batch, 3, rank, world)
    balance = (lambda example: str(example.label)) if balanced else None
    return ExampleLoader(examples(count), lambda chosen, rng: {"draw": torch.tensor([rng.random()])}, spec, balance)


@given(count=st.integers(2, 40), batch=st.integers(1, 50), epoch=st.integers(0, 3))
def test_an_epoch_holds_no_example_twice(count: int, batch: int, epoch: int) -> None:
    """Full batches of different examples, in an order that changes from epoch to epoch."""
    one = loader(count, batch)
    start = epoch * one.steps_per_epoch
    seen = [index for step in range(start, start + one.steps_per_epoch) for index in one.indices(step)]
    assert len(seen) == one.steps_per_epoch * min(batch, count) == len(set(seen))


@given(count=st.integers(10, 60), batch=st.integers(2, 16), steps=st.integers(1, 30))
def test_groups_are_drawn_equally_often(count: int, batch: int, steps: int) -> None:
    """One example in five is of the rare group; both are drawn alike, and inside a group no example is favoured."""
    one = loader(count, batch, balanced=True)
    drawn = [index for step in range(steps) for index in one.indices(step)]
    groups = Counter(index % 5 == 0 for index in drawn)
    assert abs(groups[True] - groups[False]) <= 1
    for rare in (True, False):
        members = [index for index in range(count) if (index % 5 == 0) == rare]
        times = Counter(index for index in drawn if (index % 5 == 0) == rare)
        assert max(times[index] for index in members) - min(times[index] for index in members) <= 1


def test_a_batch_depends_on_its_step_alone() -> None:
    """A resumed run reads what the uninterrupted one would have read, whatever came before."""
    straight, resumed = loader(23, 4), loader(23, 4)
    whole = list(straight.stream(0, 20))
    rest = list(resumed.stream(13, 20))
    for left, right in zip(whole[13:], rest, strict=True):
        assert torch.equal(left.ids, right.ids)
        assert torch.equal(left.inputs["batch"]["draw"], right.inputs["batch"]["draw"])


def test_processes_share_a_batch() -> None:
    """Two processes hold the two halves of the same global batch."""
    parts = [loader(20, 6, rank, 2).batch(2).ids.tolist() for rank in (0, 1)]
    assert sorted(parts[0] + parts[1]) == sorted(loader(20, 6).batch(2).ids.tolist())
    with pytest.raises(VlcliError, match="T111"):
        loader(1, 6, 0, 2)


def test_a_method_without_a_space_trains_saves_and_resumes(train: Callable[..., Any]) -> None:
    """Its own batches, curve, metrics and model; a run that was cut ends with the same bits."""
    whole = train(recipe=RECIPE)
    assert whole.trained.space_folder is None and whole.trained.model_folder == whole.folder / "model"
    assert [record["step"] for record in whole.events("validation")] == [4, 8]
    assert set(whole.trained.metrics) == {"test/error"}
    assert {record["stage"] for record in whole.events("step")} == {"first", "second"}
    number = json.loads((whole.folder / "model" / "number.json").read_text())
    assert number != 0
    cut = train(recipe=RECIPE)
    for checkpoint in sorted((cut.folder / "checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(checkpoint)
    (cut.folder / "model" / "number.json").write_text("0")
    train(recipe=RECIPE, folder=cut.folder, resume=True)
    assert json.loads((cut.folder / "model" / "number.json").read_text()) == number


def test_a_stage_can_read_another_data_set(train: Callable[..., Any]) -> None:
    """The key `use` of a stage's data names it; the first set's options do not leak into it."""
    recipe = RECIPE + '[[stages]]\nname = "only"\ndata = { use = "toys/pairs", size = 30 }\n'
    assert train(recipe=recipe).trained.metrics


def test_contract_check_of_a_method_without_a_space(toys: Registry, tmp_path: Path) -> None:
    """The check that plugins call takes such a method."""
    file = tmp_path / "mean.toml"
    file.write_text(RECIPE, encoding="utf-8")
    assert check_method(str(file), toys, tmp_path / "runs")["test/error"] > 0


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    """A failing block leaves the earlier folder; one that writes nothing changes nothing; no remains either way."""
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("1")
    with pytest.raises(RuntimeError), atomic_folder(target) as folder:
        (folder / "file").write_text("2")
        raise RuntimeError
    with atomic_folder(target):
        pass
    assert (target / "inner" / "file").read_text() == "1"
    with atomic_folder(target) as folder:
        (folder / "file").write_text("3")
    assert [entry.name for entry in target.iterdir()] == ["file"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
