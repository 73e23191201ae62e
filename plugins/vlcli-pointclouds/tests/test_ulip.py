"""ULIP as a method: stages, what trains, targets, baselines, a CLIP checkpoint, resuming, and the space in use."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from vlcli_pointclouds.methods.alignment import ALIGN, few_of_each
from vlcli_pointclouds.methods.material import Kept, Material, neighbouring_views
from vlcli_pointclouds.methods.prompts import POINT_CLOUD_TEMPLATE, TEMPLATES, names_of, prompts_for
from vlcli_pointclouds.methods.ulip import Ulip

from vlcli.align import Space, load_space
from vlcli.api import Source, VlcliError
from vlcli.cli.main import run as vlcli
from vlcli.data.dataset import Example
from vlcli.evaluate.zero_shot import check_templates
from vlcli.plugins import load_plugins
from vlcli.recipe import load_recipe
from vlcli.registry import Registry
from vlcli.testing import check_method, check_recipe
from vlcli.train.loop import Trainer
from vlcli.train.run import Training, run_training

RECIPE = """\
schema = 1
name = "ulip-tiny"
threads = 1
device = "cpu"

[data]
use = "pointclouds/shapes"
options = { size = 36, points = 128, categories = ["box", "ring", "star"] }

[towers.pointclouds]
use = "pointclouds/pointnet2"
options = { num_points = 64, groups = [16, 4], neighbours = [8, 4], widths = [[8, 16], [16, 16], [32]], hidden = 16, dim = 16 }
trainable = ["*"]
head = { dim = 8 }

[towers.images]
use = "images/small-cnn"
options = { side = 16, width = 8, dim = 16 }
trainable = ["*"]
head = { dim = 8 }

[towers.text]
use = "text/small-gru"
options = { width = 16, dim = 16 }
trainable = ["*"]
head = { dim = 8 }

[method]
use = "pointclouds/ulip"
image_text_share = 0.4
templates = 4

[optim]
lr = 3e-3
weight_decay = 0.1

