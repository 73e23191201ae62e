"""The encoder of motions, the recipes that train it, and the way of a user's own folder."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from vlcli_motion.data.kinematics import act
from vlcli_motion.data.scripts import draw_script
from vlcli_motion.encoders import MotionTransformer, resampled
from vlcli_motion.features import joints_to_features
from vlcli_motion.motion import Motion

from vlcli.cli.main import run
from vlcli.data.collate import pad_and_stack
from vlcli.errors import VlcliError
from vlcli.plugins import load_plugins
from vlcli.registry import Registry
from vlcli.testing import check_method, check_recipe, check_registered_encoder

SMALL = {"dim": 32, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins().registry


@pytest.fixture(scope="module")
def motions() -> list[Motion]:
    rng = random.Random(0)
    return [Motion(act(draw_script(rng), seed)) for seed in range(5)]


def test_it_keeps_the_contract(registry: Registry, motions: list[Motion]) -> None:
    check_registered_encoder(registry, "motion/motion-transformer", motions, dict(SMALL))


def test_padding_does_not_count(motions: list[Motion]) -> None:
    encoder = MotionTransformer(**SMALL).eval()
    encoder.fit(motions)
    alone = [encoder(pad_and_stack([encoder.preprocess(motion)])) for motion in motions]
    batch = encoder(pad_and_stack([encoder.preprocess(motion) for motion in motions]))
    assert batch.tokens is not None and batch.mask is not None
    for row, one in enumerate(alone):
        assert torch.allclose(batch.pooled[row], one.pooled[0], atol=1e-5)
        tokens = -(-(motions[row].frames - 1) // 4)
        assert int(batch.mask[row].sum()) == tokens
        assert one.tokens is not None and torch.allclose(batch.tokens[row, :tokens], one.tokens[0], atol=1e-5)


def test_fit_normalises_and_is_saved(motions: list[Motion]) -> None:
    encoder = MotionTransformer(**SMALL)
    encoder.fit(motions)
    features = torch.from_numpy(np.concatenate([joints_to_features(motion.joints) for motion in motions]))
    normal = (features - encoder.mean) / encoder.std
    assert normal.mean(0).abs().max() < 1e-3
    assert torch.isfinite(normal).all() and 0.5 < float(normal.std()) < 1.5
    assert encoder.std[4:67].unique().numel() == 1, "all positions share a spread"
    other = MotionTransformer(**SMALL)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other.mean, encoder.mean)
    still = Motion(np.repeat(motions[0].joints[:1], 9, 0))
    encoder.fit([still])
    assert (encoder.std > 0).all() and torch.isfinite(encoder(pad_and_stack([encoder.preprocess(still)])).pooled).all()


def test_order_in_time_matters(motions: list[Motion]) -> None:
    torch.manual_seed(0)
    encoder = MotionTransformer(**SMALL).eval()
    motion = motions[0]
    back = Motion(motion.joints[::-1].copy())
    first, second = (encoder(pad_and_stack([encoder.preprocess(one)])).pooled for one in (motion, back))
    assert not torch.allclose(first, second, atol=1e-3)


def test_long_motions_are_cut_and_others_refused(motions: list[Motion]) -> None:
    encoder = MotionTransformer(max_frames=16, **SMALL)
    assert len(encoder.preprocess(motions[0])["features"]) == 16
    with pytest.raises(VlcliError, match="W703"):
        encoder.preprocess(Motion(motions[0].joints[:1]))
    with pytest.raises(VlcliError, match="W702"):
        encoder.preprocess(Motion(motions[0].joints[:, :21], 12.5, "kit"))
    with pytest.raises(VlcliError, match="W701"):
        MotionTransformer(dim=30, heads=4)
    assert MotionTransformer("kit", **SMALL).mean.shape == (251,)


def test_augmentation_changes_speed_alone(motions: list[Motion]) -> None:
    encoder = MotionTransformer(**SMALL)
    made = [encoder.augment(motions[0], random.Random(seed)) for seed in range(8)]
    lengths = {motion.frames for motion in made}
    assert len(lengths) > 3 and all(0.88 < length / motions[0].frames < 1.12 for length in lengths)
    for motion in made:
        assert np.allclose(motion.joints[[0, -1]], motions[0].joints[[0, -1]], atol=1e-6)
    assert np.array_equal(resampled(motions[0].joints, motions[0].frames), motions[0].joints)


def test_recipes_are_valid(registry: Registry) -> None:
    check_recipe("motion/motion-text", registry)
    check_recipe("align-motion", registry)


def test_motion_text_trains_and_repeats(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    metrics = check_method(
        "motion/motion-text", registry, tmp_path,
        ["data.options={ size = 90, held_out = 24, movements = 1, max_seconds = 3.0, captions = 1 }",
         "train.epochs=8", "train.batch_size=45", "schedule.warmup=2", "optim.lr=3e-3",
         "towers.motion.options={ dim = 32, layers = 1, heads = 2 }", "towers.text.options={ dim = 32 }"],
    )  # fmt: skip
    assert metrics["test/text_to_motion/R@5"] > 1.5 * 5 / 24  # chance is 5 / 24


def test_ones_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert run(["motion", "samples", "-o", "clips", "--n", "24", "--format", "npy"]) == 0
    with open("clips/captions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24 and all(Path("clips", row["path"]).is_file() and row["caption"] for row in rows)
    with open("clips/captions.csv", "a") as file:
        file.write("broken.npy,a broken file,,,x,\n")
    Path("clips/broken.npy").write_bytes(b"\x93NUMPY nothing")
    train = ["run", "align-motion", "--set", 'data.use="clips"', "--set", "train.epochs=2", "--set",
             "towers.motion.options={ dim = 32, layers = 1, heads = 2 }",
             "--set", 'towers.text={ use = "text/small-gru", trainable = ["*"], head = { use = "linear", dim = 16 } }',
             "--set", 'towers.motion.head={ use = "linear", dim = 16 }', "--out", "out"]  # fmt: skip
    assert run(train) == 1
    assert "broken.npy" in capsys.readouterr().err, "training names the file that it can not read"
    lines = Path("clips/captions.csv").read_text().splitlines()
    Path("clips/captions.csv").write_text("\n".join(lines[:-1]) + "\n")
    assert run([*train[:-1], "again"]) == 0
    assert run(["embed", "clips", "--modality", "motion", "--space", "again/space", "--store", "./mine"]) == 3
    capsys.readouterr()
    assert run(["search", "./mine", "a person walks", "--html", "hits.html"]) == 0
    page = Path("hits.html").read_text()
    assert page.count('class="view"') > 5 and "vlcli.viewer(" in page


def test_drawing_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert run(["motion", "samples", "-o", "clips", "--n", "3", "--format", "npz"]) == 0
    clip = str(next(Path("clips").glob("*.npz")))
    assert run(["motion", "draw", clip, "-o", "a.png", "--size", "300", "--poses", "4"]) == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    assert run(["motion", "draw", clip, "-o", "a.gif"]) == 0 and Path("a.gif").read_bytes().startswith(b"GIF8")
    capsys.readouterr()
    assert run(["motion", "draw", clip, "-o", "a.svg"]) == 2 and "U821" in capsys.readouterr().err
    assert run(["motion", "samples", "-o", "b", "--format", "fbx"]) == 2 and "U822" in capsys.readouterr().err
