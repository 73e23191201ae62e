"""Several processes train the model that one trains, and only the first writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_recipe import free_port, tiny_recipe

from vlcli.cli.main import run as vlcli

RECIPE = tiny_recipe(
    """\
[optim]
lr = 1e-2

[train]
steps = 12
batch_size = 7
micro_batch = 2
ema = 0.9
eval_every = 5
checkpoint_every = 4
log_every = 1

[steps.look]
use = "preview"
data = "images/shapes"
count = 2
output = "look.png"
""",
    frozen_images=True,
)


def records(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def launch(arguments: list[str], folder: Path) -> list[str]:
    """Two processes as a launcher starts them; gives what each wrote."""
    port = free_port()
    processes = []
    for rank in range(2):
        environment = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        processes.append(
            subprocess.Popen([sys.executable, "-m", "vlcli", *arguments], cwd=folder, env=environment, text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        )  # fmt: skip
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    return outputs


def test_two_processes_train_the_same_model(tmp_path: Path) -> None:
    """7 examples on two processes are 4 and 3, in micro-batches of 2; the image tower is frozen and cached."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    assert vlcli(["run", "tiny.toml", "--out", "one"]) == 0
    outputs = launch(["run", "tiny.toml"], tmp_path)
    (two,) = (tmp_path / "runs").iterdir()
    assert "report:" in outputs[0] and "report:" not in outputs[1]
    curves = [
        torch.tensor([record["loss/total"] for record in records(folder) if "loss/total" in record])
        for folder in (tmp_path / "one", two)
    ]
    assert len(curves[1]) == 12
    torch.testing.assert_close(curves[0], curves[1], atol=1e-4, rtol=0)
    weights = [load_file(folder / "space" / "weights.safetensors") for folder in (tmp_path / "one", two)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-3, rtol=0)
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in (tmp_path / "one").iterdir())
    kinds = [record["event"] for record in records(two)]
    assert kinds.count("validation") == 2 and kinds.count("trained") == 1
    assert sorted(path.name for path in (two / "checkpoints").iterdir()) == ["step-00000008", "step-00000012"]


def test_a_claim_needs_no_launcher(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert vlcli(["reproduce", "mod-x"]) == 1
    assert "error[T132]" in capsys.readouterr().err
