"""A declared ceiling of memory, and memory that runs out at every single place: the result is the same, or said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_recipe import tiny_recipe
from torch import nn

from vlcli.align import Embedder, Space, Tower
from vlcli.align.gradcache import gradcache_backward
from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.runtime import memory
from vlcli.runtime.amounts import parse_amount, show_bytes

Vlcli = Callable[..., subprocess.CompletedProcess[str]]


# -- injected: out of memory at the n-th piece of work, for every n


class FailsAt:
    """Raises an out-of-memory error at one of its calls."""

    def __init__(self, function: Callable[..., Any], place: int, error: type[BaseException]) -> None:
        self.function, self.place, self.error, self.calls = function, place, error, 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == self.place + 1:
            raise self.error("out of memory (injected)")
        return self.function(*arguments, **options)


def embedded(space: Space, sources: list[Source], monkeypatch: pytest.MonkeyPatch, place: int,
             error: type[BaseException]) -> tuple[np.ndarray, int]:  # fmt: skip
    """All vectors, and how many batches were tried."""
    with monkeypatch.context() as patch:
        failing = FailsAt(space.embed, place, error)
        patch.setattr(space, "embed", failing)
        results = list(Embedder(space, load_plugins().registry, batch_size=4).embed_sources("text", sources))
    assert [result.source for result in results] == sources
    assert [result.error for result in results] == [None] * len(sources)
    return np.stack([result.vector for result in results if result.vector is not None]), failing.calls


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_embed_is_the_same_when_memory_runs_out_at_any_batch(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = load_plugins().registry
    encoder = registry.build("encoder", "text/small-gru", {"width": 8, "dim": 8})
    words = ["red", "green", "blue", "cat", "dog", "tree"]
    texts = [" ".join(words[(i + j) % 6] for j in range(1 + i % 6)) for i in range(27)]
    encoder.fit(texts)
    space = Space("demo", {"text": Tower(encoder, name="text/small-gru")}).eval()
    sources = [Source(id=str(i), value=text) for i, text in enumerate(texts)]
    whole, batches = embedded(space, sources, monkeypatch, -2, error)
    assert batches >= 7
    for place in range(batches):
        vectors, calls = embedded(space, sources, monkeypatch, place, error)
        assert calls > batches
        np.testing.assert_allclose(vectors, whole, atol=1e-6, rtol=0, err_msg=f"batch {place}")


TRAINING = tiny_recipe(
    """\
[optim]
use = "sgd"
lr = 1e-1
[train]
steps = 1
batch_size = 8
micro_batch = 2
log_every = 1
checkpoint_every = 100
""",
)


def test_a_training_step_is_the_same_when_memory_runs_out_at_any_micro_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both passes of GradCache over four micro-batches, and the loss between them: 9 places."""
    from safetensors.torch import load_file

    from vlcli.methods.contrastive import Contrastive
    from vlcli.recipe import load_recipe
    from vlcli.train.run import run_training

    registry = load_plugins().registry
    (tmp_path / "tiny.toml").write_text(TRAINING)
    recipe = load_recipe(str(tmp_path / "tiny.toml"), registry, (), ())
    names = iter(range(100))

    def train(place: int) -> tuple[dict[str, torch.Tensor], int, list[dict[str, Any]]]:
        calls = 0

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == place + 1:
                    raise torch.OutOfMemoryError("out of memory (injected)")
                return function(*arguments, **options)

            return call

        folder, records = tmp_path / f"run{next(names)}", []
        with monkeypatch.context() as patch:
            patch.setattr(Contrastive, "encode", counted(Contrastive.encode))
            patch.setattr(Contrastive, "loss", counted(Contrastive.loss))
            run_training(recipe.model, folder, registry, recipe_hash="x", log=records.append, quiet=True)
        return load_file(folder / "space" / "weights.safetensors"), calls, records

    whole, places, _ = train(-1)
    assert places == 9
    for place in range(places):
        weights, calls, records = train(place)
        assert calls > places
        assert [r["micro_batch"] for r in records if r["event"] == "out_of_memory"] == [1]
        for name, tensor in whole.items():
            torch.testing.assert_close(weights[name], tensor, atol=1e-6, rtol=0, msg=f"{name}, place {place}")


def test_gradcache_leaves_no_half_gradient_behind() -> None:
    """After a failed pass and a fresh start the gradient is that of one pass, at every place that can fail."""
    torch.manual_seed(0)
    model, data = nn.Linear(4, 3), torch.randn(6, 4)

    def gradient(place: int) -> torch.Tensor:
        encode = FailsAt(model, place, MemoryError)
        parts = list(data.split(2))
        try:
            gradcache_backward(encode, lambda out: {"loss": (out @ out.T).logsumexp(1).sum()}, parts)
        except MemoryError:
            model.zero_grad()
            gradcache_backward(encode, lambda out: {"loss": (out @ out.T).logsumexp(1).sum()}, parts)
        assert model.weight.grad is not None
        found = model.weight.grad.clone()
        model.zero_grad()
        return found

    whole = gradient(-2)
    for place in range(6):
        torch.testing.assert_close(gradient(place), whole, atol=1e-6, rtol=0)


# -- the ceiling


