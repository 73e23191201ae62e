"""JM3D-LLM: what trains, captions by the saved model, the command, and what is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from test_jm3d import RECIPE as JM3D_RECIPE
from test_ulip import train
from vlcli_pointclouds.methods.jm3d.captioner import Captioner, token_loss
from vlcli_pointclouds.methods.jm3d.find import CAPTIONER_FILE, find_captioner
from vlcli_pointclouds.methods.jm3d.language import ids_of, load_language_model, small_language_model, small_tokenizer
from vlcli_pointclouds.methods.jm3d.llm import Jm3dLlm
from vlcli_pointclouds.methods.jm3d.slots import right_slots, slot_accuracy, slot_values

from vlcli.align import Tower
from vlcli.api import VlcliError
from vlcli.cli.main import run as vlcli
from vlcli.data.dataset import Example
from vlcli.plugins import load_plugins
from vlcli.registry import Registry
from vlcli.testing import check_method, check_recipe
from vlcli.train.run import Training

RECIPE = (
    JM3D_RECIPE.replace("pointclouds/jm3d", "pointclouds/jm3d-llm")
    .replace("image_text_share = 0.4", "image_text_share = 0.15\nalign_share = 0.15\nwidth = 16\nlayers = 1\nheads = 2")
    .replace("steps = 10", "steps = 20")
    .replace("num_points = 64", 'channels = "colours", num_points = 64')
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins().registry


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "llm-tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(recipe: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, list[Any]]:
    return train(recipe, tmp_path_factory.mktemp("runs") / "llm", registry)


def test_the_recipe_names_only_what_there_is(registry: Registry) -> None:
    check_recipe("pointclouds/jm3d-llm", registry)


def test_stages_train_one_part_each_and_the_language_model_is_frozen_at_last(
    trained: tuple[Training, list[Any]],
) -> None:
    training, steps = trained
    stages = list(dict.fromkeys(step["stage"] for step in steps))
    assert stages == ["image-text", "align", "language", "adapter"]
    method = training.method
    assert isinstance(method, Jm3dLlm)
    assert {"test/top1", "test/slot_accuracy", "test/slot_category", "test/slot_colour"} <= training.metrics.keys()
    method.train()
    assert not method.captioner.language.training and not method.captioner.tower.encoder.training
    method.eval()
    from vlcli.train.method import set_trainable

    adapter = next(stage for stage in method.stages() if stage.name == "adapter")
    assert set_trainable(method, adapter) == ["captioner.adapter.weight", "captioner.adapter.bias"]


def test_only_the_adapter_moves_in_its_stage(trained: tuple[Training, list[Any]], recipe: Path, registry: Registry,
                                             tmp_path: Path) -> None:  # fmt: skip
    # Another adapter rate changes nothing of what the stages before have made.
    other = train(recipe, tmp_path, registry, "method.adapter_lr_scale=0.5")[0].method
    first = trained[0].method
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, first.state_dict()[name]) != name.startswith("captioner.adapter."), name


def test_two_runs_are_equal(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    assert "test/slot_accuracy" in check_method(str(recipe), registry, tmp_path, ["train.steps=12"])


def test_the_saved_captioner_writes_what_the_trained_one_wrote(trained: tuple[Training, list[Any]],
                                                               registry: Registry) -> None:  # fmt: skip
    training = trained[0]
    method = training.method
    assert isinstance(method, Jm3dLlm) and training.model_folder is not None
    loaded = Captioner.load(training.model_folder, registry)
    examples = method.setup.examples("test")
    rows = method.material.point_rows(examples)
    assert loaded.captions(rows) == method.write(examples)
    assert not list(training.model_folder.rglob("*.bin")) + list(training.model_folder.rglob("*.pt"))
    # The language model is a plain folder of transformers.
    model, tokenizer = load_language_model(str(training.model_folder))
    assert tokenizer.decode(ids_of(tokenizer, "a low red cube"), skip_special_tokens=True) == "a low red cube"
    assert model.config.model_type == "gpt2"


def test_a_blank_captioner_says_the_same_of_everything(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    overrides = ['method.points="blank"', "train.steps=12"]
    method = train(recipe, tmp_path, registry, *overrides)[0].method
    assert isinstance(method, Jm3dLlm)
    assert len(set(method.write(method.setup.examples("test")))) == 1


def test_an_adapter_makes_a_frozen_language_model_write_what_it_reads(registry: Registry) -> None:
    """Features of four objects, one number each: only the adapter learns, and the captions come out."""
    captions = ["a red box", "a blue star", "a green ring", "a pink cone"]
    tokenizer = small_tokenizer(captions, 50)
    torch.manual_seed(0)
    language = small_language_model(len(tokenizer), 32, 2, 2, 32)
    options = {
        "num_points": 16,
        "groups": (4, 2),
        "neighbours": (4, 2),
        "widths": ((4,), (4,), (8,)),
        "hidden": 4,
        "dim": 4,
    }
    encoder = registry.build("encoder", "pointclouds/pointnet2", options)
    captioner = Captioner(Tower(encoder), language, tokenizer, tokens=1, token_width=0, longest=8)
    rows, draw = captioner.caption_rows(captions), random.Random(0)
    ids = rows["caption_ids"]

    def learn(parameters: Any, steps: int, loss: Any) -> None:
        optimizer = torch.optim.AdamW(parameters, lr=1e-2)
        for _ in range(steps):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()

    def foretold() -> torch.Tensor:
        """Every caption behind its own words in any order."""
        cues = torch.stack([row[draw.sample(range(3), 3)] for row in ids])
        text = torch.cat([cues, torch.full((4, 1), int(tokenizer.bos_token_id)), ids], dim=1)
        return token_loss(language(text).logits[:, 3:-1], ids, rows["mask"])

    learn(language.parameters(), 100, foretold)
    before = {name: value.clone() for name, value in language.state_dict().items()}
    features = torch.eye(4).unsqueeze(1)
    learn(captioner.adapter.parameters(), 200, lambda: captioner.loss(features, ids, rows["mask"]))
    captioner.eval()
    values = {"colour": ["blue", "green", "pink", "red"], "category": ["box", "cone", "ring", "star"]}
    examples = [Example(text, {}, metadata=dict(zip(values, text.split()[1:], strict=True))) for text in captions]
    assert slot_accuracy(captioner.write(features), examples, values)["slot_accuracy"] == 1.0
    assert all(torch.equal(value, before[name]) for name, value in language.state_dict().items())
    assert len(set(captioner.write(torch.zeros_like(features)))) == 1


def small_llama(vocabulary: int) -> Any:
    """A language model of another architecture than the built-in one's."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(vocab_size=vocabulary, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                         num_attention_heads=2, bos_token_id=2, eos_token_id=3, pad_token_id=0)  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_a_language_model_and_a_space_of_ones_own(
    kind: str, trained: tuple[Training, list[Any]], recipe: Path, registry: Registry, tmp_path: Path
) -> None:
    tokenizer = small_tokenizer(["a low red cube", "a high blue star with points"], 50)
    model = small_llama(len(tokenizer)) if kind == "llama" else small_language_model(len(tokenizer), 16, 1, 2, 64)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    text = RECIPE
    start = text.index("[towers.pointclouds]")
    end = text.index("[method]")
    text = text[:start] + f'[towers.pointclouds]\nuse = "space:{trained[0].space_folder}"\n\n' + text[end:]
    text = text.replace("image_text_share = 0.15\nalign_share = 0.15\n", f'language_model = "{tmp_path / "model"}"\n')
    path = tmp_path / "own.toml"
    path.write_text(text.replace("templates = 4\n", 'templates = 4\nprompt = "a"\n'), encoding="utf-8")
    found, steps = train(path, tmp_path / "run", registry, "train.steps=4")
    assert {step["stage"] for step in steps} == {"adapter"}
    assert found.space_folder is None and found.model_folder is not None
    method = found.method
    assert isinstance(method, Jm3dLlm)
    kept = method.captioner.language.get_input_embeddings().weight
    assert torch.equal(kept, model.get_input_embeddings().weight), "the language model stays as it was"
    assert Captioner.load(found.model_folder, registry).prompt == "a"


