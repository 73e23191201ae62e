"""Claims: judging, intervals, evidence, and `vlcli reproduce` with its arms."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from scipy import stats

from vlcli.cli.main import run as vlcli
from vlcli.cli.reproduce import choose_seeds
from vlcli.errors import VlcliError
from vlcli.evaluate.claims import as_evidence, judge, run_claim
from vlcli.recipe.schema_train import Claim


def claim(**settings: Any) -> Claim:
    values: dict[str, Any] = {
        "text": "A beats B", "metric": "m", "arms": {"a": {}, "b": {}, "c": {}},
        "conditions": [{"text": "a beats b by 0.1", "arm": "a", "than": "b", "margin": 0.1}],
    }  # fmt: skip
    return Claim.model_validate({**values, **settings})


def runs(**arms: list[float]) -> dict[str, list[dict[str, float]]]:
    return {arm: [{"m": value} for value in values] for arm, values in arms.items()}


def condition(**settings: Any) -> list[dict[str, Any]]:
    return [{"text": "t", "arm": "a", **settings}]


@pytest.mark.parametrize(
    ("conditions", "control", "passed", "difference"),
    [
        (condition(than="b", margin=0.1), None, True, 0.2),
        (condition(than="c", lower_is_better=True, margin=0.25), None, True, 0.25),  # exactly the margin
        (condition(than="b", margin=0.25), None, False, 0.2),
        (condition(than="b", margin=-0.25), None, True, 0.2),
        (condition(than="d"), None, False, 0.0),  # a tie is not better
        (condition(than="b", lower_is_better=True), None, False, -0.2),
        (condition(than="c", lower_is_better=True), None, True, 0.25),
        (condition(value=0.25), None, True, 0.25),
        (condition(value=0.75), None, False, -0.25),
        (condition(than="c", lower_is_better=True, margin=0.33, relative=True), None, True, 0.25 / 0.75),
        (condition(than="c", lower_is_better=True, margin=0.34, relative=True), None, False, 0.25 / 0.75),
        (condition(value=0.4, margin=0.2, relative=True), None, True, 0.25),
        (condition(than="b", margin=0.1), "b", True, 0.2),  # the control fails, as it should
        (condition(than="b", margin=0.1), "c", False, 0.2),  # the control holds: the condition shows nothing
    ],
)
def test_verdicts(conditions: list[dict[str, Any]], control: str | None, passed: bool, difference: float) -> None:
    settings: dict[str, Any] = {"conditions": conditions, "arms": {"a": {}, "b": {}, "c": {}, "d": {}}}
    if control:
        settings["negative_control"] = {"text": "control", "arm": control}
    arms = runs(a=[0.25, 0.5, 0.75], b=[0.05, 0.3, 0.55], c=[0.5, 0.75, 1.0], d=[0.25, 0.5, 0.75])
    outcome = judge(claim(**settings), [0, 1, 2], arms)
    assert outcome.passed is passed
    assert outcome.conditions[0].difference == pytest.approx(difference)
    assert (outcome.negative_control is None) is (control is None)


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(VlcliError, match="E505"):
        judge(claim(conditions=condition(than="b", relative=True)), [0], runs(a=[0.5], b=[0.0], c=[0.6]))


def test_all_conditions_have_to_hold() -> None:
    conditions = [*condition(than="b"), *condition(than="c")]
    outcome = judge(claim(conditions=conditions), [0], runs(a=[0.5], b=[0.4], c=[0.6]))
    assert [verdict.passed for verdict in outcome.conditions] == [True, False] and not outcome.passed


def test_intervals_are_students() -> None:
    values = [0.31, 0.42, 0.37, 0.5, 0.29]
    outcome = judge(claim(), range(5), runs(a=values, b=[0.1, 0.3, 0.2, 0.2, 0.1], c=[0.5] * 5))
    expected = stats.t.interval(0.95, 4, loc=sum(values) / 5, scale=stats.sem(values))
    summary = outcome.arms["a"]["m"]
    assert summary.mean == pytest.approx(sum(values) / 5) and summary.ci95 == pytest.approx(expected)
    differences = [0.21, 0.12, 0.17, 0.3, 0.19]
    paired = stats.t.interval(0.95, 4, loc=sum(differences) / 5, scale=stats.sem(differences))
    assert outcome.conditions[0].ci95 == pytest.approx(paired)
    assert outcome.arms["c"]["m"].ci95 == (0.5, 0.5)
    single = judge(claim(), [7], runs(a=[0.5], b=[0.1], c=[0.1]))
    assert single.arms["a"]["m"].ci95 == (0.5, 0.5) and single.conditions[0].ci95 == pytest.approx((0.4, 0.4))


def test_what_is_wrong_with_a_claim_is_named() -> None:
    with pytest.raises(VlcliError, match=r"E501.*no arm 'bb'"):
        judge(claim(conditions=condition(than="bb")), [0], runs(a=[1.0]))
    with pytest.raises(VlcliError, match=r"E501.*either than or value"):
        judge(claim(conditions=condition(than="b", value=1.0)), [0], runs(a=[1.0], b=[1.0]))
    with pytest.raises(VlcliError, match=r"E502.*reports no 'mm'.*did you mean 'm'"):
        judge(claim(metric="mm"), [0], runs(a=[1.0], b=[1.0]))
    with pytest.raises(VlcliError, match="E501"):
        judge(claim(negative_control={"text": "t", "arm": "z"}), [0], runs(a=[1.0], b=[1.0]))


def test_every_arm_runs_with_every_seed_in_whole_seeds() -> None:
    called: list[tuple[str, int]] = []

    def run_arm(arm: str, seed: int) -> dict[str, float]:
        called.append((arm, seed))
        return {"m": float(seed) + (arm == "a")}

    outcome = run_claim(claim(), [3, 4], run_arm)
    assert called == [("a", 3), ("b", 3), ("c", 3), ("a", 4), ("b", 4), ("c", 4)]
    assert outcome.passed and outcome.seeds == [3, 4] and outcome.arms["b"]["m"].values == (3.0, 4.0)


def test_evidence_has_every_field() -> None:
    outcome = judge(
        claim(negative_control={"text": "n", "arm": "b"}), [1, 2], runs(a=[0.5, 0.6], b=[0.1, 0.2], c=[0, 0])
    )
    evidence = as_evidence(
        outcome, method="x", paper="p", claim="A beats B", data="d", metric="m", versions={"vlcli": "1"}, device="cpu",
        command="vlcli reproduce x", run_hash="abc",
    )  # fmt: skip
    assert set(evidence) == {
        "schema", "method", "paper", "claim", "data", "metric", "seeds", "arms", "conditions", "passed",
        "negative_control", "seconds", "versions", "device", "command", "run_hash",
    }  # fmt: skip
    assert evidence["arms"]["a"]["m"]["values"] == [0.5, 0.6] and len(evidence["arms"]["a"]["m"]["ci95"]) == 2
    assert {"text", "passed"} <= set(evidence["conditions"][0])
    assert evidence["negative_control"] | {"must_fail": True, "passed": False} == evidence["negative_control"]
    assert json.loads(json.dumps(evidence)) == evidence and evidence["passed"] is True


def test_seeds() -> None:
    assert choose_seeds((1, 2, 3), None, None, False) == [1, 2, 3]
    assert choose_seeds((1, 2, 3), 2, None, False) == [1, 2]
    assert choose_seeds((1, 2, 3), 5, None, False) == [1, 2, 3, 4, 5]
    assert choose_seeds((1, 2, 3), None, 50, False) == [50, 51, 52]
    assert choose_seeds((1, 2, 3), 2, 50, False) == [50, 51]
    assert choose_seeds((1, 2, 3), 5, None, True) == [1] and choose_seeds((1, 2), None, 9, True) == [9]


CLAIMED = """\
schema = 1
name = "claimed"
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

