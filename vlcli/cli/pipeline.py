"""Running a resolved recipe: training first, if it trains, then its steps in their order, each recorded when done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlcli.recipe import ResolvedRecipe
    from vlcli.registry import Registry
    from vlcli.runtime.runs import RunFolder

TRAINING = "train"
"""The name under which training is recorded beside the steps."""


@dataclass
class Outcome:
    """What a step leaves.

    Attributes:
        summary: one line for people.
        result: JSON-serialisable, kept in `run.json`.
        refused: inputs that were refused; with any, the run's exit code is 3.
        metrics: numbers for `metrics.json`.
        files: names of files it wrote inside the run folder.
    """

    summary: str
    result: dict[str, Any] = field(default_factory=dict)
    refused: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    def as_record(self) -> dict[str, Any]:
        """The outcome as `run.json` keeps it."""
        return {"summary": self.summary, "refused": self.refused, "files": self.files, "result": self.result}


@dataclass
class Context:
    """What the steps of one run share.

    Attributes:
        spaces: loaded spaces by name, so that two steps do not load one twice.
    """

    recipe: ResolvedRecipe
    run: RunFolder
    registry: Registry
    device: str
    note: Callable[[str], None]
    quiet: bool = False
    spaces: dict[str, Any] = field(default_factory=dict)


StepFunction = Callable[[Context, str, Any], Outcome]
"""(context, name of the step, its options model) -> outcome"""


def run_pipeline(
    context: Context, functions: Mapping[str, StepFunction], train: Callable[[Context, bool], Outcome], resume: bool
) -> dict[str, dict[str, Any]]:
    """Run everything that is not yet done; gives the records of all parts, in order.

    Args:
        context: the recipe, its run folder, the registry.
        functions: `use` of a step -> what executes it.
        train: executes the training part; told whether the run is being resumed.
        resume: whether this run was begun before.
    """
    records: dict[str, dict[str, Any]] = {}
    parts: list[tuple[str, Callable[[], Outcome]]] = []
    if context.recipe.model.trains:
        parts.append((TRAINING, lambda: train(context, resume)))
    for name, step in context.recipe.model.steps.items():
        parts.append((f"steps.{name}", lambda name=name, step=step: functions[step.use](context, name, step)))  # type: ignore[misc]
    for number, (name, execute) in enumerate(parts, 1):
        done = context.run.finished(name)
        if done is not None:
            context.note(f"[{number}/{len(parts)}] {name}: done before")
            records[name] = done
            continue
        context.note(f"[{number}/{len(parts)}] {name}")
        context.run.event("step", name=name, status="started")
        started = time.perf_counter()
        outcome = execute()
        seconds = round(time.perf_counter() - started, 3)
        if outcome.metrics:
            context.run.add_metrics(name, outcome.metrics)
        context.run.event("step", name=name, status="done", seconds=seconds, summary=outcome.summary)
        records[name] = {**outcome.as_record(), "seconds": seconds, "device": context.device}
        context.run.finish(name, records[name])
        context.note(f"      {outcome.summary}")
    return records
