from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vlcli.api import Source
from vlcli.data.dataset import Example
from vlcli.data.datasets import ListedDataset, open_dataset
from vlcli.errors import VlcliError
from vlcli.evaluate.registered import values_per_query
from vlcli.evaluate.run import TASKS, evaluate_space
from vlcli.registry import Registry


def captioned(swatches: ModuleType, folder: Path, split: str | None = None) -> list[Example]:
    return [
        Example(file.name, {"swatch": Source(str(file), path=file)}, (file.parent.name, f"some {file.parent.name}"),
                file.parent.name, split)
        for file in swatches.write_swatches(folder)
    ]  # fmt: skip


def test_every_task_on_a_folder_of_classes(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    swatches.write_swatches(tmp_path)
    dataset = open_dataset(str(tmp_path), registry)
    for task in ("zero-shot", "linear-probe", "knn"):
        result = evaluate_space(swatches.starter(registry), dataset, task, registry, k=3, resamples=200)
        assert result.metrics["accuracy"].value == 1.0, task
        assert result.metrics["accuracy"].chance == pytest.approx(0.25)
        assert not result.refused
    assert result.details["split"] == "a stratified fifth, seed 0" and result.n == 4
    assert evaluate_space(swatches.starter(registry), dataset, "zero-shot", registry).details["templates"] == [
        "{}", "a {} swatch",
    ]  # fmt: skip


def test_retrieval_and_constant_space(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    dataset = ListedDataset(captioned(swatches, tmp_path)[::6])
    good = evaluate_space(swatches.starter(registry), dataset, "retrieval", registry, resamples=200)
    assert good.n == 4 and good.details["captions"] == 8 and good.details["modality"] == "swatch"
    assert good.metrics["text_to_swatch/R@1"].value == good.metrics["swatch_to_text/R@1"].value == 1.0
    flat = evaluate_space(swatches.flat(registry), dataset, "retrieval", registry, resamples=0)
    assert flat.metrics["text_to_swatch/R@1"].value == pytest.approx(0.25)
    assert flat.metrics["swatch_to_text/R@1"].value == pytest.approx(0.25)


def test_refused_inputs_are_reported_and_never_shift_the_rows(
    tmp_path: Path, swatches: ModuleType, registry: Registry
) -> None:
    examples = captioned(swatches, tmp_path)[::6]
    bad = tmp_path / "bad.swatch"
    bad.write_text("oops")
    examples.insert(1, Example("bad", {"swatch": Source(str(bad), path=bad)}, ("red",), "red"))
    examples.insert(0, Example("empty", {}, ("blue",), "blue"))
    for task in ("retrieval", "zero-shot"):
        result = evaluate_space(swatches.starter(registry), ListedDataset(examples), task, registry, resamples=0)
        assert {(item.path, item.code) for item in result.refused} == {(str(bad), "D999"), ("empty", "E406")}
        name = "text_to_swatch/R@1" if task == "retrieval" else "accuracy"
        assert result.n == 4 and result.metrics[name].value == 1.0


def test_splits(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    space = swatches.starter(registry)
    train, test = captioned(swatches, tmp_path / "a", "train"), captioned(swatches, tmp_path / "b", "test")
    dataset = ListedDataset([*train, *test[:20]])
    assert evaluate_space(space, dataset, "zero-shot", registry).details["split"] == "test"
    assert evaluate_space(space, dataset, "zero-shot", registry).n == 20
    assert evaluate_space(space, dataset, "zero-shot", registry, split="train").n == 24
    assert evaluate_space(space, dataset, "retrieval", registry, split="all", resamples=0).n == 44
    probe = evaluate_space(space, dataset, "linear-probe", registry, resamples=0)
    assert (probe.n, probe.details["split"], probe.details["probe"]["train"]) == (20, "test", 24)
    with pytest.raises(VlcliError, match=r"no split 'val'.*test, train"):
        evaluate_space(space, dataset, "zero-shot", registry, split="val")
    with pytest.raises(VlcliError, match="what it learns from"):
        evaluate_space(space, dataset, "knn", registry, split="train")


def test_one_sentence_for_what_can_not_be_measured(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    space, examples = swatches.starter(registry), captioned(swatches, tmp_path)
    bare = [Example(e.id, e.sources) for e in examples]
    other = [Example(e.id, {"sound": e.sources["swatch"]}, e.captions) for e in examples]
    for dataset, task, code in (
        (examples, "retreival", "E401"), ([], "retrieval", "E402"), (bare, "retrieval", "E404"),
        (bare, "zero-shot", "E405"), (other, "retrieval", "E403"), (examples[:6], "zero-shot", "E405"),
    ):  # fmt: skip
        with pytest.raises(VlcliError) as caught:
            evaluate_space(space, ListedDataset(dataset), task, registry)
        assert caught.value.code == code and caught.value.help
    assert TASKS == ("retrieval", "zero-shot", "linear-probe", "knn")


def test_the_same_seed_gives_the_same_json(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    dataset = ListedDataset(captioned(swatches, tmp_path))
    runs = [
        evaluate_space(swatches.starter(registry), dataset, "retrieval", registry, seed=seed, batch_size=size).as_json()
        for seed, size in ((1, 32), (1, 5), (2, 32))
    ]
    assert runs[0] == runs[1]
    assert runs[0]["metrics"]["text_to_swatch/mrr"]["ci95"] != runs[2]["metrics"]["text_to_swatch/mrr"]["ci95"]


def test_metrics_of_plugins(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    dataset = ListedDataset(captioned(swatches, tmp_path)[::6])
    space = swatches.starter(registry)
    found = evaluate_space(space, dataset, "retrieval", registry, metrics=["mean_rank"], resamples=200).metrics
    for name in ("text_to_swatch/mean_rank", "swatch_to_text/mean_rank"):
        assert found[name].value == 1.0 and found[name].chance is None and found[name].ci95 == (1.0, 1.0)
    zero_shot = evaluate_space(space, dataset, "zero-shot", registry, metrics=["swatches/mean_rank"], resamples=0)
    assert zero_shot.metrics["swatches/mean_rank"].value == 1.0
    for names, task, code in (
        (["meanrank"], "retrieval", "P201"), (["wrong_shape"], "retrieval", "P211"), (["mean_rank"], "knn", "E408"),
    ):  # fmt: skip
        with pytest.raises(VlcliError, match=code):
            evaluate_space(space, dataset, task, registry, metrics=names)


def test_plugin_metrics_do_not_depend_on_the_block(swatches: ModuleType) -> None:
    generator = np.random.default_rng(0)
    queries, candidates = (generator.normal(size=(n, 4)).astype(np.float32) for n in (9, 7))
    groups = generator.integers(0, 7, 9)
    values = [
        values_per_query(swatches.mean_rank, "m", queries, candidates, groups, np.arange(7), block_elements=block)
        for block in (1, 20, 10_000)
    ]
    assert values[0].tolist() == values[1].tolist() == values[2].tolist() and len(set(values[0].tolist())) > 2