def test_amounts_count_by_1000_or_1024() -> None:
    assert [parse_amount(text) for text in ("2GB", "2GiB", "1.5k", "512MiB", "7")] == [
        2 * 10**9, 2**31, 1500, 2**29, 7]  # fmt: skip
    assert [show_bytes(count) for count in (3, 2**20, 3 * 2**29)] == ["3 bytes", "1 MiB", "1.50 GiB"]
    with pytest.raises(VlcliError, match="U130"):
        parse_amount("plenty", "--max-memory")


def test_buffers_are_planned_from_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.planned(1000, 0.5, 10) == 1000
    monkeypatch.setattr(memory, "memory_in_use", lambda: 2**30)
    monkeypatch.setenv(memory.MAX_MEMORY_VARIABLE, str(2**30 + 800))
    assert memory.room_below_ceiling() == 800
    assert (memory.planned(1000, 0.5, 10), memory.planned(100, 0.5, 10), memory.planned(1000, 0.001, 10)) == (
        400, 100, 10)  # fmt: skip


def test_more_in_use_than_allowed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_in_use", lambda: 3 * 2**29)
    monkeypatch.setenv(memory.MAX_MEMORY_VARIABLE, "2GiB")
    memory.check_ceiling("lower it")
    monkeypatch.setenv(memory.MAX_MEMORY_VARIABLE, "1GiB")
    with pytest.raises(VlcliError, match=r"X206.*1\.00 GiB.*1\.50 GiB are in use.*lower it, or raise --max-memory"):
        memory.check_ceiling("lower it")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (OSError(12, "Cannot allocate memory"), True),
        (OSError(2, "no such file"), False),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("could not create a primitive descriptor for a convolution"), False),
        (RuntimeError("can't start new thread"), True),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_want_of_memory(error: Exception, expected: bool) -> None:
    assert memory.is_out_of_memory(error) is expected


GUARDED = """\
import os, sys, signal
from vlcli.runtime.memory import stand_guard
stand_guard(2**27, "lower it")
{what}
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the guard is a forked process")
@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("os.abort()", 1, "ended by SIGABRT"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 1, "ended by SIGKILL"),
        ("x = b'x' * 2**28; signal.pause()", 1, "in use it was ended"),
        ("sys.exit(3)", 3, ""),
        ("os.kill(os.getppid(), signal.SIGTERM); signal.pause()", -15, ""),
    ],
)
def test_no_end_without_words(what: str, code: int, words: str) -> None:
    done = subprocess.run([sys.executable, "-c", GUARDED.format(what=what)], capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    assert done.returncode == code
    assert (words in done.stderr and "error[X206]" in done.stderr and "lower it" in done.stderr) if words else not (
        done.stderr)  # fmt: skip


LIMITED = """\
import sys
from vlcli.runtime.memory import limit_now, memory_ceiling, memory_in_use
import numpy as np, torch
from vlcli.errors import VlcliError
room = memory_in_use() + 200 * 2**20
kept = []
try:
    with memory_ceiling(str(room), "lower it"):
        limit_now("lower it")
        while len(kept) < 100:
            kept.append({allocate})
            print(len(kept), flush=True)
except VlcliError as error:
    print(error)
kept.append(np.ones(400 * 2**20, np.uint8))
print("the limit is gone")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts what is mapped on Linux alone")
@pytest.mark.parametrize("allocate", ["np.ones(16 * 2**20, np.uint8)", "torch.ones(4 * 2**20)", "b'x' * 2**24"])
def test_the_system_refuses_what_is_over_the_ceiling(allocate: str) -> None:
    """16 MiB at a time under 200 MiB of room: between 8 and 12 of them fit, then it is an error and no signal."""
    done = subprocess.run([sys.executable, "-c", LIMITED.format(allocate=allocate)], capture_output=True, text=True,
                          timeout=100, check=False)  # fmt: skip
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines[-1] == "the limit is gone", done.stderr
    assert "error[X206]" in lines[-2] and "lower it" in lines[-2]
    assert 8 <= int(lines[-3]) <= 12


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts what is mapped on Linux alone")
def test_embed_fits_under_a_ceiling_or_says_why(vlcli: Vlcli, tmp_path: Path) -> None:
    """Enough for smaller batches: all is embedded. Not enough for the model: X206, exit code 1, the store is sound."""
    lines = [f"{'word ' * (1 + i % 200)}{i}" for i in range(120)]
    (tmp_path / "texts.txt").write_text("\n".join(lines))
    command = ("embed", "texts.txt", "--space", "text/minilm", "--batch-size", "120")
    tight = vlcli(*command, "--store", "s", "--max-memory", "900MiB")
    assert tight.returncode == 0 and "120 embedded" in tight.stdout, tight.stderr
    hopeless = vlcli(*command, "--store", "t", VLCLI_MAX_MEMORY="420MiB")
    assert hopeless.returncode == 1 and "error[X206]" in hopeless.stderr, hopeless.stderr
    assert "raise --max-memory" in hopeless.stderr
    search = vlcli("search", "s", "word", "--top", "2", "--max-memory", "100MiB")
    assert search.returncode == 1 and "lower --top" in search.stderr
