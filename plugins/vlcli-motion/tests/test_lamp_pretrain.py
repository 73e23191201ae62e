"""LaMP as a method: stages, what each trains, the space, files, kill and resume, hostile inputs."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import torch
from vlcli_motion.methods.lamp.encoders import LampMotion, LampText
from vlcli_motion.methods.lamp.pretrain import LampMethod
from vlcli_motion.methods.lamp.ranking import both_ways, recalls
from vlcli_motion.methods.lamp.saved import load_lamp

from vlcli.align.load import load_space
from vlcli.align.space import Space
from vlcli.api import VlcliError
from vlcli.cli.main import run as vlcli
from vlcli.plugins import load_plugins
from vlcli.recipe import load_recipe
from vlcli.registry import Registry
from vlcli.testing import check_method
from vlcli.train.loop import Trainer
from vlcli.train.run import Training, run_training

SMALL = [
    "data.options={size=60, held_out=12, movements=2, styles=false, captions=2, max_seconds=3.0}",
    "method.width=16", "method.hidden=32", "method.heads=2", "method.layers=2", "method.vq_width=16",
    "method.vq_depth=1", "method.code_dim=8", "method.codes=16", "method.dim=16", "method.max_tokens=16",
    "method.vq_batch=8", "train.batch_size=8", "device='cpu'", "threads=1",
    "method.generator={share=0.0}", "method.captioner={share=0.0}",
    "method.vq_share=4.0", "method.lamp_share=4.0", "train.steps=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def registry() -> Registry:
    """All plugins."""
    return load_plugins().registry


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> tuple[Training, Path]:
    """A short run and its folder."""
    folder = tmp_path_factory.mktemp("run")
    recipe = load_recipe("lamp", registry, SMALL)
    return run_training(recipe.model, folder, registry, recipe_hash="one", quiet=True), folder


def test_contract(registry: Registry, tmp_path: Path) -> None:
    metrics = check_method("lamp", registry, tmp_path, SMALL)
    for name in ("test/R@1", "test/best_query/R@1", "test/reranked/R@1", "validation/best_query/R@1",
                 "test/vq_reconstruction", "test/codes_used"):  # fmt: skip
        assert math.isfinite(metrics[name])


def test_run_saves_a_space_and_a_model(trained: tuple[Training, Path], registry: Registry) -> None:
    training, folder = trained
    space = Space.load(folder / "space", registry)
    assert isinstance(space.tower("motion").encoder, LampMotion)
    assert isinstance(space.tower("text").encoder, LampText)
    saved = load_lamp(folder)
    method = training.method
    assert isinstance(method, LampMethod)
    texts = ["a person walks forward, then turns left", "a person turns left, then walks forward"]
    condition = saved.condition(texts)
    assert condition.shape == (2, 16) and float((condition[0] - condition[1]).abs().max()) > 1e-6
    example = method.examples("test")[0]
    features = method.motion(example).unsqueeze(0)
    torch.testing.assert_close(saved.lamp.motion_states(features), method.lamp.motion_states(features))
    item = method.modality.load(example.sources["motion"])
    inputs = method.modality.collate([space.preprocess("motion", item)])
    pooled = space.embed("motion", inputs)[0]
    queries = saved.lamp.motion_features(saved.lamp.motion_states(features))[0]
    torch.testing.assert_close(pooled, torch.nn.functional.normalize(queries.mean(0), dim=0), atol=1e-5, rtol=1e-4)
    assert saved.lamp.vq.decode(saved.lamp.vq.encode(features)).shape[2] == 263


def test_vectors_do_not_depend_on_the_batch(trained: tuple[Training, Path], registry: Registry) -> None:
    training, folder = trained
    method = training.method
    assert isinstance(method, LampMethod)
    space = Space.load(folder / "space", registry).eval()
    items = [method.modality.load(example.sources["motion"]) for example in method.examples("test")[:6]]
    prepared = [space.preprocess("motion", item) for item in items]
    together = space.embed("motion", method.modality.collate(prepared))
    for row, one in enumerate(prepared):
        alone = space.embed("motion", method.modality.collate([one]))[0]
        torch.testing.assert_close(alone, together[row], atol=1e-5, rtol=1e-4)


def test_each_stage_trains_its_own_modules(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, dict[str, torch.Tensor]] = {}
    original = LampMethod.on_stage_start

    def note(self: LampMethod, stage: object, index: int) -> None:
        seen[str(index)] = {name: value.clone() for name, value in self.state_dict().items()}
        original(self, stage, index)  # type: ignore[arg-type]

    monkeypatch.setattr(LampMethod, "on_stage_start", note)
    recipe = load_recipe("lamp", registry, SMALL)
    method = run_training(recipe.model, tmp_path, registry, recipe_hash="one", quiet=True).method
    end = method.state_dict()
    changed = {name for name, value in seen["1"].items() if not torch.equal(value, seen["0"][name])}
    assert changed and all(name.startswith("lamp.vq.") for name in changed)
    assert any("quantiser.codebook" in name for name in changed)
    later = {name for name, value in end.items() if not torch.equal(value, seen["1"][name])}
    assert later and not any(name.startswith("lamp.vq.") for name in later)


def test_contrast_alone_takes_the_same_steps_and_reports_no_reranking(registry: Registry, tmp_path: Path) -> None:
    recipe = load_recipe("lamp", registry, [*SMALL, "method.terms=['contrast']"])
    log: list[dict[str, object]] = []
    training = run_training(recipe.model, tmp_path, registry, recipe_hash="one", quiet=True, log=log.append)
    assert "test/best_query/R@1" in training.metrics and "test/reranked/R@1" not in training.metrics
    assert log[-1]["step"] == 8


def test_static_condition_ignores_word_order_and_makes_no_space(registry: Registry, tmp_path: Path) -> None:
    recipe = load_recipe("lamp", registry, [*SMALL, "method.condition='static'"])
    training = run_training(recipe.model, tmp_path, registry, recipe_hash="one", quiet=True)
    assert training.space_folder is None and "test/vq_reconstruction" in training.metrics
    saved = load_lamp(tmp_path)
    a, b = saved.condition(["walks forward then turns left", "turns left then walks forward"])
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_killed_and_resumed_run_ends_with_the_same_weights(
    trained: tuple[Training, Path], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe("lamp", registry, [*SMALL, "train.checkpoint_every=3"])
    original = Trainer.save

    class Killed(Exception):
        pass

    def save_and_die(self: Trainer) -> None:
        original(self)
        if self.global_step == 6:
            raise Killed

    monkeypatch.setattr(Trainer, "save", save_and_die)
    with pytest.raises(Killed):
        run_training(recipe.model, tmp_path, registry, recipe_hash="one", quiet=True)
    monkeypatch.setattr(Trainer, "save", original)
    resumed = run_training(recipe.model, tmp_path, registry, recipe_hash="one", resume=True, quiet=True)
    for name, value in trained[0].method.state_dict().items():
        assert torch.equal(value, resumed.method.state_dict()[name]), name


def test_search_by_text_through_the_command(trained: tuple[Training, Path], tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    training, folder = trained
    method = training.method
    assert isinstance(method, LampMethod)
    motions = tmp_path / "motions"
    motions.mkdir()
    for number, example in enumerate(method.examples("test")[:5]):
        path = example.sources["motion"].path
        assert path is not None
        (motions / f"{number}{path.suffix}").write_bytes(path.read_bytes())
    store = str(tmp_path / "store")
    space = str(folder / "space")
    assert vlcli(["embed", str(motions), "--store", store, "--space", space, "--modality", "motion"]) == 0
    capsys.readouterr()
    assert vlcli(["search", store, "a person walks forward", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 5


def test_damaged_models_are_refused(trained: tuple[Training, Path], tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        target = tmp_path / name
        target.mkdir()
        for file in (trained[1] / "model").iterdir():
            if file.is_file():
                (target / file.name).write_bytes(file.read_bytes())
        return target

    with pytest.raises(VlcliError) as error:
        load_lamp(tmp_path)
    assert error.value.code == "W321"
    content = json.loads((trained[1] / "model" / "lamp.json").read_text())
    cases = (("width", 10**9, "W322"), ("heads", 3, "W322"), ("codes", "16", "W322"), ("layers", 3, "W104"),
             ("width", 32, "W104"))  # fmt: skip
    for number, (key, value, code) in enumerate(cases):
        folder = copy(str(number))
        wrong = content | {"config": content["config"] | {key: value}}
        (folder / "lamp.json").write_text(json.dumps(wrong))
        with pytest.raises(VlcliError) as error:
            load_lamp(folder)
        assert error.value.code == code
    cut = copy("cut")
    weights = cut / "lamp.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(VlcliError) as error:
        load_lamp(cut)
    assert error.value.code == "W103"


def test_data_without_captions_or_with_odd_sizes_is_refused(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "notes.txt").write_text("no motion here\n")
    recipe = load_recipe("lamp", registry, [*SMALL, "method.heads=3"])
    with pytest.raises(VlcliError) as error:
        run_training(recipe.model, tmp_path / "run", registry, recipe_hash="one", quiet=True)
    assert error.value.code == "T353"
    recipe = load_recipe("lamp", registry, [*SMALL, "method.features=251"])
    with pytest.raises(VlcliError) as error:
        run_training(recipe.model, tmp_path / "run", registry, recipe_hash="one", quiet=True)
    assert error.value.code == "T352"


def test_recalls_share_ties_and_groups() -> None:
    scores = torch.tensor([[0.9, 0.5, 0.1], [0.3, 0.3, 0.3], [0.2, 0.9, 0.5]])
    own = torch.arange(3)
    assert recalls(scores, own, own)["R@1"] == pytest.approx((1 + 1 / 3 + 0) / 3)
    # The second and the third are described by the same text: either is right.
    grouped = both_ways(scores, scores.T, torch.arange(3), torch.tensor([0, 1, 1]), "x")
    assert grouped["x/text_to_motion/R@1"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert recalls(scores, torch.tensor([0, 1, 1]), torch.tensor([0, 1, 1]))["R@1"] == pytest.approx(
        (1 + 2 / 3 + 1) / 3
    )


def test_the_trained_space_is_found_by_its_folder(trained: tuple[Training, Path], registry: Registry) -> None:
    space = load_space(str(trained[1] / "space"), registry, "cpu")
    assert sorted(space.modalities) == ["motion", "text"] and space.dim == 16


@pytest.mark.skipif("VLCLI_SHARED" not in os.environ, reason="VLCLI_SHARED names no folder: real clips were not read")
def test_recorded_motions_train_it(registry: Registry, tmp_path: Path) -> None:
    short = [line for line in SMALL if not line.startswith("data.options")]
    recipe = load_recipe("lamp-bandai", registry, [*short, "data.limit=16"])
    metrics = run_training(recipe.model, tmp_path, registry, recipe_hash="one", quiet=True).metrics
    assert 0 <= metrics["test/best_query/R@1"] <= 1 and math.isfinite(metrics["test/vq_reconstruction"])
