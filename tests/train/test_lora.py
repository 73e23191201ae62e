"""Low-rank adapters: they alone train, merge into the weights, resume, and the space needs no adapter library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vlcli.align.space import Space
from vlcli.errors import VlcliError
from vlcli.train.lora import add_adapters, merge_adapters

pytest.importorskip("peft")

LORA = (
    'train.lora={ rank = 2, alpha = 4.0, targets = ["space.towers.numbers.encoder.*"] }',
    "towers.numbers.trainable=[]",
)  # fmt: skip


def test_adapters_train_in_a_frozen_tower(train: Any, toys: Any) -> None:
    run, plain = train(*LORA, "train.steps=20"), train("towers.numbers.trainable=[]", "train.steps=20")
    assert run.weights.keys() == plain.weights.keys()
    changed = {
        name for name in run.weights
        if ".numbers." in f".{name}" and "encoder" in name and not torch.equal(run.weights[name], plain.weights[name])
    }  # fmt: skip
    assert changed and all(name.endswith("weight") and ("body.0" in name or "last" in name) for name in changed)
    space = Space.load(run.folder / "space", toys)
    assert space.identity == run.trained.method.space.identity


def test_merged_weights_give_what_the_adapters_gave(toys: Any) -> None:
    from vlcli.recipe.schema_train import Lora

    torch.manual_seed(0)
    encoder = toys.build("encoder", "toys/net", {}).eval()
    inputs = {"values": torch.randn(5, 6)}
    before = encoder(inputs).pooled
    trainable = {name for name, one in encoder.named_parameters() if one.requires_grad}
    assert add_adapters(encoder, Lora(rank=2, alpha=8.0, targets=("*",))) == ["body.0", "last"]
    torch.testing.assert_close(encoder(inputs).pooled, before)
    assert {
        name.replace("base_layer.", "") for name, one in encoder.named_parameters() if one.requires_grad
    } > trainable
    with torch.no_grad():
        for name, one in encoder.named_parameters():
            if "lora_B" in name:
                one.normal_()
    adapted = encoder(inputs).pooled
    assert (adapted - before).abs().max() > 0.1
    merge_adapters(encoder)
    torch.testing.assert_close(encoder(inputs).pooled, adapted, atol=1e-5, rtol=0)
    assert not [name for name in encoder.state_dict() if "lora" in name or "base_layer" in name]


def test_adapters_resume(train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(*LORA, "train.ema=0.9")
    killed = train(*LORA, "train.ema=0.9", folder=tmp_path / "run")
    for path in sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[1:]:
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    resumed = train(*LORA, "train.ema=0.9", folder=tmp_path / "run", resume=True)
    assert resumed.events("step")[0]["step"] == 11
    assert resumed.bytes == whole.bytes == killed.bytes


def test_a_pattern_that_matches_nothing(train: Any) -> None:
    with pytest.raises(VlcliError, match=r"T120.*no linear.*space.towers"):
        train('train.lora={ targets = ["attention"] }')
