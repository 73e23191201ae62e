"""`vlcli motion generate` and `vlcli motion caption` on a run, and the generator `motion/lamp` behind them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vlcli_motion.methods.lamp.generate import LampGenerator
from vlcli_motion.motion import Motion
from vlcli_motion.readers import read_motion

from vlcli.api import VlcliError
from vlcli.cli.main import run as vlcli
from vlcli.plugins import load_plugins
from vlcli.testing import check_generator

RECIPE = """
schema = 1
name = "lamp-tiny"
summary = "A LaMP too small to be any good."
threads = 1
device = "cpu"

[data]
use = "motion/procedural"
options = { size = 40, held_out = 8, movements = 2, styles = false, captions = 2, max_seconds = 3.0 }

[method]
use = "motion/lamp"
width = 16
hidden = 32
heads = 2
layers = 2
vq_width = 16
vq_depth = 1
code_dim = 8
codes = 16
dim = 16
max_tokens = 15
vq_batch = 8
vq_share = 4.0
lamp_share = 2.0
rerank = 0

[method.generator]
share = 3.0
batch_size = 8
code_width = 8
width = 16
layers = 2
heads = 2
feed_forward = 32
test_examples = 8
classifier_steps = 5

[method.captioner]
share = 2.0
language_share = 2.0
batch_size = 8
width = 16
layers = 1
heads = 2
lora_rank = 2
max_words = 12
test_examples = 4

[optim]
lr = 1e-3

