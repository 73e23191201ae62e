"""`accelerate launch` with two processes trains the model that one trains: contrastive, GradCache, an own step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_recipe import free_port, tiny_recipe

RECIPE = tiny_recipe(
    """\
[optim]
lr = 1e-2

[train]
steps = 8
batch_size = 8
checkpoint_every = 4
log_every = 1
""",
    size=64,
)
OWN_STEP = RECIPE.replace('[objective]\nuse = "core/info-nce"', '[method]\nuse = "own/own-step"')
# A plugin with a method that has a training step of its own: the whole batch is compared across processes in it.
PLUGIN = """\
from vlcli.api import MethodSpec, hookimpl

@hookimpl
def vlcli_methods():
    yield MethodSpec(name="own-step", summary="A step of its own.", target="vlcli_own_step:OwnStep")
"""
METHOD = '''\
from vlcli.align.gather import all_gather
from vlcli.methods.contrastive import Contrastive

class OwnStep(Contrastive):
    """Squared cosines of wrong pairs against cosines of right ones, over the batch of all processes."""

    def training_step(self, batch, state, optimizer="main"):
        encoded = self.encode(batch)
        texts, ids = all_gather(encoded["text"]), all_gather(batch.ids)
        right = (batch.ids[:, None] == ids[None]).float()
        cosines = encoded["images"] @ texts.T
        return {"own": (cosines.square() * (1 - right) - cosines * right).mean()}
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The plugin as an installed distribution on the path."""
    folder = tmp_path / "site"
    about = folder / "vlcli_own-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: vlcli-own\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[vlcli.plugins.v1]\nown = vlcli_own_plugin\n")
    (folder / "vlcli_own_plugin.py").write_text(PLUGIN)
    (folder / "vlcli_own_step.py").write_text(METHOD)
    return folder


def launch(count: int, arguments: list[str], folder: Path, path: Path | None = None) -> subprocess.Popen[str]:
    """The command, started by Accelerate's launcher where there is more than one process."""
    port = free_port()
    launcher = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", str(count), "--num_machines", "1",
                "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_ip", "127.0.0.1",
                "--main_process_port", str(port), "--num_cpu_threads_per_process", "1"]  # fmt: skip
    command = [sys.executable, *(launcher if count > 1 else []), "-m", "vlcli", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    output = process.communicate(timeout=240)[0]
    assert process.returncode == 0, output
    return output


def curve(folder: Path) -> torch.Tensor:
    lines = (folder / "events.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    names = ("loss/total", "loss/own")
    found = {r["step"]: r[name] for r in records for name in names if name in r and "step" in r}
    return torch.tensor([found[step] for step in sorted(found)])


def compare(one: Path, two: Path) -> None:
    torch.testing.assert_close(curve(one), curve(two), atol=1e-4, rtol=0)
    weights = [load_file(folder / "space" / "weights.safetensors") for folder in (one, two)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], atol=1e-3, rtol=0, msg=name)
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in two.iterdir())


@pytest.mark.parametrize("kind", ["whole", "gradcache", "own-step"])
def test_two_processes_train_the_model_of_one(kind: str, tmp_path: Path, plugin: Path) -> None:
    """The same global batch of 8; the loss to 1e-4, the weights to 1e-3 (the order of sums differs)."""
    recipe = OWN_STEP if kind == "own-step" else RECIPE
    (tmp_path / "tiny.toml").write_text(recipe)
    cut = ["--set", "train.micro_batch=2"] if kind == "gradcache" else []
    finish(launch(1, ["run", "tiny.toml", "--out", "one", *cut], tmp_path, plugin))
    output = finish(launch(2, ["run", "tiny.toml", "--out", "two", *cut], tmp_path, plugin))
    assert output.count("report:") == 1
    assert len(curve(tmp_path / "two")) == 8
    compare(tmp_path / "one", tmp_path / "two")


def test_two_processes_go_on_where_they_were_killed(tmp_path: Path) -> None:
    """SIGKILL to all of them after the first checkpoint: the resumed run ends as one that was left alone."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    steps = ["--set", "train.steps=40"]
    finish(launch(1, ["run", "tiny.toml", "--out", "one", *steps], tmp_path))
    running = launch(2, ["run", "tiny.toml", "--out", "two", *steps], tmp_path)
    try:
        limit = time.monotonic() + 200
        while not list((tmp_path / "two" / "checkpoints").glob("step-*")) and running.poll() is None:
            assert time.monotonic() < limit
            time.sleep(0.01)
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    assert not (tmp_path / "two" / "space").exists()
    output = finish(launch(2, ["run", "--resume", "two"], tmp_path))
    assert output.count("report:") == 1
    compare(tmp_path / "one", tmp_path / "two")
