"""A paper's claim as arms × seeds × metric × condition: run it, judge it, write the evidence.

Every arm is the recipe with its own overlay, run with every seed. A condition compares the means of two arms (or one
with a fixed value); the arms are paired by their seeds. The negative control is an arm for which the claim's first
condition has to fail: without it nobody could tell a condition that holds from one that can not fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vlcli.errors import VlcliError, did_you_mean
from vlcli.evaluate.statistics import over_seeds

if TYPE_CHECKING:
    from vlcli.recipe.schema_train import Claim, Condition

RunArm = Callable[[str, int], Mapping[str, float]]
"""`(arm, seed) -> metrics`"""


@dataclass(frozen=True)
class Summary:
    """A metric of an arm over its seeds.

    Attributes:
        mean: over the seeds.
        ci95: Student's t interval of the mean; the value itself twice for a single seed.
        values: one per seed, in the order of the seeds.
    """

    mean: float
    ci95: tuple[float, float]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Verdict:
    """A condition and whether it held.

    Attributes:
        text: as the recipe states it.
        passed: whether the means satisfy it.
        difference: mean of the paired differences (or of `value - bound`), signed so that more is better.
        ci95: t interval of that mean over the seeds.
        margin: what the difference had to exceed; both are shares of the other arm's mean in a relative condition.
    """

    text: str
    passed: bool
    difference: float
    ci95: tuple[float, float]
    margin: float


@dataclass
class Outcome:
    """What a claim's runs gave."""

    seeds: list[int]
    arms: dict[str, dict[str, Summary]] = field(default_factory=dict)
    conditions: list[Verdict] = field(default_factory=list)
    negative_control: Verdict | None = None
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """All conditions hold, and the negative control fails as it should."""
        control = self.negative_control
        return all(verdict.passed for verdict in self.conditions) and (control is None or not control.passed)


def run_claim(claim: Claim, seeds: Sequence[int], run_arm: RunArm) -> Outcome:
    """Run every arm with every seed and judge the conditions."""
    check_arms(claim)
    started = time.perf_counter()
    collected: dict[str, list[Mapping[str, float]]] = {arm: [] for arm in claim.arms}
    # Seeds outside: when a run is interrupted, whole seeds are done.
    for seed in seeds:
        for arm in claim.arms:
            collected[arm].append(run_arm(arm, seed))
    outcome = judge(claim, seeds, collected)
    outcome.seconds = time.perf_counter() - started
    return outcome


def judge(claim: Claim, seeds: Sequence[int], collected: Mapping[str, Sequence[Mapping[str, float]]]) -> Outcome:
    """The verdicts over metrics that are there already."""
    check_arms(claim)
    outcome = Outcome(list(seeds))
    for arm, runs in collected.items():
        names = set.intersection(*(set(run) for run in runs))
        outcome.arms[arm] = {name: summarise([run[name] for run in runs]) for name in sorted(names)}
    outcome.conditions = [verdict_of(condition, claim.metric, outcome.arms) for condition in claim.conditions]
    control = claim.negative_control
    if control is not None:
        first = claim.conditions[0].model_copy(update={"arm": control.arm, "text": control.text})
        outcome.negative_control = verdict_of(first, claim.metric, outcome.arms)
    return outcome


def check_arms(claim: Claim) -> None:
    """Refuse conditions over arms that do not exist.

    Raises:
        VlcliError: E501 naming the arm.
    """
    named = [name for condition in claim.conditions for name in (condition.arm, condition.than) if name]
    if claim.negative_control is not None:
        named.append(claim.negative_control.arm)
    for name in named:
        if name not in claim.arms:
            hint = did_you_mean(name, list(claim.arms)) or f"arms: {', '.join(claim.arms)}"
            raise VlcliError("E501", "claim", f"there is no arm '{name}'", hint)
    for condition in claim.conditions:
        if (condition.than is None) == (condition.value is None):
            raise VlcliError("E501", "claim", f"the condition '{condition.text}' needs either than or value")


def summarise(values: Sequence[float]) -> Summary:
    """Mean and t interval."""
    return Summary(over_seeds(values).value, interval_of(values), tuple(float(value) for value in values))


def interval_of(values: Sequence[float]) -> tuple[float, float]:
    """Student's 95 % interval of the mean over seeds; no width for a single seed."""
    found = over_seeds(values)
    return found.ci95 or (found.value, found.value)


def verdict_of(condition: Condition, metric: str, arms: Mapping[str, Mapping[str, Summary]]) -> Verdict:
    """Whether a condition holds.

    Raises:
        VlcliError: E502 when an arm did not report the metric, E505 when there is nothing to be relative to.
    """
    name = condition.metric or metric
    values = np.asarray(metric_of(arms, condition.arm, name).values)
    if condition.than is not None:
        reference = np.asarray(metric_of(arms, condition.than, name).values)
    else:
        reference = np.full_like(values, float(condition.value or 0.0))
    differences = values - reference
    if condition.relative:
        scale = abs(float(reference.mean()))
        if not scale:
            what = f"the condition '{condition.text}' is relative to a mean of 0"
            raise VlcliError("E505", "claim", what, "state its margin in the metric's unit")
        differences = differences / scale
    if condition.lower_is_better:
        differences = -differences
    mean = float(differences.mean())
    # Without a margin a tie is no better.
    passed = mean >= condition.margin if condition.margin else mean > 0
    return Verdict(condition.text, passed, mean, interval_of(differences.tolist()), condition.margin)


def metric_of(arms: Mapping[str, Mapping[str, Summary]], arm: str, metric: str) -> Summary:
    """The summary of an arm's metric, or E502."""
    reported = arms[arm]
    if metric not in reported:
        hint = did_you_mean(metric, list(reported)) or f"reported: {', '.join(reported) or 'nothing'}"
        raise VlcliError("E502", "claim.metric", f"arm '{arm}' reports no '{metric}'", hint)
    return reported[metric]


def as_evidence(
    outcome: Outcome,
    *,
    method: str,
    paper: str,
    claim: str,
    data: str,
    metric: str,
    versions: Mapping[str, str],
    device: str,
    command: str,
    run_hash: str,
) -> dict[str, Any]:
    """The evidence file's content (`docs/evidence/METHOD.json`)."""
    return {
        "schema": 1,
        "method": method,
        "paper": paper,
        "claim": claim,
        "data": data,
        "metric": metric,
        "seeds": outcome.seeds,
        "arms": {
            arm: {
                name: {"mean": item.mean, "ci95": list(item.ci95), "values": list(item.values)}
                for name, item in metrics.items()
            }
            for arm, metrics in outcome.arms.items()
        },
        "conditions": [condition_json(verdict) for verdict in outcome.conditions],
        "passed": outcome.passed,
        "negative_control": None
        if outcome.negative_control is None
        else condition_json(outcome.negative_control) | {"must_fail": True},
        "seconds": round(outcome.seconds, 1),
        "versions": dict(versions),
        "device": device,
        "command": command,
        "run_hash": run_hash,
    }


def condition_json(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the evidence file holds it."""
    return {
        "text": verdict.text,
        "passed": verdict.passed,
        "difference": verdict.difference,
        "ci95": list(verdict.ci95),
        "margin": verdict.margin,
    }