[train]
steps = 13
batch_size = 8
"""
PROMPT = "a person walks forward, then turns left"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `runs/lamp-1`, made by the command as a user would."""
    folder = tmp_path_factory.mktemp("motion")
    (folder / "tiny.toml").write_text(RECIPE)
    assert vlcli(["run", str(folder / "tiny.toml"), "--out", str(folder / "runs/lamp-1")]) == 0
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A working directory of its own from which the newest run is found."""
    (tmp_path / "runs").symlink_to(trained / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_run_measures_generator_and_captioner(trained: Path) -> None:
    metrics = json.loads((trained / "runs/lamp-1/metrics.json").read_text())["train"]
    for name in ("real_accuracy", "reconstructed_accuracy", "generated_accuracy", "shuffled_accuracy"):
        assert 0 <= metrics[f"generation/{name}"] <= 1
    assert metrics["generation/masked_nll"] > 0 and metrics["generation/generated_fid"] >= 0
    # At most as many as a matrix has rows: the condition and 15 tokens.
    assert 1 <= metrics["generation/rank"] <= 16 and 1 <= metrics["generation/initial_rank"] <= 16
    for kind in ("real", "generated", "shuffled"):
        assert -1 <= metrics[f"captioning/{kind}_bert_score"] <= 1
    model = trained / "runs/lamp-1/model"
    for name in ("lamp.json", "generator.json", "generator.safetensors", "captioner/captioner.json",
                 "captioner/adapter/adapter_model.safetensors", "captioner/language/model.safetensors"):  # fmt: skip
        assert (model / name).is_file()


def test_generate_writes_bvh_and_draws_it(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["motion", "generate", PROMPT, "--seconds", "2", "--seed", "3", "-o", "out.bvh", "--preview", "out.gif"]
    assert vlcli([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["motions"] == [{"path": "out.bvh", "preview": "out.gif", "frames": 41, "seconds": 2.0}]
    assert told["model"] == "runs/lamp-1/model" and told["unknown_words"] == []
    motion = read_motion(Path("out.bvh"))
    assert motion.joints.shape == (41, 22, 3) and np.isfinite(motion.joints).all()
    with Image.open("out.gif") as picture:
        assert picture.n_frames > 5
    first = Path("out.bvh").read_bytes()
    assert vlcli(command) == 0
    assert Path("out.bvh").read_bytes() == first
    assert vlcli([*command[:6], "4", *command[7:]]) == 0
    assert Path("out.bvh").read_bytes() != first


def test_several_motions_get_numbers(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["motion", "generate", PROMPT, "--seconds", "1", "--model", "runs/lamp-1", "--guidance", "2",
               "--steps", "4"]  # fmt: skip
    assert vlcli([*command, "-n", "3", "-o", "clip.npy", "--preview", "clip.png"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "clip-2.npy  clip-2.png"
    clips = [np.load(f"clip-{number}.npy") for number in (1, 2, 3)]
    assert not np.array_equal(clips[0], clips[1])
    # The first of several is the one that is made alone.
    assert vlcli([*command, "-o", "one.npy"]) == 0
    assert np.array_equal(np.load("one.npy"), clips[0])


def test_unknown_words_are_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vlcli(["motion", "generate", "a person does a cartwheel", "-o", "x.npz", "--seconds", "1"]) == 0
    assert "cartwheel" in capsys.readouterr().err
    assert read_motion(Path("x.npz")).frames == 21


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["  ", "-o", "x.bvh"], "U811"),
        ([PROMPT, "-o", "x.fbx"], "U812"),
        ([PROMPT, "-o", "x.bvh", "--preview", "x.mp4"], "U812"),
        ([PROMPT, "-o", "x.bvh", "--seconds", "30"], "U813"),
        ([PROMPT, "-o", "x.bvh", "--model", "nowhere"], "W330"),
    ],
)
def test_generate_refuses(here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str) -> None:
    assert vlcli(["motion", "generate", *arguments]) != 0
    assert f"[{code}]" in capsys.readouterr().err
    assert not Path("x.bvh").exists()


def test_caption_describes_files(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = here / "clips"
    clips.mkdir()
    assert vlcli(["motion", "generate", PROMPT, "--seconds", "1", "-n", "2", "-o", "clips/clip.bvh"]) == 0
    (clips / "broken.bvh").write_text("HIERARCHY\nnothing")
    capsys.readouterr()
    assert vlcli(["motion", "caption", "clips/clip-1.bvh"]) == 0
    alone = capsys.readouterr().out.rstrip("\n")
    assert vlcli(["motion", "caption", "clips", "--model", "runs/lamp-1/model", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [Path(row["path"]).name for row in told["results"]] == ["clip-1.bvh", "clip-2.bvh"]
    assert told["results"][0]["caption"] == alone
    assert [Path(row["path"]).name for row in told["refused"]] == ["broken.bvh"]
    assert vlcli(["motion", "caption", "clips"]) == 3
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].endswith(f"clip-1.bvh: {alone}") and "refused[" in shown.err


def test_without_a_run_both_say_how_to_get_one(tmp_path: Path) -> None:
    for arguments in (["generate", PROMPT, "-o", "x.bvh"], ["caption", "x.bvh"]):
        done = subprocess.run([sys.executable, "-m", "vlcli", "motion", *arguments], cwd=tmp_path, text=True,
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode != 0 and "[W330]" in done.stderr and "vlcli run lamp" in done.stderr


def test_the_generator_keeps_the_contract(trained: Path) -> None:
    generator = LampGenerator(str(trained / "runs/lamp-1"), seconds=1.0)
    prompts = ["a person waves with the left hand", PROMPT, PROMPT]
    motions = check_generator(generator, prompts=prompts)
    assert all(isinstance(motion, Motion) and motion.frames == 21 for motion in motions)
    assert not np.array_equal(motions[1].joints, motions[2].joints)
    # What else is asked for does not matter.
    alone = generator.generate([PROMPT], seed=1)[0]
    assert np.array_equal(alone.joints, motions[1].joints)
    options = {"model": str(trained / "runs/lamp-1"), "seconds": 3.0}
    assert load_plugins().registry.build("generator", "motion/lamp", options).tokens == 15


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("generator.json", b"{", "W204"),
        ("generator.json", b'{"schema": 1}', "W335"),
        ("generator.json", {"width": 10**9}, "W335"),
        ("generator.json", {"heads": 3}, "W335"),
        ("generator.json", {"layers": 3}, "W104"),
        ("generator.safetensors", b"no tensors", "W103"),
        ("generator.safetensors", None, "W102"),
        ("lamp.safetensors", None, "W102"),
    ],
)
def test_damaged_generators_are_refused(
    trained: Path, tmp_path: Path, name: str, content: bytes | dict[str, int] | None, code: str
) -> None:
    for file in (trained / "runs/lamp-1/model").iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / name
    if content is None:
        path.unlink()
    elif isinstance(content, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | content))
    else:
        path.write_bytes(content)
    with pytest.raises(VlcliError) as refused:
        LampGenerator(str(tmp_path), seconds=1.0)
    assert refused.value.code == code
