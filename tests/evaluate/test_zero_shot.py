import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vlcli.data.inputs import InputItem, RefusedInput, SkippedInput, expand_inputs
from vlcli.errors import VlcliError
from vlcli.evaluate.classification import majority_guess
from vlcli.evaluate.knn import knn_metrics
from vlcli.evaluate.linear_probe import draw_validation, probe_metrics
from vlcli.evaluate.zero_shot import (
    check_templates,
    classify_sources,
    label_embeddings,
    read_labels,
    softmax,
    zero_shot_metrics,
)
from vlcli.registry import Registry


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_ensembling_normalises_averages_and_normalises() -> None:
    vectors = {"a": [2.0, 0.0], "x a": [0.0, 5.0], "b": [1.0, 0.0], "x b": [1.0, 0.0]}
    found = label_embeddings(
        lambda texts: np.array([vectors[t] for t in texts], np.float32), ["a", "b"], ["{}", "x {}"]
    )
    assert found == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [1, 0]]), abs=1e-6)


def test_templates_and_braces_in_labels() -> None:
    seen: list[str] = []

    def embed(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return np.ones((len(texts), 2), np.float32)

    label_embeddings(embed, ["{0} odd {", "b"], check_templates(["a {} here"]))
    assert seen == ["a {0} odd { here", "a b here"]
    for wrong in ("no place", "{} and {}"):
        with pytest.raises(VlcliError, match="U203"):
            check_templates([wrong])


def test_labels_from_text_and_files(tmp_path: Path) -> None:
    assert read_labels('dog, "cat, big" ,car', None) == ["dog", "cat, big", "car"]
    for name, content in (
        ("l.txt", "dog\n\ncat\n"),
        ("l.json", '["dog", "cat"]'),
        ("l.csv", "label,n\ndog,1\ncat,2\n"),
    ):
        (tmp_path / name).write_text(content)
        assert read_labels(None, tmp_path / name) == ["dog", "cat"]
    for text in ("dog", "dog,dog", ""):
        with pytest.raises(VlcliError, match="U202"):
            read_labels(text, None)
    with pytest.raises(VlcliError, match="U201"):
        read_labels(None, None)


def test_metrics_and_confusion() -> None:
    classes = unit(np.eye(3))
    items = unit(np.array([[1, 0, 0], [1, 0.2, 0], [0.9, 1, 0], [0, 0.1, 1]]))
    metrics, details = zero_shot_metrics(items, classes, np.array([0, 1, 1, 2]), ["a", "b", "c"])
    assert metrics["accuracy"].value == 0.75 and metrics["accuracy"].chance == pytest.approx(1 / 3)
    assert metrics["macro_accuracy"].value == pytest.approx((1 + 0.5 + 1) / 3)
    assert "top5" not in metrics
    assert details["confusion"] == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert details["per_class"]["b"] == {"n": 2, "accuracy": 0.5}


def test_constant_embeddings_score_chance_whatever_the_class_sizes() -> None:
    targets = np.array([0] * 50 + [1] * 5 + [6] * 5)
    same = unit(np.ones((60, 4)))
    metrics, _ = zero_shot_metrics(same, unit(np.ones((7, 4))), targets, list("abcdefg"), resamples=0)
    assert metrics["accuracy"].value == pytest.approx(1 / 7) == metrics["accuracy"].chance
    assert metrics["top5"].value == pytest.approx(5 / 7) == metrics["top5"].chance


def test_chance_of_a_probe_is_the_majority_label() -> None:
    train, test = np.array([0] * 30 + [1] * 10), np.array([0] * 3 + [1] * 7)
    constant_train, constant_test = unit(np.ones((40, 3))), unit(np.ones((10, 3)))
    for metrics, _ in (
        probe_metrics(constant_train, train, constant_test, test, ["a", "b"], resamples=0),
        knn_metrics(constant_train, train, constant_test, test, ["a", "b"], k=40, resamples=0),
    ):
        assert metrics["accuracy"].chance == pytest.approx(0.3)
        assert metrics["accuracy"].value == pytest.approx(0.3)
    assert majority_guess(np.array([0, 0, 1, 1, 2]), 4).tolist() == [0.5, 0.5, 0, 0]


def test_probe_and_knn_learn_separable_classes() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(8, 16))
    targets = np.repeat(np.arange(8), 20)
    features = unit(centres[targets] + 0.3 * generator.normal(size=(160, 16)))
    even = np.arange(160) % 2 == 0
    labels = [str(label) for label in range(8)]
    for measure in (probe_metrics, knn_metrics):
        metrics, details = measure(features[even], targets[even], features[~even], targets[~even], labels)  # type: ignore[operator]
        assert metrics["accuracy"].value > 0.95
        assert metrics["top5"].value >= metrics["accuracy"].value
        assert np.sum(details["confusion"]) == 80


def test_probe_never_looks_at_the_test_part() -> None:
    generator = np.random.default_rng(0)
    features, targets = unit(generator.normal(size=(60, 8))), np.arange(60) % 3
    chosen = []
    for shuffled in (False, True):
        test_targets = generator.permutation(targets[:30]) if shuffled else targets[:30]
        _, details = probe_metrics(features[30:], targets[30:], features[:30], test_targets, list("abc"), resamples=0)
        chosen.append(details["probe"])
    assert chosen[0] == chosen[1]


def test_validation_part_is_stratified_and_leaves_every_label_in() -> None:
    targets = np.array([0] * 50 + [1] * 2 + [2])
    held_out = draw_validation(targets, 0)
    assert held_out[:50].sum() == 10 and held_out[50:52].sum() == 1 and not held_out[52]
    with pytest.raises(VlcliError, match="E302"):
        draw_validation(np.array([0, 1, 2]), 0)


def test_a_label_missing_from_training_counts_as_wrong() -> None:
    features = unit(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.05]]))
    targets = np.array([0, 0, 1, 1, 0])
    metrics, _ = probe_metrics(features, targets, features[:2], np.array([0, 2]), ["a", "b", "c"], resamples=0)
    assert metrics["accuracy"].value == 0.5


def test_classify_keeps_order_and_refusals(tmp_path: Path, swatches: ModuleType, registry: Registry) -> None:
    files = swatches.write_swatches(tmp_path, 1)
    broken = tmp_path / "broken.swatch"
    broken.write_text("not a colour at all")
    space = swatches.starter(registry)
    inputs = [
        *expand_inputs([str(files[2])], registry), RefusedInput("gone", "D101", "is not there"),
        *expand_inputs([str(broken)], registry), SkippedInput("notes.md", "unknown"),
        *expand_inputs([str(files[0])], registry),
    ]  # fmt: skip
    assert isinstance(inputs[0], InputItem)
    results = classify_sources(space, registry, inputs, ["red", "green", "blue"], top=2)
    assert [(r.code, r.guesses[0].label if r.guesses else None) for r in results] == [
        ("", "blue"), ("D101", None), ("D999", None), ("", "red"),
    ]  # fmt: skip
    assert len(results[0].guesses) == 2 and results[1].path == "gone" and results[2].path == str(broken)
    whole = classify_sources(space, registry, inputs[:1], ["red", "green", "blue"])[0].guesses
    assert sum(guess.probability for guess in whole) == pytest.approx(1)
    scores = np.array([guess.score for guess in whole])
    assert [g.probability for g in whole] == pytest.approx(
        softmax(scores * float(space.logit_scale.detach().exp())).tolist()
    )
    json.dumps([vars(guess) for guess in whole])