[method]
use = "toys/claimed"
phases = [{ world = 0 }, { world = 1 }]

[optim]
lr = 1e-2

[train]
steps = 40
batch_size = 8
micro_batch = 8

[claim]
text = "Training helps"
metric = "test/phase-1/R@1"
seeds = [3, 4]

[claim.arms.trained]

[claim.arms.short]
train = { steps = 20 }
optim = { lr = 0.0 }

[[claim.conditions]]
text = "trained beats untrained"
arm = "trained"
than = "short"
margin = 0.05

[claim.negative_control]
text = "untrained does not beat itself"
arm = "short"
"""


@pytest.fixture
def claimed(command_line: Any) -> Path:
    Path("claimed.toml").write_text(CLAIMED)
    return Path.cwd()


@pytest.fixture(autouse=True)
def own_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test writes into the evidence of the checkout."""
    folder = tmp_path / "evidence"
    monkeypatch.setattr("vlcli.cli.reproduce.evidence_folder", lambda: folder)
    return folder


def test_reproduce_writes_its_evidence(claimed: Path, own_evidence: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = vlcli(["reproduce", "claimed", "--seeds", "1", "--first-seed", "7", "--out", "arms", "--json"])
    evidence = json.loads(capsys.readouterr().out)
    assert code == (0 if evidence["passed"] else 1)
    assert json.loads((own_evidence / "claimed.json").read_text()) == evidence
    assert evidence["seeds"] == [7] and set(evidence["arms"]) == {"trained", "short"}
    values = evidence["arms"]["trained"]
    assert {"test/phase-0/R@1", "test/phase-1/R@1"} <= set(values)
    assert all(math.isfinite(item["mean"]) for item in values.values())
    assert evidence["negative_control"]["passed"] is False and evidence["conditions"][0]["passed"] is True
    assert evidence["run_hash"] and evidence["versions"]["vlcli"] and evidence["device"] == "cpu"
    assert evidence["seconds"] > 0 and evidence["paper"] == "A paper" and evidence["data"] == "toys/pairs"
    # With the namespace that makes it a picture outside of a page.
    assert ElementTree.fromstring((own_evidence / "claimed.svg").read_text()).tag == "{http://www.w3.org/2000/svg}svg"


def test_reproduce_goes_on_where_it_was_interrupted(
    claimed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import vlcli.train.run as training

    whole = ["reproduce", "claimed", "--first-seed", "1", "--quick", "--json"]
    assert vlcli([*whole, "--out", "whole"]) == 0
    expected = json.loads(capsys.readouterr().out)
    plain, ran = training.run_training, []

    def interrupted(recipe: Any, folder: Path, *rest: Any, **settings: Any) -> Any:
        if "short" in folder.name and len(ran) == 1:
            ran.append("interrupted")
            raise KeyboardInterrupt
        ran.append(folder.name)
        return plain(recipe, folder, *rest, **settings)

    monkeypatch.setattr(training, "run_training", interrupted)
    assert vlcli([*whole, "--out", "arms"]) == 130
    capsys.readouterr()
    assert vlcli([*whole, "--out", "arms"]) == 0
    assert ran == ["trained-1", "interrupted", "short-1"]
    evidence = json.loads(capsys.readouterr().out)
    assert evidence["arms"] == expected["arms"] and evidence["quick"] is True
    events = [json.loads(line) for line in (claimed / "arms" / "trained-1" / "events.jsonl").read_text().splitlines()]
    assert events[-1]["step"] == 10  # a tenth, but at least ten
    # The same folder with another recipe would mix two claims.
    assert vlcli(["reproduce", "claimed", "--first-seed", "1", "--out", "arms"]) == 1
    assert "error[T131]" in capsys.readouterr().err


def test_reproduce_on_other_data(claimed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vlcli(["reproduce", "claimed", "--data", "toys/nothing"]) == 2
    assert "toys/nothing" in capsys.readouterr().err
    rows = [json.dumps({"text": f"word{index % 9}", "path": f"{index}.png"}) for index in range(3)]
    Path("mine.jsonl").write_text("\n".join(rows))
    # It is opened, and too small to hold anything out.
    assert vlcli(["reproduce", "claimed", "--data", "mine.jsonl", "--out", "arms"]) == 1
    assert "error[T106]" in capsys.readouterr().err


def test_reproduce_takes_a_recipe_that_is_no_methods_own(claimed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.toml").write_text(CLAIMED)
    assert vlcli(["reproduce", "./other.toml", "--first-seed", "1", "--quick", "--out", "arms", "--json"]) == 0
    evidence = json.loads(capsys.readouterr().out)
    assert evidence["method"] == "other" and set(evidence["arms"]) == {"trained", "short"}


def test_a_method_without_a_claim(claimed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vlcli(["reproduce", "two-turns"]) == 1
    assert "error[T130]" in capsys.readouterr().err
    assert vlcli(["reproduce", "claimd"]) != 0
    assert "did you mean" in capsys.readouterr().err


def test_a_claim_that_does_not_hold_is_exit_1_and_evidence_all_the_same(
    claimed: Path, own_evidence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("claimed.toml").write_text(CLAIMED.replace("margin = 0.05", "margin = 2.0").replace("steps = 40", "steps = 4"))
    assert vlcli(["reproduce", "claimed", "--seeds", "1", "--out", "arms"]) == 1
    output = capsys.readouterr().out
    assert "FAILS  trained beats untrained" in output and "not reproduced" in output
    assert json.loads((own_evidence / "claimed.json").read_text())["passed"] is False
