"""What can not train is told in one sentence, with the right exit code, and before the work is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vlcli.cli.main import run as vlcli
from vlcli.errors import ExitCode, VlcliError
from vlcli.train.health import DIVERGED_STEPS, DivergenceWatch


@pytest.mark.parametrize("mode", ["nan", "inf"])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_batch(train: Any, mode: str) -> None:
    spoil = f'method={{ use = "toys/spoil", mode = "{mode}", at = 3 }}'
    message = rf"T401. step 3: the loss 'total' is {mode}; the batch of 8 examples holds n\d"
    with pytest.raises(VlcliError, match=message) as error:
        train(spoil, unset=("objective",))
    assert error.value.exit_code == ExitCode.FAILED


def test_a_damaged_example_is_named(train: Any) -> None:
    with pytest.raises(VlcliError, match=r"T401.*n3\b"):
        train("data.options.damaged=true", "data.options.size=48", "train.batch_size=24")


def test_a_loss_that_grows_without_end_stops_the_run(train: Any) -> None:
    with pytest.raises(VlcliError, match=r"T402.*step 102.*for 100 steps"):
        train('method={ use = "toys/spoil", mode = "grow" }', "train.steps=150", unset=("objective",))


def test_a_loss_may_jump_and_come_back() -> None:
    watch = DivergenceWatch()
    for step in range(10 * DIVERGED_STEPS):
        watch.check(0.01 if step % DIVERGED_STEPS == 0 else 2e4, step)
    copy = DivergenceWatch()
    copy.restore(watch.state())
    with pytest.raises(VlcliError, match="T402"):
        copy.check(2e4, 0)


CASES = {
    "no trainable parameter": (['stages=[{ name = "none", trainable = ["nothing.*"] }]'], "T102.*stage 'none'"),
    "batch of one": (["train.batch_size=1"], "T111.*batch of 1"),
    "filtered to nothing": (['data.filters=[{ use = "toys/only-long", least = 0 }]'], "T111.*batch of 0"),
    "filtered to one": (['data.filters=[{ use = "toys/only-long", least = 1 }]'], "T111.*batch of 1"),
    "no such split": (['data.test="exam"'], r"T106.*'exam'.*splits found: test, train, val; leave one out"),
    "no caption": (["data.options.captions=false"], "T107. n0: has no caption"),
    "more stages than steps": (
        ['stages=[{ name = "a" }, { name = "b" }]', "train.steps=1"], "T104.*1 steps can not hold 2 stages"),
    "CUDA is absent": (['device="cuda:9"'], "X101.*cuda:9"),
    "no layer for adapters": (['train.lora={ targets = ["nothing"] }'], "T120.*nothing|T120.*no linear"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refusals(train: Any, case: str) -> None:
    overrides, message = CASES[case]
    with pytest.raises(VlcliError, match=message) as error:
        train(*overrides)
    assert "\n" not in str(error.value)


def test_a_tower_of_the_wrong_modality(command_line: Any, recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.toml").write_text(recipe.replace('use = "toys/net"', 'use = "toys/letters"'))
    assert vlcli(["run", "tiny.toml"]) == 2
    assert "towers.numbers.use: the encoder 'toys/letters' is of modality 'text'" in capsys.readouterr().err


def test_a_method_without_towers(train: Any) -> None:
    with pytest.raises(VlcliError, match=r"T101|R1"):
        train(unset=("towers",))
    with pytest.raises(VlcliError, match=r"T101.*nothing to align with 'text'"):
        train(unset=("towers.numbers",))


def test_exit_codes_of_the_command(command_line: Any, recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.toml").write_text(recipe)
    assert vlcli(["run", "tiny.toml", "--set", "train.batch_size=1"]) == 1
    assert "error[T111]" in capsys.readouterr().err
    assert vlcli(["run", "tiny.toml", "--device", "cuda:9"]) == 1
    assert "error[X101]" in capsys.readouterr().err
    assert vlcli(["run", "tiny.toml", "--set", "optim.lrr=1"]) == 2
    assert "did you mean 'lr'" in capsys.readouterr().err


def test_data_without_splits_is_divided(train: Any) -> None:
    """Nobody is measured on what was trained on; the division is the same for every run."""
    first = train("data.options.splits=false")
    assert first.events("data") == [{"event": "data", "train": 40, "validation": 4, "test": 4}]
    assert first.bytes == train("data.options.splits=false").bytes
    few = train("data.options.splits=false", "data.options.size=5", "train.batch_size=3")
    assert few.events("data")[0]["train"] == 3
    with pytest.raises(VlcliError, match=r"T106.*data.test"):
        train("data.options.splits=false", "data.options.size=3", "train.batch_size=3", 'data.validation=""')
    assert train("data.options.splits=false", "data.options.size=3", "train.batch_size=3", 'data.validation=""',
                 'data.test=""').trained.metrics == {}  # fmt: skip


def test_order_draws_and_captions_are_functions_of_the_seed(toys: Any) -> None:
    from train_toys import Pairs

    from vlcli.align.projection import build_head
    from vlcli.align.space import Space, Tower
    from vlcli.train.batches import PairLoader, examples_of

    head = {"kind": "linear", "dim": 4}
    towers = {
        name: Tower(toys.build("encoder", use, {}), build_head(head, 8), use)
        for name, use in (("numbers", "toys/net"), ("text", "toys/letters"))
    }
    examples = examples_of(Pairs(48, 0, 0, True, True, False), "train")
    space = Space("tiny", towers)

    def loader(seed: int, **settings: Any) -> PairLoader:
        return PairLoader(examples, space, toys, batch_size=8, seed=seed, **settings)

    one, same, other = loader(0), loader(0), loader(1)
    assert [one.plan(step) for step in range(9)] == [same.plan(step) for step in reversed(range(9))][::-1]
    assert one.plan(0) != other.plan(0)
    epoch = [plan.index for step in range(3) for plan in one.plan(step)]
    assert sorted(epoch) == list(range(24)) and epoch != [p.index for s in range(3, 6) for p in one.plan(s)]
    parts = [loader(0, rank=rank, world_size=3).batch(4) for rank in range(3)]
    assert sorted(e.id for part in parts for e in part.examples) == sorted(e.id for e in one.batch(4).examples)
    assert [len(part) for part in parts] == [3, 3, 2]
    augmented = [loader(0, augment=True).batch(4).inputs["numbers"]["values"] for _ in range(2)]
    assert torch.equal(*augmented) and not torch.equal(augmented[0], one.batch(4).inputs["numbers"]["values"])
    streamed = [batch.ids for batch in one.stream(2, 5)]
    assert all(torch.equal(ids, one.batch(step).ids) for step, ids in enumerate(streamed, 2))
    with pytest.raises(VlcliError, match=r"T111.*shared by 9 processes"):
        loader(0, world_size=9)
