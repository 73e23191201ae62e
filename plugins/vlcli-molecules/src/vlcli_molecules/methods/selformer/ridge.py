"""The baseline: ridge regression on Morgan fingerprints, its penalty chosen on the validation split."""

from __future__ import annotations

from typing import Any

import numpy as np

from vlcli.api import VlcliError
from vlcli.train.method import Evaluate, Method, Setup, Stage
from vlcli_molecules.methods.selformer.domain import fingerprints
from vlcli_molecules.methods.selformer.options import RidgeOptions
from vlcli_molecules.methods.selformer.strings import molecule_of
from vlcli_molecules.methods.selformer.tasks import Floats, fit_task, metrics_of, row_of, targets_of


class FingerprintRidge(Method):
    """Solved in closed form: it has no stage, and a recipe's `[train]` does not matter. Options: `RidgeOptions`."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = RidgeOptions(**options)

    def build(self, setup: Setup) -> None:
        """Keep the data."""
        self.examples = setup.examples

    def stages(self) -> list[Stage]:
        """None."""
        return []

    def table(self, split: str) -> tuple[Floats, list[dict[str, Any]]]:
        """Fingerprints `[N, bits]` of a split, and its columns; molecules that can not be read are left out."""
        smiles, rows = [], []
        for example in self.examples(split):
            try:
                smiles.append(molecule_of(example.sources["molecules"], "smiles").smiles)
            except VlcliError:
                continue
            rows.append(row_of(example))
        return fingerprints(smiles, self.options.radius, self.options.bits).astype(np.float64), rows

    def evaluate(self, evaluate: Evaluate) -> dict[str, float]:
        """Fit on the training split with the penalty that is best on validation, and measure on test.

        Raises:
            VlcliError: T346 without a validation split.
        """
        from sklearn.linear_model import Ridge

        targets = targets_of(self.examples("train"), self.options.targets)
        tables = {split: self.table(split) for split in ("train", "validation", "test")}
        if not tables["validation"][1]:
            raise VlcliError("T346", "data.validation", "is empty, but chooses the penalty", "name a validation split")
        inputs, rows = tables["train"]
        task = fit_task("regression", targets, rows)
        best: dict[str, float] = {}
        for alpha in self.options.alphas:
            scores: dict[str, list[Floats]] = {"validation": [], "test": []}
            for name in targets:
                observed = fit_task("regression", [name], rows).observed(rows)[:, 0]
                there = ~np.isnan(observed)
                model = Ridge(alpha=alpha).fit(inputs[there], observed[there])
                for split, found in scores.items():
                    found.append(model.predict(tables[split][0]))
            metrics = {"alpha": alpha}
            for split, found in scores.items():
                measured = metrics_of(task, np.stack(found, axis=1), task.observed(tables[split][1]))
                metrics |= {f"{split}/{name}": value for name, value in measured.items()}
            if not best or metrics["validation/rmse"] < best["validation/rmse"]:
                best = metrics
        return best
