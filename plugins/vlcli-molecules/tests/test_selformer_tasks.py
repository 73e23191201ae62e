"""Property tasks, robustness of notations, applicability: plain numbers in, plain numbers out."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from vlcli_molecules.methods.selformer.corruption import alphabet_of, corrupt, is_molecule, symbols_of, valid_share
from vlcli_molecules.methods.selformer.domain import Domain, fingerprints
from vlcli_molecules.methods.selformer.probe import aromatic_knn
from vlcli_molecules.methods.selformer.tasks import Task, class_metrics, fit_task, metrics_of
from vlcli_molecules.structure import parse

from vlcli.api import VlcliError

ROWS: list[dict[str, Any]] = [
    {"a": 1.0, "b": 10.0},
    {"a": 3.0, "b": None},
    {"a": None, "b": 30.0},
    {"a": 5.0, "b": 20.0},
]


def test_scaling_goes_there_and_back() -> None:
    task = fit_task("auto", ["a", "b"], ROWS)
    values, present = task.encode(ROWS)
    assert task.kind == "regression" and task.mean == (3.0, 20.0)
    for column in range(2):
        known = values[present[:, column], column]
        assert known.mean().abs() < 1e-6 and known.std(correction=0) == pytest.approx(1.0, abs=1e-6)
    observed = task.observed(ROWS)
    assert np.allclose(task.scores(values)[present.numpy()], observed[present.numpy()], atol=1e-5)
    assert np.isnan(observed).tolist() == (~present).tolist()


def test_a_constant_target_is_not_divided_by_zero() -> None:
    task = fit_task("regression", ["a"], [{"a": 2.0}, {"a": 2.0}])
    assert task.deviation == (1.0,) and task.encode([{"a": 3.0}])[0].item() == 1.0


def test_without_scaling_targets_stay() -> None:
    values, _ = fit_task("regression", ["a"], ROWS, scale=False).encode(ROWS)
    assert values[:, 0].tolist() == [1.0, 3.0, 0.0, 5.0]


@pytest.mark.parametrize("kind", ["regression", "multilabel", "classification"])
def test_missing_labels_take_no_part(kind: str) -> None:
    columns = ["a"] if kind == "classification" else ["a", "b"]
    rows: list[dict[str, Any]] = [{"a": 1, "b": 0}, {"a": 0, "b": 1}, {"a": None, "b": ""}]
    task = fit_task(kind, columns, rows)
    values, present = task.encode(rows)
    outputs = torch.randn(3, task.outputs, requires_grad=True)
    loss = task.loss(outputs, values, present)
    assert torch.isclose(loss, task.loss(outputs[:2], values[:2], present[:2]))
    loss.backward()
    assert outputs.grad is not None and outputs.grad[2].abs().sum() == 0 and outputs.grad[:2].abs().min() > 0
    # A batch that knows nothing costs nothing.
    assert task.loss(outputs[2:], values[2:], present[2:]) == 0


def test_losses_are_torchs_own() -> None:
    rows = [{"a": 1}, {"a": 0}]
    task, outputs = fit_task("classification", ["a"], rows), torch.randn(2, 2)
    expected = torch.nn.functional.cross_entropy(outputs, torch.tensor([1, 0]))
    assert torch.isclose(task.loss(outputs, *task.encode(rows)), expected)
    several = fit_task("multilabel", ["a", "b"], [{"a": 1, "b": 0}, {"a": 0, "b": 1}])
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets)
    assert torch.isclose(several.loss(outputs, targets, torch.ones(2, 2, dtype=torch.bool)), expected)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"a": [0, 1, 1.0, "0"]}, "classification"),
        ({"a": [0, 1], "b": [1, 0]}, "multilabel"),
        ({"a": [0, 1, 2.5]}, "regression"),
        ({"a": ["toxic", "safe"]}, "classification"),
    ],
)
def test_the_kind_is_guessed_from_the_values(values: dict[str, list[Any]], kind: str) -> None:
    length = max(map(len, values.values()))
    rows = [{name: found[index % len(found)] for name, found in values.items()} for index in range(length)]
    assert fit_task("auto", list(values), rows).kind == kind


def test_areas_come_from_scores_not_from_guessed_labels() -> None:
    truth = np.array([0, 0, 0, 1, 1, 1])
    score = np.array([0.1, 0.2, 0.6, 0.55, 0.7, 0.9])
    found = class_metrics(np.stack([1 - score, score], 1), truth)
    guessed = roc_auc_score(truth, score > 0.5)
    assert found["roc_auc"] == pytest.approx(8 / 9) and guessed == pytest.approx(5 / 6)
    assert found["accuracy"] == pytest.approx(5 / 6) and 0 < found["prc_auc"] <= 1


def test_a_target_with_one_class_has_no_curve_and_is_left_out_of_the_mean() -> None:
    task = Task("multilabel", ("a", "b"))
    scores = np.array([[0.9, 0.2], [0.1, 0.3], [0.8, 0.1]])
    observed = np.array([[1.0, 0.0], [0.0, np.nan], [1.0, 0.0]])
    found = metrics_of(task, scores, observed)
    assert found["roc_auc"] == 1.0 and found["roc_auc/a"] == 1.0 and "roc_auc/b" not in found
    assert found["accuracy/b"] == 1.0


def test_regression_metrics_are_in_the_targets_units() -> None:
    task = Task("regression", ("a",), (), (100.0,), (10.0,))
    scores = task.scores(torch.tensor([[1.0], [-1.0]]))
    assert scores[:, 0].tolist() == [110.0, 90.0]
    found = metrics_of(task, scores, np.array([[113.0], [86.0]]))
    assert found["rmse"] == pytest.approx((25 / 2) ** 0.5) and found["mae"] == pytest.approx(3.5)


@pytest.mark.parametrize(
    ("kind", "columns", "rows", "code"),
    [
        ("regression", ["a"], [{"a": "high"}], "T342"),
        ("multilabel", ["a", "b"], [{"a": 2, "b": 0}], "T342"),
        ("classification", ["a", "b"], [{"a": 1, "b": 0}], "T342"),
        ("classification", ["a"], [{"a": 1}], "T342"),
        ("auto", ["a"], [{"a": None}], "T342"),
    ],
)
def test_what_does_not_fit_is_refused(kind: str, columns: list[str], rows: list[dict[str, Any]], code: str) -> None:
    with pytest.raises(VlcliError, match=code):
        fit_task(kind, columns, rows)


def test_an_unknown_class_is_named() -> None:
    task = fit_task("auto", ["a"], [{"a": "x"}, {"a": "y"}])
    with pytest.raises(VlcliError, match=r"D331.*'z'"):
        task.encode([{"a": "z"}])


def test_a_task_survives_its_json() -> None:
    for task in (fit_task("auto", ["a", "b"], ROWS), fit_task("auto", ["a"], [{"a": "x"}, {"a": "y"}])):
        assert Task.from_json(task.as_json()) == task
    for damage in ({"kind": "magic"}, {"targets": []}, {"mean": ["inf", 1]}, {"deviation": [1.0]}):
        with pytest.raises(VlcliError, match="W311"):
            Task.from_json({**fit_task("auto", ["a", "b"], ROWS).as_json(), **damage})


MOLECULES = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "OCC(O)CO", "c1ccncc1Cl", "CC(C)(C)C#N"]


def test_every_corrupted_selfies_is_a_molecule_and_few_smiles_are() -> None:
    selfies = [parse(text).selfies or "" for text in MOLECULES]
    assert valid_share(selfies, "selfies", share=0.15, copies=40, seed=1) == 1.0
    assert valid_share(MOLECULES, "smiles", share=0.15, copies=40, seed=1) < 0.6


@pytest.mark.parametrize("notation", ["selfies", "smiles"])
def test_corruption_changes_the_stated_share(notation: str) -> None:
    texts = [parse(text).selfies or "" if notation == "selfies" else text for text in MOLECULES]
    alphabet = alphabet_of(texts, notation)
    rng = random.Random(0)
    symbols = symbols_of(texts[0], notation)
    assert "".join(symbols) == texts[0]
    kept = []
    for _ in range(400):
        changed = corrupt(symbols, alphabet, 0.15, rng)
        assert changed and abs(len(changed) - len(symbols)) <= len(symbols)
        kept.append(len(changed))
    # Insertions and removals are equally likely, so the length stays on average.
    assert np.mean(kept) == pytest.approx(len(symbols), abs=0.4)
    assert all(corrupt(["C"], alphabet, 0.15, rng) for _ in range(50))


def test_what_is_a_molecule() -> None:
    assert is_molecule("CCO", "smiles") and is_molecule("[C][C][O]", "selfies")
    assert not is_molecule("CC(", "smiles") and not is_molecule("", "smiles") and not is_molecule("[C", "selfies")


def test_the_domain_is_tanimoto_to_the_nearest(tmp_path: Path) -> None:
    from rdkit import Chem, DataStructs
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = [generator.GetFingerprint(Chem.MolFromSmiles(text)) for text in MOLECULES]
    asked = generator.GetFingerprint(Chem.MolFromSmiles("c1ccncc1Br"))
    expected = DataStructs.BulkTanimotoSimilarity(asked, bits)
    domain = Domain.fit(MOLECULES, ["c1ccncc1Br", "OCCO"])
    similarity, index = domain.nearest(["c1ccncc1Br"])
    assert similarity[0] == pytest.approx(max(expected)) and index == [expected.index(max(expected))]
    assert domain.nearest(MOLECULES)[0].tolist() == pytest.approx([1.0] * 5)
    # 95 % of the validation molecules are at least as similar as the threshold.
    validation = domain.nearest(["c1ccncc1Br", "OCCO"])[0]
    assert validation.min() <= domain.threshold < validation.max()
    content = domain.save(tmp_path)
    again = Domain.load(tmp_path, content)
    assert again.smiles == MOLECULES and (again.bits == fingerprints(MOLECULES)).all()
    with pytest.raises(VlcliError, match="W314"):
        Domain.load(tmp_path, {"threshold": 2.0})


def test_without_validation_the_threshold_comes_from_each_molecules_nearest_other() -> None:
    domain = Domain.fit(MOLECULES, [])
    assert 0 < domain.threshold < 1


def test_the_probe_tells_clusters_apart() -> None:
    ring, chain = parse("c1ccccc1"), parse("CCO")
    rng = np.random.default_rng(0)
    near = np.concatenate([rng.normal((5, 0), 0.1, (20, 2)), rng.normal((0, 5), 0.1, (20, 2))]).astype(np.float32)
    molecules = [ring] * 20 + [chain] * 20
    assert aromatic_knn(near, molecules, near, molecules) == 1.0
    assert aromatic_knn(near, molecules, near[::-1].copy(), molecules) == 0.0
    assert aromatic_knn(near, molecules, near[:5], molecules[:5]) is None