[train]
steps = 10
batch_size = 8
log_every = 1
checkpoint_every = 3
"""  # noqa: E501 - the options of one tower belong into one line


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins().registry


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "ulip-tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def train(recipe: Path, folder: Path, registry: Registry, *overrides: str, **rest: Any) -> tuple[Training, list[Any]]:
    resolved = load_recipe(str(recipe), registry, list(overrides))
    events: list[Any] = []
    folder.mkdir(parents=True, exist_ok=True)
    trained = run_training(resolved.model, folder, registry, recipe_hash="t", log=events.append, quiet=True, **rest)
    return trained, [event for event in events if event.get("event") == "step"]


@pytest.fixture(scope="module")
def aligned(recipe: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, list[Any]]:
    return train(recipe, tmp_path_factory.mktemp("runs") / "aligned", registry)


@pytest.mark.parametrize("name", ["ulip", "ulip-space"])
def test_the_recipes_name_only_what_there_is(name: str, registry: Registry) -> None:
    check_recipe(f"pointclouds/{name}", registry)


def test_there_are_64_templates_and_one_says_what_the_modality_is() -> None:
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 64
    assert check_templates(TEMPLATES) == TEMPLATES
    assert TEMPLATES[0] == POINT_CLOUD_TEMPLATE == "a point cloud model of {}"
    assert prompts_for("chair", 3) == ["a point cloud model of chair", "chair", "a chair"]


def test_names_of_an_example_at_every_level() -> None:
    metadata = {"subtype": "bar stool", "synonyms": ["seat"]}
    example = Example("a", {}, ("a red stool",), "stool", "train", metadata)
    assert names_of(example, "label") == ("stool", "seat")
    assert names_of(example, "subtype") == ("bar stool",)
    assert names_of(example, "captions") == ("a red stool",)
    plain = Example("b", {}, ("a mug",))
    assert names_of(plain, "label") == names_of(plain, "subtype") == ("a mug",)


def test_only_the_point_tower_learns_from_the_alignment(aligned: tuple[Training, list[Any]], recipe: Path,
                                                        registry: Registry, tmp_path: Path) -> None:  # fmt: skip
    _, steps = aligned
    assert [step["stage"] for step in steps] == ["image-text"] * 4 + ["align"] * 6
    assert {"loss/images_text"} == {key for key in steps[0] if key.startswith("loss")}
    assert {"loss/points_text", "loss/points_images"} == {key for key in steps[-1] if key.startswith("loss")}
    # The same first stage alone: what the alignment leaves untouched is equal to the last bit.
    before, _ = train(recipe, tmp_path, registry, 'method.baseline="views"', "train.steps=4")
    assert before.space_folder is None
    last, first = aligned[0].method.result_space(), before.method.space
    assert last is not None and isinstance(first, Space)
    for name, tensor in last.state_dict().items():
        same = torch.equal(tensor, first.state_dict()[name])
        assert same != name.startswith("towers.pointclouds."), name


def test_frozen_towers_rest_in_evaluation_mode(aligned: tuple[Training, list[Any]]) -> None:
    method = aligned[0].method
    assert isinstance(method, Ulip)
    method.train()
    assert all(not part.training for name in ("images", "text") for part in method.space.tower(name).modules())
    assert method.space.tower("pointclouds").encoder.training
    method.eval()


def test_two_runs_are_equal_and_the_space_loads_again(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    metrics = check_method(str(recipe), registry, tmp_path, ["train.steps=5"])
    assert {"test/top1", "test/subtype_top1"} <= metrics.keys()


def test_a_run_that_was_killed_goes_on_to_the_same_bits(
    aligned: tuple[Training, list[Any]], recipe: Path, registry: Registry, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    after = Trainer.after_step

    def killed(self: Trainer, *args: Any) -> None:
        after(self, *args)
        if self.global_step == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "after_step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path, registry)
    resumed, steps = train(recipe, tmp_path, registry, resume=True)
    assert steps[0]["step"] == 7
    whole, other = aligned[0].method.result_space(), resumed.method.result_space()
    assert whole is not None and other is not None and whole.identity == other.identity
    assert resumed.metrics == aligned[0].metrics


def test_unseen_labels_are_left_out_and_measured_apart(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    trained, _ = train(recipe, tmp_path, registry, 'method.unseen=["star", "ring"]', "train.steps=4")
    assert {"test/seen_top1", "test/unseen_top1", "test/unseen_top1_of_all", "test/top1"} <= trained.metrics.keys()
    # One label among one: always right; the fair number is that among all.
    assert trained.metrics["test/seen_top1"] == 1.0
    method = trained.method
    assert isinstance(method, Ulip)
    from vlcli.train.loaders import ExampleLoader, LoaderSpec

    stage = next(stage for stage in method.stages() if stage.name == ALIGN)
    loader = method.loader(method.setup.examples("train"), LoaderSpec(stage, 8, 0))
    assert isinstance(loader, ExampleLoader)
    assert {example.label for example in loader.examples} == {"box"}


def test_shuffled_pairs_belong_to_other_objects(aligned: tuple[Training, list[Any]]) -> None:
    method = aligned[0].method
    assert isinstance(method, Ulip)
    examples = method.setup.examples("train")
    assert method.partners(examples, 3) == examples
    method.options = method.options.model_copy(update={"pairs": "shuffled"})
    try:
        partners = method.partners(examples, 3)
    finally:
        method.options = method.options.model_copy(update={"pairs": "own"})
    assert sorted(one.id for one in partners) == sorted(one.id for one in examples)
    assert sum(one is other for one, other in zip(partners, examples, strict=True)) < len(examples) // 2


def test_fine_tuning_leaves_the_space_as_it_was(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    tuned, steps = train(recipe, tmp_path, registry, "method.finetune_share=0.3", "method.finetune_labels=2")
    assert [step["stage"] for step in steps][-3:] == ["fine-tune"] * 3
    assert 0 <= tuned.metrics["test/finetuned_top1"] <= 1
    method = tuned.method
    assert isinstance(method, Ulip) and method.classifier is not None
    space = method.space.tower("pointclouds").encoder.state_dict()
    own = method.classifier.encoder.state_dict()
    assert any(not torch.equal(space[name], own[name]) for name in space)
    few = few_of_each(method.setup.examples("train"), 2, 0)
    assert Counter(example.label for example in few) == {"box": 2, "ring": 2, "star": 2}


def test_a_network_from_scratch_is_measured_without_any_alignment(recipe: Path, registry: Registry,
                                                                  tmp_path: Path) -> None:  # fmt: skip
    overrides = ['method.baseline="scratch"', "method.image_text_share=0", "train.steps=3"]
    trained, steps = train(recipe, tmp_path, registry, *overrides)
    assert {step["stage"] for step in steps} == {"fine-tune"}
    assert set(trained.metrics) == {"test/finetuned_top1"}


def test_points_without_an_image_text_space_are_refused(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(VlcliError) as caught:
        train(recipe, tmp_path, registry, "method.image_text_share=0")
    assert caught.value.code == "T361" and "towers.images" in caught.value.where
    with pytest.raises(VlcliError) as caught:
        train(recipe, tmp_path, registry, 'method.unseen=["car"]')
    assert caught.value.code == "T362"
    with pytest.raises(VlcliError) as caught:
        train(recipe, tmp_path, registry, "method.image_text_share=0.6", "method.finetune_share=0.5")
    assert caught.value.code == "T364"


def save_clip(folder: Path) -> None:
    """A tiny CLIP with random weights, saved as transformers saves one."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<pad>", "<s>", "</s>", "<unk>", "a", "point", "cloud", "model", "of", "box", "ring", "star", "the"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("<s>", 1), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    part = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = part | {"vocab_size": len(words), "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2,
                   "pad_token_id": 0}  # fmt: skip
    vision = part | {"image_size": 32, "patch_size": 16}
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        model_max_length=16,
    ).save_pretrained(folder)  # fmt: skip
    side = {"height": 32, "width": 32}
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=side).save_pretrained(folder)