def test_untrained_points_and_too_many_shares_are_refused(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    cases = {"T361": ["method.align_share=0", "method.image_text_share=0"], "T364": ["method.language_share=0.9"],
             "T365": ["method.heads=3"]}  # fmt: skip
    for code, overrides in cases.items():
        with pytest.raises(VlcliError) as caught:
            train(recipe, tmp_path / code, registry, *overrides)
        assert caught.value.code == code


def test_slots_count_true_values_and_no_others() -> None:
    values = {"colour": ["dark red", "red", "blue"], "category": ["box", "star"]}
    truth = {"colour": "red", "category": "box"}
    assert right_slots("A red box.", truth, values) == {"colour": True, "category": True}
    assert right_slots("a red or blue boxer", truth, values) == {"colour": False, "category": False}
    assert right_slots("a dark red box", {"colour": "dark red"}, values) == {"colour": True}
    assert right_slots("a dark red box", {"colour": "red"}, values) == {"colour": False}
    examples = [Example("a", {}, metadata={"colour": "red", "category": "box"}),
                Example("b", {}, metadata={"colour": "blue", "category": "box"})]  # fmt: skip
    assert slot_values(examples, ["colour", "category", "size"]) == {"colour": ["blue", "red"]}
    found = slot_accuracy(["a red box", "a red box"], examples, {"colour": ["blue", "red"]})
    assert found == {"slot_colour": 0.5, "slot_accuracy": 0.5}


def test_the_command_captions_files_and_lists_what_it_refuses(
    trained: tuple[Training, list[Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    method, model = trained[0].method, trained[0].model_folder
    assert isinstance(method, Jm3dLlm) and model is not None
    examples = method.setup.examples("test")[:2]
    files = [str(example.sources["pointclouds"].path) for example in examples]
    assert vlcli(["pointclouds", "caption", *files, "--model", str(model.parent)]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    expected = method.write(examples)
    assert [line.rpartition(": ")[2] for line in lines] == [text or "(nothing)" for text in expected]
    broken = tmp_path / "broken.ply"
    broken.write_bytes(b"ply\nformat ascii 1.0\nelement vertex 9\n")
    assert vlcli(["pointclouds", "caption", files[0], str(broken), "--model", str(model), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert len(found["results"]) == 1 and found["refused"][0]["path"].endswith("broken.ply")
    monkeypatch.chdir(tmp_path)
    assert vlcli(["pointclouds", "caption", files[0]]) != 0
    assert "W241" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "tokens": -1, "token_width": 1, '
                                     '"prompt": "", "longest": 3, "blank": false}'])  # fmt: skip
def test_a_damaged_captioner_file_is_refused(content: str, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / CAPTIONER_FILE).write_text(content, encoding="utf-8")
    with pytest.raises(VlcliError) as caught:
        Captioner.load(tmp_path, registry)
    assert caught.value.code == "W241"


def test_where_a_captioner_is_looked_for(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / "runs" / f"jm3d-llm-{number}" / "model"
        folder.mkdir(parents=True)
        (folder / CAPTIONER_FILE).write_text("{}", encoding="utf-8")
    assert find_captioner(None, tmp_path / "runs").parent.name in ("jm3d-llm-1", "jm3d-llm-2")
    assert find_captioner(tmp_path / "runs" / "jm3d-llm-1") == tmp_path / "runs" / "jm3d-llm-1" / "model"
    for missing in (tmp_path / "nothing", tmp_path):
        with pytest.raises(VlcliError) as caught:
            find_captioner(missing)
        assert caught.value.code == "W241" and "vlcli run jm3d-llm" in caught.value.help
