"""Predictions for the rows of a file: see `vlcli molecules predict`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlcli.api import VlcliError
from vlcli.runtime.files import write_atomic
from vlcli.runtime.progress import track
from vlcli_molecules.methods.selformer.maps import write_map
from vlcli_molecules.methods.selformer.saved import PropertyModel
from vlcli_molecules.methods.selformer.tables import MoleculeFile
from vlcli_molecules.methods.selformer.tasks import is_missing, metrics_of
from vlcli_molecules.modality import MoleculesModality
from vlcli_molecules.molecule import Molecule

CHUNK = 2048


@dataclass
class RowPredictions:
    """What a model says about the rows of a file.

    Attributes:
        columns: what is added to the file, as long as it is.
        rows: which rows were predicted.
        embeddings: their vectors `[M, D]`.
        refused: `{"row", "path", "code", "reason"}` of the others.
        applicable: how many of the rows lie in the applicability domain.
        metrics: against the file's own target columns, where it has them, over the rows that are no training molecule.
    """

    columns: dict[str, list[Any]]
    rows: list[int]
    embeddings: NDArray[np.float32]
    refused: list[dict[str, Any]]
    applicable: int
    metrics: dict[str, float]


def predict_rows(model: PropertyModel, file: MoleculeFile, *, quiet: bool = True) -> RowPredictions:
    """Predict every row that holds a molecule; the others get the reason why not."""
    modality = MoleculesModality()
    molecules: list[Molecule] = []
    rows: list[int] = []
    refused: list[dict[str, Any]] = []
    reasons: list[str | None] = [None] * len(file)
    for index, source in enumerate(track(file.structures, label="read", total=len(file), quiet=quiet)):
        try:
            if index in file.problems:
                raise VlcliError("D106", source.id, file.problems[index])
            molecule = modality.load(source)
            model.encoder.text(molecule)
        except VlcliError as error:
            reasons[index] = f"{error.code}: {error.message}"
            refused.append({"row": index + 1, "path": source.id, "code": error.code, "reason": error.message})
            continue
        molecules.append(molecule)
        rows.append(index)
    columns: dict[str, list[Any]] = {name: [None] * len(file) for name in model.task.columns(empty_scores(model))}
    for name in ("nearest_similarity", "nearest_training_molecule", "applicable"):
        columns[name] = [None] * len(file)
    columns["refused"] = list(reasons)
    parts, scores, applicable = [], [], 0
    starts = range(0, len(rows), CHUNK)
    for start in track(starts, label="predict", total=len(starts), quiet=quiet):
        found = model.predict(molecules[start : start + CHUNK])
        added: dict[str, list[Any]] = {
            **model.task.columns(found.scores),
            "nearest_similarity": [float(value) for value in found.similarity],
            "nearest_training_molecule": found.nearest,
            "applicable": [bool(value) for value in found.applicable],
        }
        for name, values in added.items():
            for row, value in zip(rows[start : start + CHUNK], values, strict=True):
                columns[name][row] = value
        applicable += int(found.applicable.sum())
        parts.append(found.embeddings)
        scores.append(found.scores)
    embeddings = np.concatenate(parts) if parts else np.zeros((0, model.encoder.dim), np.float32)
    metrics = own_metrics(model, file, rows, molecules, scores)
    return RowPredictions(columns, rows, embeddings, refused, applicable, metrics)


def empty_scores(model: PropertyModel) -> NDArray[np.float64]:
    """Scores of no molecule, for the names of the columns."""
    return np.zeros((0, model.task.outputs))


def own_metrics(
    model: PropertyModel, file: MoleculeFile, rows: list[int], molecules: list[Molecule],
    scores: list[NDArray[np.float64]],
) -> dict[str, float]:  # fmt: skip
    """Metrics against the file's own columns, when it holds all targets with values that the task understands.

    Training molecules are left out: what a model says about these tells nothing about others.
    """
    task = model.task
    if not scores or not all(name in file.names for name in task.targets):
        return {}
    training = set(model.domain.smiles)
    new = [index for index, molecule in enumerate(molecules) if molecule.smiles not in training]
    if not new:
        return {}
    places = {name: file.names.index(name) for name in task.targets}
    found = [{name: file.cells[rows[index]][place] for name, place in places.items()} for index in new]
    try:
        return {**metrics_of(task, np.concatenate(scores)[new], task.observed(found)), "rows": float(len(new))}
    except VlcliError:
        # Another table may use the same name for something else.
        return {}


def write_embeddings(path: Path, file: MoleculeFile, found: RowPredictions) -> None:
    """The rows' embeddings: `.npy` `[N, D]` with NaN for refused rows, or `.parquet` with the row's number.

    Raises:
        VlcliError: U631 for another suffix.
    """
    import io

    if path.suffix.lower() == ".npy":
        whole = np.full((len(file), found.embeddings.shape[1]), np.nan, np.float32)
        whole[found.rows] = found.embeddings
        buffer = io.BytesIO()
        np.save(buffer, whole, allow_pickle=False)
        write_atomic(path, buffer.getvalue())
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.array(found.embeddings.tolist(), pa.list_(pa.float32(), found.embeddings.shape[1]))
    table = pa.table({"row": pa.array([row + 1 for row in found.rows]), "embedding": vectors})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_atomic(path, sink.getvalue().to_pybytes())


def check_embeddings_path(path: Path) -> None:
    """Refuse a file of embeddings of another format.

    Raises:
        VlcliError: U631.
    """
    if path.suffix.lower() not in (".npy", ".parquet"):
        raise VlcliError("U631", str(path), "can not hold embeddings", "name a file that ends in .npy or .parquet")


def draw_map(path: Path, model: PropertyModel, file: MoleculeFile, found: RowPredictions, by: str | None) -> None:
    """A map of the predicted rows, coloured by a column of the file or, without `by`, by the first prediction.

    Raises:
        VlcliError: U633 when there is no such column.
    """
    predicted = next(iter(found.columns))
    name = by or predicted
    if name in file.names:
        place = file.names.index(name)
        values = [file.cells[row][place] for row in found.rows]
    elif name in found.columns:
        values = [found.columns[name][row] for row in found.rows]
    else:
        raise VlcliError("U633", "--map-by", f"there is no column '{name}'",
                         f"columns: {', '.join([*file.names, *found.columns][:14])}")  # fmt: skip
    write_map(path, found.embeddings, [plain_value(value) for value in values], name)


def plain_value(value: Any) -> float | str | None:
    """A cell as a number, or as text, or None when it is empty."""
    if is_missing(value):
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)