def test_points_join_a_clip_from_a_folder(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    save_clip(tmp_path / "clip")
    text = RECIPE
    for name in ("images", "text"):
        start = text.index(f"[towers.{name}]")
        end = text.index("\n\n", start)
        text = text[:start] + f'[towers.{name}]\nuse = "space:hf:{tmp_path / "clip"}"' + text[end:]
    path = tmp_path / "clip.toml"
    path.write_text(text.replace("image_text_share = 0.4\n", "view_size = 32\n"), encoding="utf-8")
    trained, steps = train(path, tmp_path / "run", registry, "train.steps=3")
    assert {step["stage"] for step in steps} == {"align"}
    clip = load_space(f"hf:{tmp_path / 'clip'}", registry, "cpu")
    assert trained.space_folder is not None
    space = Space.load(trained.space_folder, registry)
    assert space.modalities == ["pointclouds", "images", "text"]
    assert space.logit_scale.item() == clip.logit_scale.item(), "the temperature belongs to the space"
    description = json.loads((trained.space_folder / "space.json").read_text())
    assert description["towers"]["images"]["reference"]["source"].endswith("clip"), "CLIP itself is not copied"


def test_examples_with_pictures_of_their_own_use_these(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    trained, _ = train(recipe, tmp_path, registry, "data.options.views=1", "data.options.size=18", "train.steps=3")
    method = trained.method
    assert isinstance(method, Ulip)
    examples = method.setup.examples("train")[:3]
    assert all("images" in example.sources for example in examples)
    found = method.collate_targets(examples, random.Random(0))["images/pixels"]
    expected = method.material.own_picture_rows(examples)["pixels"]
    assert found.shape == (3, 1, 3, 16, 16) and torch.equal(found, expected)


def test_views_are_drawn_kept_and_blank_where_they_are_to_be(aligned: tuple[Training, list[Any]],
                                                             registry: Registry) -> None:  # fmt: skip
    method = aligned[0].method
    assert isinstance(method, Ulip)
    material = Material(method.space, registry, uninformative=0.4)
    example = method.setup.examples("train")[0]
    views = [(azimuth, kind) for azimuth in range(30) for kind in ("rgb", "depth")]
    blank = [material.is_blank(example, view) for view in views]
    assert 0.2 < sum(blank) / 60 < 0.6
    assert blank == [material.is_blank(example, view) for view in views]
    for view, empty in zip(views, blank, strict=True):
        pixels = material.view(example, view)
        assert pixels.shape == (16, 16, 3) and (np.ptp(pixels, axis=(0, 1)).max() == 0) == empty
        assert np.ptp(material.view(example, view, blank=False), axis=(0, 1)).max() > 0


def test_neighbouring_views_follow_each_other_around_the_object() -> None:
    for seed in range(20):
        views = neighbouring_views(random.Random(seed), ("rgb", "depth"), 4)
        first = views[0][0]
        assert [azimuth for azimuth, _ in views] == [(first + step) % 30 for step in range(4)]
        assert Counter(kind for _, kind in views) == {"rgb": 2, "depth": 2}


def test_kept_values_are_made_once_and_forgotten_beyond_the_limit() -> None:
    made: list[int] = []
    kept: Kept[int] = Kept(2)
    for key in (1, 2, 1, 3, 1, 2):
        assert kept.get(key, lambda key=key: made.append(key) or key) == key
    assert made == [1, 2, 3, 2]


def test_an_example_without_points_is_named(aligned: tuple[Training, list[Any]]) -> None:
    method = aligned[0].method
    assert isinstance(method, Ulip)
    with pytest.raises(VlcliError) as caught:
        method.material.point_rows([Example("lonely", {"text": Source("t", value="t")})])
    assert caught.value.code == "T107" and caught.value.where == "lonely"


def test_the_space_classifies_and_finds_shapes(aligned: tuple[Training, list[Any]], tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    trained = aligned[0]
    method = trained.method
    assert isinstance(method, Ulip)
    folder = tmp_path / "meshes"
    folder.mkdir()
    for number, example in enumerate(method.setup.examples("test")[:4]):
        path = example.sources["pointclouds"].path
        assert path is not None
        (folder / f"shape{number}.ply").write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    space, store = str(trained.space_folder), str(tmp_path / "store")
    assert vlcli(["classify", str(folder), "--labels", "box,ring,star", "--space", space, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert len(results) == 4
    assert vlcli(["embed", str(folder), "--space", space, "--store", store]) == 0
    capsys.readouterr()
    assert vlcli(["search", store, "a ring", "--top", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) >= 1
    assert vlcli(["search", store, "--file", str(folder / "shape0.ply"), "--top", "1", "--json"]) == 0
    assert "shape0.ply" in capsys.readouterr().out
