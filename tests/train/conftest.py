"""A registry with the toys beside the real parts, a recipe, and functions that train it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vlcli.api import DatasetSpec, EncoderSpec, FilterSpec, MethodSpec, ModalitySpec
from vlcli.plugins import Plugins, load_plugins
from vlcli.registry import Registry

# The toys are registered by module name, as a plugin's parts are.
sys.path.append(str(Path(__file__).parent / "toys"))
sys.path.append(str(Path(__file__).parents[1] / "shared"))

RECIPE = """\
schema = 1
name = "tiny"
threads = 1

[data]
use = "toys/pairs"
options = { size = 48 }

[towers.numbers]
use = "toys/net"
trainable = ["*"]
head = { use = "linear", dim = 6 }

[towers.text]
use = "toys/letters"
trainable = ["*"]
head = { use = "linear", dim = 6 }

[objective]
use = "core/info-nce"

[optim]
lr = 1e-2

[train]
steps = 12
batch_size = 8
micro_batch = 8
log_every = 1
checkpoint_every = 5
"""


@pytest.fixture(autouse=True)
def quiet_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread, an empty home and working directory, no other process around."""
    torch.set_num_threads(1)
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def toys() -> Registry:
    real = load_plugins().registry
    registry = Registry({kind: dict(table) for kind, table in real.entries.items()}, list(real.recipe_folders))
    where = "train_toys"
    specs: list[tuple[str, Any]] = [
        ("modality", ModalitySpec(name="numbers", summary="", target=f"{where}:Numbers")),
        ("encoder", EncoderSpec(name="net", summary="", target=f"{where}:Net", options=f"{where}:NetOptions",
                                modality="numbers")),
        ("encoder", EncoderSpec(name="letters", summary="", target=f"{where}:Letters",
                                options=f"{where}:LettersOptions", modality="text")),
        ("dataset", DatasetSpec(name="pairs", summary="", target=f"{where}:Pairs", options=f"{where}:PairsOptions",
                                modalities=("numbers",))),
        ("filter", FilterSpec(name="only-long", summary="", target=f"{where}:OnlyLong",
                              options=f"{where}:OnlyLongOptions")),
        ("method", MethodSpec(name="spoil", summary="", target=f"{where}:Spoil", options=f"{where}:SpoilOptions")),
        ("method", MethodSpec(name="two-turns", summary="", target=f"{where}:TwoTurns")),
        ("method", MethodSpec(name="overlapping", summary="", target=f"{where}:Overlapping")),
        ("method", MethodSpec(name="averager", summary="", target=f"{where}:Averager")),
        ("method", MethodSpec(name="claimed", summary="", target="vlcli.methods.mod_x:ModX",
                              options="vlcli.methods.options:ModXOptions", paper="A paper", recipe="claimed.toml")),
    ]  # fmt: skip
    for kind, spec in specs:
        registry.add("toys", kind, spec)
    return registry


@pytest.fixture
def command_line(toys: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Lets `vlcli.cli.main.run` see the toys."""
    monkeypatch.setattr("vlcli.plugins.load_plugins", lambda **options: Plugins(toys))
    return toys


class Run:
    """A finished training.

    Attributes:
        folder: where checkpoints and the space are.
        records: everything that was logged.
        trained: what `run_training` gave.
    """

    def __init__(self, folder: Path, records: list[dict[str, Any]], trained: Any) -> None:
        self.folder, self.records, self.trained = folder, records, trained

    def curve(self, key: str = "loss/total") -> torch.Tensor:
        return torch.tensor([record[key] for record in self.records if key in record], dtype=torch.float64)

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == kind]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "space" / "weights.safetensors")

    @property
    def bytes(self) -> bytes:
        return (self.folder / "space" / "weights.safetensors").read_bytes()


Train = Callable[..., Run]


@pytest.fixture
def train(toys: Registry, tmp_path: Path) -> Train:
    """`train(*overrides, recipe=RECIPE, unset=(), folder=None, resume=False)` trains and gives a `Run`."""
    from vlcli.recipe import load_recipe
    from vlcli.train.run import run_training

    numbers = iter(range(100))

    def run(
        *overrides: str, recipe: str = RECIPE, unset: tuple[str, ...] = (), folder: Path | None = None,
        resume: bool = False,
    ) -> Run:  # fmt: skip
        number = next(numbers)
        file = tmp_path / f"recipe-{number}.toml"
        file.write_text(recipe, encoding="utf-8")
        resolved = load_recipe(str(file), toys, overrides, unset)
        place = folder or tmp_path / f"run-{number}"
        records: list[dict[str, Any]] = []
        trained = run_training(
            resolved.model, place, toys, recipe_hash=resolved.hash, resume=resume, log=records.append, quiet=True
        )
        json.dumps(records)
        return Run(place, records, trained)

    return run


@pytest.fixture
def recipe() -> str:
    return RECIPE
