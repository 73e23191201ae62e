"""Property tasks: from the columns of a table to training targets, a loss, predictions and metrics.

A target that a row lacks takes no part in the loss and the metrics. Metrics are computed from scores: the area under a
curve of guessed labels, as the released evaluation computes it from the arg max, is the area of another, coarser
classifier.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vlcli.errors import VlcliError, did_you_mean

if TYPE_CHECKING:
    from vlcli.data.dataset import Example

Floats = NDArray[np.float64]
Row = Mapping[str, Any]

MAX_CLASSES = 1000
KINDS = ("regression", "classification", "multilabel")


@dataclass(frozen=True)
class Task:
    """What is predicted.

    Attributes:
        kind: `regression` (one number per target), `classification` (one target with classes) or `multilabel` (yes or
            no for each target).
        targets: names of the columns.
        classes: of a classification, in the order of the outputs.
        mean, deviation: of a regression's targets in training; predictions are scaled back with them.
    """

    kind: str
    targets: tuple[str, ...]
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        """Width of the head."""
        return len(self.classes) if self.kind == "classification" else len(self.targets)

    def encode(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
        """Targets `[N, K]` in training units (class indices for a classification) and which of them are there.

        Raises:
            VlcliError: D331 for a value that the task has no place for.
        """
        values = torch.zeros(len(rows), len(self.targets))
        present = torch.zeros(len(rows), len(self.targets), dtype=torch.bool)
        for index, row in enumerate(rows):
            for column, name in enumerate(self.targets):
                value = row.get(name)
                if is_missing(value):
                    continue
                values[index, column] = self.number(name, value)
                present[index, column] = True
        if self.kind == "regression":
            values = (values - torch.tensor(self.mean)) / torch.tensor(self.deviation)
        return values, present

    def number(self, name: str, value: Any) -> float:
        """A cell as a number, before scaling."""
        if self.kind == "classification":
            label = label_of(value)
            if label not in self.classes:
                raise VlcliError("D331", name, f"the class '{label}' does not occur in the training rows",
                                 f"classes: {', '.join(self.classes[:20])}")  # fmt: skip
            return float(self.classes.index(label))
        found = as_number(value)
        if found is None or (self.kind == "multilabel" and found not in (0.0, 1.0)):
            wanted = "0 or 1" if self.kind == "multilabel" else "a number"
            raise VlcliError("D331", name, f"'{value}' is not {wanted}", "correct the cell or leave it empty")
        return found

    def loss(self, outputs: Tensor, values: Tensor, present: Tensor) -> Tensor:
        """Mean loss over the targets that are there: cross entropy, binary cross entropy or squared error.

        Args:
            outputs: `[B, outputs]`; values, present: `[B, K]` as `encode` gives them.
        """
        if self.kind == "classification":
            each = functional.cross_entropy(outputs, values[:, 0].long(), reduction="none").unsqueeze(1)
        elif self.kind == "multilabel":
            each = functional.binary_cross_entropy_with_logits(outputs, values, reduction="none")
        else:
            each = (outputs - values).square()
        # A batch in which every target is missing gives 0, not NaN.
        return torch.where(present, each, 0.0).sum() / present.sum().clamp(min=1)

    def scores(self, outputs: Tensor) -> Floats:
        """Head outputs `[N, outputs]` as predictions in the targets' units, or as probabilities."""
        outputs = outputs.detach().float().cpu()
        if self.kind == "classification":
            found = outputs.softmax(-1)
        elif self.kind == "multilabel":
            found = outputs.sigmoid()
        else:
            found = outputs * torch.tensor(self.deviation) + torch.tensor(self.mean)
        return found.double().numpy()

    def observed(self, rows: Sequence[Row]) -> Floats:
        """Targets `[N, K]` in their own units, NaN where they are missing (class indices for a classification)."""
        found = np.full((len(rows), len(self.targets)), np.nan)
        for index, row in enumerate(rows):
            for column, name in enumerate(self.targets):
                if not is_missing(row.get(name)):
                    found[index, column] = self.number(name, row[name])
        return found

    def columns(self, scores: Floats) -> dict[str, list[Any]]:
        """The columns that predictions add to a table: `TARGET_predicted`, and probabilities for classes."""
        if self.kind == "classification":
            guesses = [self.classes[index] for index in scores.argmax(1)]
            shown = self.classes[1:] if len(self.classes) == 2 else self.classes
            columns: dict[str, list[Any]] = {f"{self.targets[0]}_predicted": guesses}
            for name in shown:
                column = scores[:, self.classes.index(name)]
                columns[f"{self.targets[0]}_probability_{name}"] = [float(value) for value in column]
            return columns
        ending = "probability" if self.kind == "multilabel" else "predicted"
        return {
            f"{name}_{ending}": [float(value) for value in scores[:, column]]
            for column, name in enumerate(self.targets)
        }

    def as_json(self) -> dict[str, Any]:
        """For the model's folder."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What `as_json` gave.

        Raises:
            VlcliError: W311 when it is not that.
        """
        try:
            task = cls(
                str(content["kind"]), tuple(map(str, content["targets"])), tuple(map(str, content["classes"])),
                tuple(map(float, content["mean"])), tuple(map(float, content["deviation"])),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise VlcliError("W311", "task", f"is damaged ({error})", "train the model again") from error
        numbers = len(task.mean) == len(task.deviation) == len(task.targets) or task.kind != "regression"
        finite = all(math.isfinite(value) for value in (*task.mean, *task.deviation))
        if task.kind not in KINDS or not task.targets or not task.outputs or not numbers or not finite:
            raise VlcliError("W311", "task", "is damaged", "train the model again")
        return task


def is_missing(value: Any) -> bool:
    """None, an empty cell, NaN."""
    return value is None or (isinstance(value, str) and not value.strip()) or (
        isinstance(value, float) and math.isnan(value))  # fmt: skip


def as_number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def label_of(value: Any) -> str:
    """A class's name: whole numbers without a decimal point, so that 1, 1.0 and "1" are one class."""
    number = as_number(value)
    return str(int(number)) if number is not None and number == int(number) else str(value).strip()


def targets_of(examples: Sequence[Example], wanted: Sequence[str]) -> tuple[str, ...]:
    """The target columns: those wanted, or else those that the data set names.

    Raises:
        VlcliError: T341 when there are none, or one is in no row.
    """
    known: dict[str, None] = {}
    for example in examples:
        known.update(dict.fromkeys(row_of(example)))
    if not wanted:
        named: dict[str, None] = {}
        for example in examples:
            targets = example.metadata.get("targets")
            named.update(dict.fromkeys(targets if isinstance(targets, Mapping) else ()))
        if not named:
            raise VlcliError("T341", "method.targets", "the data set names no target",
                             f"choose columns: {', '.join(list(known)[:12]) or 'it has none'}")  # fmt: skip
        return tuple(named)
    for name in wanted:
        if name not in known:
            hint = did_you_mean(name, list(known)) or f"columns: {', '.join(list(known)[:12])}"
            raise VlcliError("T341", "method.targets", f"no row has a column '{name}'", hint)
    return tuple(wanted)


def row_of(example: Example) -> dict[str, Any]:
    """An example's columns, its targets among them."""
    targets = example.metadata.get("targets")
    source = example.sources.get("molecules")
    row = dict(source.metadata) if source is not None else {}
    row |= {key: value for key, value in example.metadata.items() if key != "targets"}
    return row | (dict(targets) if isinstance(targets, Mapping) else {})


def fit_task(kind: str, targets: Sequence[str], rows: Sequence[Row], *, scale: bool = True) -> Task:
    """The task of these targets over the training rows.

    Args:
        kind: one of `KINDS`, or `auto`: yes-or-no columns are classes, other numbers a regression, text is classes.
        scale: whether a regression is trained on standardised targets.

    Raises:
        VlcliError: T342 when the values do not fit the kind.
    """
    values = {name: [row[name] for row in rows if not is_missing(row.get(name))] for name in targets}
    empty = [name for name, found in values.items() if not found]
    if empty:
        raise VlcliError("T342", empty[0], "has no value in the training rows", "choose another target or split")
    if kind == "auto":
        kind = guess_kind(values)
    if kind == "classification":
        if len(targets) != 1:
            raise VlcliError("T342", "method.task", f"a classification has one target, not {len(targets)}",
                             'use task = "multilabel" for several yes-or-no columns')  # fmt: skip
        classes = sorted({label_of(value) for value in values[targets[0]]}, key=class_order)
        if not 2 <= len(classes) <= MAX_CLASSES:
            raise VlcliError("T342", targets[0], f"has {len(classes)} classes in the training rows",
                             f"a classification needs 2 to {MAX_CLASSES:,}")  # fmt: skip
        return Task(kind, tuple(targets), tuple(classes))
    numbers: dict[str, list[float]] = {}
    for name, found in values.items():
        for value in found:
            number = as_number(value)
            if number is None or (kind == "multilabel" and number not in (0.0, 1.0)):
                wanted = "0 or 1" if kind == "multilabel" else "a number"
                raise VlcliError("T342", name, f"'{value}' is not {wanted}", "correct it, or choose another task")
            numbers.setdefault(name, []).append(number)
    if kind == "multilabel":
        return Task(kind, tuple(targets))
    if not scale:
        return Task(kind, tuple(targets), (), (0.0,) * len(targets), (1.0,) * len(targets))
    mean = tuple(float(np.mean(numbers[name])) for name in targets)
    # A target that never varies has nothing to scale by.
    deviation = tuple(float(np.std(numbers[name])) or 1.0 for name in targets)
    return Task(kind, tuple(targets), (), mean, deviation)


def class_order(name: str) -> tuple[bool, float, str]:
    """Numbers by size, then words."""
    number = as_number(name)
    return number is None, number or 0.0, name


def guess_kind(values: Mapping[str, Sequence[Any]]) -> str:
    """The kind of task that the values of the targets suggest."""
    numbers = [as_number(value) for found in values.values() for value in found]
    if any(number is None for number in numbers):
        return "classification"
    if set(numbers) <= {0.0, 1.0}:
        return "multilabel" if len(values) > 1 else "classification"
    return "regression"


def metrics_of(task: Task, scores: Floats, observed: Floats) -> dict[str, float]:
    """Metrics of predictions `[N, outputs]` against `observed [N, K]`, where NaN is missing.

    Regression: `rmse`, `mae`, `r2`. Classes: `roc_auc`, `prc_auc` (two classes), `accuracy`. Several targets: their
    mean, and `NAME/TARGET` for each. A target with one class alone in these rows has no curve and is left out.
    """
    each: dict[str, dict[str, float]] = {}
    for column, name in enumerate(task.targets):
        there = ~np.isnan(observed[:, column])
        if not there.any():
            continue
        truth = observed[there, column]
        if task.kind == "classification":
            each[name] = class_metrics(scores[there], truth.astype(int))
        elif task.kind == "multilabel":
            pair = np.stack([1 - scores[there, column], scores[there, column]], axis=1)
            each[name] = class_metrics(pair, truth.astype(int))
        else:
            each[name] = regression_metrics(scores[there, column], truth)
    found: dict[str, float] = {}
    for metric in sorted({metric for values in each.values() for metric in values}):
        per_target = {name: values[metric] for name, values in each.items() if metric in values}
        found[metric] = float(np.mean(list(per_target.values())))
        if len(task.targets) > 1:
            found |= {f"{metric}/{name}": value for name, value in per_target.items()}
    return found


def regression_metrics(predicted: Floats, truth: Floats) -> dict[str, float]:
    """Root mean squared error, mean absolute error and explained variance."""
    from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

    found = {
        "rmse": float(root_mean_squared_error(truth, predicted)),
        "mae": float(mean_absolute_error(truth, predicted)),
    }
    if len(truth) > 1 and np.ptp(truth) > 0:
        found["r2"] = float(r2_score(truth, predicted))
    return found


def class_metrics(probabilities: Floats, truth: NDArray[np.int_]) -> dict[str, float]:
    """Accuracy and, where both classes (or all of several) occur, areas under the curves.

    Args:
        probabilities: `[N, C]`; the areas need these scores, never the guessed labels.
        truth: `[N]` class indices.
    """
    from sklearn.metrics import accuracy_score, auc, precision_recall_curve, roc_auc_score

    found = {"accuracy": float(accuracy_score(truth, probabilities.argmax(1)))}
    classes = probabilities.shape[1]
    if len(set(truth.tolist())) < classes:
        return found
    if classes > 2:
        found["roc_auc"] = float(roc_auc_score(truth, probabilities, multi_class="ovr", labels=range(classes)))
        return found
    score = probabilities[:, 1]
    found["roc_auc"] = float(roc_auc_score(truth, score))
    precision, recall, _ = precision_recall_curve(truth, score)
    found["prc_auc"] = float(auc(recall, precision))
    return found
