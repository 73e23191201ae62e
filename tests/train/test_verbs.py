"""The space of a run in the ordinary verbs: embed, search, classify, eval, drift; and the recipe for one's own data."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlcli.align.projection import build_head
from vlcli.align.space import Space, Tower
from vlcli.cli.main import run as vlcli
from vlcli.errors import VlcliError
from vlcli.evaluate.drift import drift_between, measure_drift

COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 230), "white": (245, 245, 245)}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty-four small pictures of four colours, with captions."""
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    with open(folder / "captions.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        for number in range(24):
            name, color = list(COLORS.items())[number % 4]
            pixels = np.clip(np.array(color) + generator.integers(-20, 20, (40, 40, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
            rows.writerow([f"{number}.png", f"a {name} thing, number {number}"])
    return folder


def output(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def use_everywhere(space: str, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All verbs take the space."""
    capsys.readouterr()
    assert vlcli(["embed", str(pictures), "--space", space, "--store", "found", "--json"]) in (0, 3)
    assert output(capsys)["embedded"] == 24
    assert vlcli(["search", "found", "a red thing", "--top", "3", "--json"]) == 0
    assert len(output(capsys)["results"]) == 3
    assert vlcli(["classify", str(pictures / "0.png"), "--labels", "red,green", "--space", space, "--json"]) == 0
    assert output(capsys)
    assert vlcli(["eval", space, "--data", str(pictures), "--bootstrap", "0", "--json"]) == 0
    assert output(capsys)["n"] == 24


def test_the_recipe_for_own_pictures(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The trained tower, as the recipe's comment says; small, and few steps."""
    use = f"data.use={json.dumps(str(pictures))}"
    small = 'towers.images={ use = "images/small-cnn", trainable = ["*"], head = { use = "linear", dim = 16 } }'
    words = 'towers.text={ use = "text/small-gru", trainable = ["*"], head = { use = "linear", dim = 16 } }'
    steps = ["--unset", "train.epochs", "--set", "train.steps=15", "--set", "train.batch_size=8"]
    assert vlcli(["recipes", "check", "align-my-images", "--set", use]) == 0
    arguments = ["run", "align-my-images", "--set", use, "--set", small, "--set", words, *steps, "--out", "mine"]
    assert vlcli(arguments) == 0
    events = [json.loads(line) for line in Path("mine/events.jsonl").read_text().splitlines()]
    data = next(record for record in events if record["event"] == "data")
    assert (data["train"], data["validation"], data["test"]) == (20, 2, 2)
    use_everywhere("mine/space", pictures, capsys)


def test_the_recipe_with_its_frozen_towers(pictures: Path) -> None:
    use = f"data.use={json.dumps(str(pictures))}"
    more = ["--set", "train.epochs=2", "--set", "train.views=1", "--set", "train.batch_size=10"]
    assert vlcli(["run", "align-my-images", "--set", use, *more, "--out", "mine"]) == 0
    description = json.loads(Path("mine/space/space.json").read_text())
    assert all(tower["reference"] for tower in description["towers"].values())


def space_of(toys: Any, seed: int, turn: torch.Tensor | None = None) -> Space:
    """A space of the toys; `turn` rotates the image side's head."""
    torch.manual_seed(seed)
    towers = {
        name: Tower(toys.build("encoder", use, {}), build_head({"kind": "linear", "dim": 6, "bias": False}, 8), use)
        for name, use in (("numbers", "toys/net"), ("text", "toys/letters"))
    }
    if turn is not None:
        head = next(
            parameter for name, parameter in towers["numbers"].head.named_parameters() if name.endswith("weight")
        )
        with torch.no_grad():
            head.copy_(turn @ head)
    return Space("demo", towers)


def rotation(degrees: float) -> np.ndarray:
    """The same turn in each of three planes, so that every vector of six numbers is turned by it."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.kron(np.eye(3), np.array([[cosine, -sine], [sine, cosine]]))


@pytest.mark.parametrize("degrees", [0.0, 0.5, 30.0, 170.0])
def test_a_turned_side_is_recovered(toys: Any, degrees: float) -> None:
    from train_toys import Pairs

    turn = torch.from_numpy(rotation(degrees)).float()
    examples = Pairs(24, 0, 0, True, True, False).examples
    found = drift_between(space_of(toys, 0), space_of(toys, 0, turn), examples, toys)
    assert found.rotation["numbers"] == pytest.approx(degrees, abs=1e-3)
    assert found.rotation["text"] == pytest.approx(0, abs=1e-3)
    assert found.rotation_mismatch == pytest.approx(degrees, abs=1e-3)
    # A rotation keeps what is inside a modality (single precision: angles of near vectors are good to 0.1 degrees).
    assert found.self_angle_change["numbers"] < 0.1 and found.self_angle_change["text"] == 0
    assert found.samples == 24


def test_angles_against_the_definition() -> None:
    generator = np.random.default_rng(0)
    sides = [generator.normal(size=(600, 5)) for _ in range(4)]
    a, b, c, d = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    found = measure_drift({"x": a, "text": b}, {"x": c, "text": d})

    def inside(rows: np.ndarray) -> np.ndarray:
        return np.degrees(np.arccos(np.clip(rows @ rows.T, -1, 1)))

    change = np.abs(inside(c) - inside(a))
    np.fill_diagonal(change, 0)
    assert found.self_angle_change["x"] == pytest.approx(change.sum() / (600 * 599))
    pairs = np.degrees(np.arccos((a * b).sum(1)))
    assert found.pair_angle_before == pytest.approx(pairs.mean())
    mismatch = np.abs(np.degrees(np.arccos((a * c).sum(1))) - np.degrees(np.arccos((b * d).sum(1))))
    assert found.rotation_mismatch == pytest.approx(mismatch.mean())
    with pytest.raises(VlcliError, match="E301"):
        measure_drift({"x": a, "text": b}, {"x": c[:, :4], "text": d[:, :4]})


def test_spaces_drift_from_the_command_line(
    command_line: Any, toys: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space_of(toys, 0).save(tmp_path / "a")
    space_of(toys, 0, torch.from_numpy(rotation(30.0)).float()).save(tmp_path / "b")
    arguments = ["spaces", "drift", "a", "b", "--data", "toys/pairs"]
    assert vlcli([*arguments, "--json"]) == 0
    found = output(capsys)
    assert (
        found["schema"] == 1
        and found["unit"] == "degree"
        and found["rotation"]["numbers"] == pytest.approx(30, abs=1e-3)
    )
    assert vlcli([*arguments, "--split", "train"]) == 0
    text = capsys.readouterr().out
    assert "rotation of numbers" in text and "30.00" in text and "split train" in text
    assert vlcli([*arguments, "--split", "exam"]) == 1
    assert "error[E402]" in capsys.readouterr().err
    assert vlcli([*arguments, "--modality", "images"]) == 1
    assert "error[E302]" in capsys.readouterr().err
