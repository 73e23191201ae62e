"""JM3D as a method: what trains and how fast, its batches, its measurements."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from test_ulip import RECIPE as ULIP_RECIPE
from test_ulip import train
from vlcli_pointclouds.methods.jm3d.method import Jm3d, area_under_curve

from vlcli.plugins import load_plugins
from vlcli.recipe import load_recipe
from vlcli.registry import Registry
from vlcli.testing import check_method, check_recipe
from vlcli.train.optim import parameter_groups
from vlcli.train.run import Training

RECIPE = ULIP_RECIPE.replace("pointclouds/ulip", "pointclouds/jm3d").replace(
    "weight_decay = 0.1\n",
    'weight_decay = 0.1\n\n[optim.groups."strengthening.*"]\nlr = 3e-4\nweight_decay = 0.0\n',
)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return load_plugins().registry


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipes") / "jm3d-tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(recipe: Path, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, list[Any]]:
    return train(recipe, tmp_path_factory.mktemp("runs") / "jm3d", registry, "method.uninformative=0.4")


def test_the_recipe_names_only_what_there_is(registry: Registry) -> None:
    check_recipe("pointclouds/jm3d", registry)


def test_all_four_terms_train_points_views_and_classes(trained: tuple[Training, list[Any]]) -> None:
    training, steps = trained
    terms = {key for key in steps[-1] if key.startswith("loss")}
    assert terms == {"loss/points_text", "loss/points_images", "loss/text_images", "loss/class"}
    method = training.method
    assert isinstance(method, Jm3d) and method.class_head is not None
    fresh = Jm3d()
    fresh.strengthening = type(method.strengthening)(method.space.dim)
    # Rows of places that were drawn have moved from where a fresh table lies.
    assert float(method.strengthening.azimuth.weight.detach().std()) != pytest.approx(0.02, rel=1e-6)
    assert {"test/top1", "test/subtype_top1", "test/view_weight_auc"} <= training.metrics.keys()
    assert 0 <= training.metrics["test/view_weight_auc"] <= 1


def test_the_view_module_learns_slowly_and_without_decay(recipe: Path, registry: Registry,
                                                         trained: tuple[Training, list[Any]]) -> None:  # fmt: skip
    for name in (str(recipe), "pointclouds/jm3d"):
        optim = load_recipe(name, registry, []).model.optim
        overrides = {key: group.model_dump(exclude_none=True) for key, group in optim.groups.items()}
        method = trained[0].method
        groups = parameter_groups(list(method.named_parameters()), optim.lr, optim.weight_decay, overrides)
        own = {id(parameter) for parameter in method.strengthening.parameters()}  # type: ignore[union-attr]
        for group in groups:
            mine = [parameter for parameter in group["params"] if id(parameter) in own]
            assert not mine or len(mine) == len(group["params"])
            if mine:
                assert group["lr"] == pytest.approx(0.1 * optim.lr) and group["weight_decay"] == 0


def test_a_batch_holds_neighbouring_views_of_both_kinds_and_two_levels_of_text(
    trained: tuple[Training, list[Any]],
) -> None:
    method = trained[0].method
    assert isinstance(method, Jm3d)
    examples = method.setup.examples("train")[:6]
    found = method.collate_targets(examples, random.Random(1))
    assert found["images/pixels"].shape == (6, 2, 3, 16, 16)
    assert torch.equal((found["azimuths"][:, 1] - found["azimuths"][:, 0]) % 30, torch.ones(6, dtype=torch.long))
    assert torch.equal(found["kinds"].sum(1), torch.ones(6, dtype=torch.long))
    assert [method.known_names[number] for number in found["names"]] == [e.metadata["subtype"] for e in examples]
    assert [method.labels[number] for number in found["labels"]] == [e.label for e in examples]


def test_two_runs_are_equal(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    overrides = ["train.steps=5", "method.views=3", "method.official_class_head=true"]
    metrics = check_method(str(recipe), registry, tmp_path, overrides)
    assert "test/subtype_top1" in metrics


def test_without_a_class_head_the_class_term_is_gone(recipe: Path, registry: Registry, tmp_path: Path) -> None:
    _, steps = train(recipe, tmp_path, registry, "method.class_head=false", "train.steps=3")
    assert "loss/class" not in steps[-1] and "loss/text_images" in steps[-1]


def test_pictures_of_the_examples_count_as_one_view_from_the_front(recipe: Path, registry: Registry,
                                                                   tmp_path: Path) -> None:  # fmt: skip
    overrides = ["data.options.views=1", "data.options.size=18", "train.steps=3"]
    method = train(recipe, tmp_path, registry, *overrides)[0].method
    assert isinstance(method, Jm3d)
    found = method.collate_targets(method.setup.examples("train")[:2], random.Random(0))
    assert found["images/pixels"].shape[:2] == (2, 1)
    assert found["azimuths"].tolist() == [[0], [0]] and found["kinds"].tolist() == [[0], [0]]


def test_area_under_the_curve_is_that_of_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    scores, positive = draw.integers(0, 9, 200) / 9, draw.random(200) < 0.3
    assert area_under_curve(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert area_under_curve(np.ones(3), np.ones(3, bool)) == 0.5
