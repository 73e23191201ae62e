"""Checkpoints: kill -9 and resume, bit by bit; what is refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_recipe import tiny_recipe

from vlcli.cli.main import run as vlcli
from vlcli.errors import VlcliError
from vlcli.train.checkpoint import checkpoints, load_checkpoint, pack, save_checkpoint, unpack
from vlcli.train.loop import Trainer


class Killed(Exception):
    """Stands for the end of the process."""


def killed_at(step: int) -> pytest.MonkeyPatch:
    """Makes the trainer end after so many steps, before it logs or saves them."""
    patch = pytest.MonkeyPatch()
    plain = Trainer.after_step

    def after_step(self: Trainer, *rest: Any) -> None:
        if self.global_step == step:
            raise Killed
        plain(self, *rest)

    patch.setattr(Trainer, "after_step", after_step)
    return patch


STAGED = """
[[stages]]
name = "one"
trainable = ["*.head.*"]

[[stages]]
name = "two"
data = { world = 1 }
"""
FULL = (
    "train.steps=20", "train.ema=0.8", "towers.numbers.options.dropout=0.2", "towers.numbers.options.batch_norm=true",
    "train.augment=true", "train.micro_batch=3", "schedule.warmup=4", "train.eval_every=4",
)  # fmt: skip


def test_a_killed_run_goes_on_to_the_same_bits(train: Any, recipe: str, tmp_path: Path) -> None:
    """Killed in the first stage, before its end, at the start of the second and inside it; checkpoints every 5."""
    recipe += STAGED
    whole = train(*FULL, recipe=recipe)
    for step in (6, 10, 11, 17):
        folder = tmp_path / f"killed-{step}"
        patch = killed_at(step)
        with pytest.raises(Killed):
            train(*FULL, recipe=recipe, folder=folder)
        patch.undo()
        resumed = train(*FULL, recipe=recipe, folder=folder, resume=True)
        first = resumed.events("step")[0]["step"]
        assert first == (step - 1) // 5 * 5 + 1
        assert torch.equal(resumed.curve(), whole.curve()[first - 1 :])
        assert resumed.bytes == whole.bytes
        assert resumed.trained.metrics == whole.trained.metrics


def test_a_run_killed_after_its_last_step_only_evaluates(train: Any, tmp_path: Path) -> None:
    whole = train(folder=tmp_path / "run")
    again = train(folder=tmp_path / "run", resume=True)
    assert not again.events("step") and again.bytes == whole.bytes


def test_resume_without_a_checkpoint_starts_anew(train: Any, tmp_path: Path) -> None:
    assert train(folder=tmp_path / "new", resume=True).bytes == train().bytes


@pytest.mark.parametrize("method", ['{ use = "toys/two-turns" }', '{ use = "core/mod-x", keep = "weights" }'])
def test_methods_resume_too(train: Any, method: str, tmp_path: Path) -> None:
    options = (f"method={method}", 'train.micro_batch="auto"')
    if "mod-x" in method:
        options = (*options, "method.phases=[{ world = 0 }, { world = 1 }]")
    whole = train(*options, unset=("objective",))
    patch = killed_at(11)
    with pytest.raises(Killed):
        train(*options, unset=("objective",), folder=tmp_path / "killed")
    patch.undo()
    assert train(*options, unset=("objective",), folder=tmp_path / "killed", resume=True).bytes == whole.bytes


def test_a_checkpoint_of_another_recipe_is_refused(train: Any, tmp_path: Path) -> None:
    train(folder=tmp_path / "run")
    with pytest.raises(VlcliError, match=r"T202.*another recipe"):
        train("optim.lr=0.5", folder=tmp_path / "run", resume=True)


def test_a_damaged_checkpoint_is_named(train: Any, tmp_path: Path) -> None:
    train(folder=tmp_path / "run")
    newest = checkpoints(tmp_path / "run" / "checkpoints")[-1]
    data = bytearray((newest / "tensors.safetensors").read_bytes())
    data[-1] ^= 1
    (newest / "tensors.safetensors").write_bytes(data)
    with pytest.raises(VlcliError, match=f"T201.*{newest.name}.*checksum"):
        train(folder=tmp_path / "run", resume=True)
    # As the message says: without it the run goes on from the one before.
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    assert train(folder=tmp_path / "run", resume=True).bytes == train().bytes


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "tied": [shared, shared], "view": shared[::2], 3: {"a/b": torch.tensor(1)}, "a": {"b": torch.tensor(2)},
        "none": None, "float": 0.1 + 0.2, "yes": True, "half": torch.ones(2, dtype=torch.bfloat16),
    }  # fmt: skip
    tensors: dict[str, torch.Tensor] = {}
    back = unpack(json.loads(json.dumps(pack(state, tensors))), tensors)
    assert back.keys() == state.keys() and back["float"] == 0.1 + 0.2 and back["yes"] is True
    assert torch.equal(back["view"], torch.tensor([0.0, 2.0, 4.0])) and back["half"].dtype == torch.bfloat16
    with pytest.raises(TypeError, match="set at 'state/odd'"):
        pack({"odd": {1}}, {})
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"step": step, "weight": torch.tensor([float(step)])})
    (tmp_path / ".writing-00000004").mkdir()
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000002", "step-00000003"]
    assert load_checkpoint(checkpoints(tmp_path)[-1])["weight"].item() == 3.0


SHAPES = tiny_recipe(
    """\
[train]
steps = 300
batch_size = 8
micro_batch = 8
keep_inputs = true
ema = 0.9
checkpoint_every = 20
log_every = 50
""",
    data='validation = ""',
)


def test_kill_9_and_resume_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.toml").write_text(SHAPES)
    assert vlcli(["run", "tiny.toml", "--out", "whole"]) == 0
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vlcli", "run", "tiny.toml", "--out", "killed"], cwd=tmp_path, env=environment,
            stdout=log, stderr=log,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while not checkpoints(tmp_path / "killed" / "checkpoints") and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.005)
        time.sleep(random.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert not (tmp_path / "killed" / "space").exists(), "the run was over before it could be killed"
    assert vlcli(["run", "--resume", "killed"]) == 0
    whole, killed = (tmp_path / name / "space" / "weights.safetensors" for name in ("whole", "killed"))
    assert killed.read_bytes() == whole.read_bytes()
    assert json.loads((tmp_path / "killed" / "run.json").read_text())["status"] == "done"
    capsys.readouterr()
    assert vlcli(["run", "--resume", "killed", "--set", "optim.lr=0.1"]) == 2
    assert "R201" in capsys.readouterr().err
