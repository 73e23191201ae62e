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
from vlcli_molecules.methods.selformer.tables import MoleculeFile, check_no_folder, shown_names
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
    columns: dict[str, list[Any]] = {name: [None] * len(file) for name in new_columns(model)}
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


def new_columns(model: PropertyModel) -> list[str]:
    """The columns that predictions add to a file."""
    predicted = model.task.columns(np.zeros((0, model.task.outputs)))
    return [*predicted, "nearest_similarity", "nearest_training_molecule", "applicable", "refused"]


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
    check_no_folder(path)
    if path.suffix.lower() not in (".npy", ".parquet"):
        raise VlcliError("U631", str(path), "can not hold embeddings", "name a file that ends in .npy or .parquet")


def check_map(path: Path, model: PropertyModel, file: MoleculeFile, by: str | None) -> None:
    """Refuse a map that could not be drawn, before anything is predicted.

    Raises:
        VlcliError: U631 for another suffix, U633 when there is no column to colour it by.
    """
    check_no_folder(path)
    if path.suffix.lower() != ".png":
        raise VlcliError("U631", str(path), "the map is a PNG", "name a file that ends in .png")
    known = [*file.names, *new_columns(model)]
    if by is not None and by not in known:
        raise VlcliError("U633", "--map-by", f"there is no column '{by}'", f"columns: {shown_names(known)}")


def draw_map(path: Path, file: MoleculeFile, found: RowPredictions, by: str | None) -> None:
    """A map of the predicted rows, coloured by a column of the file or, without `by`, by the first prediction."""
    name = by or next(iter(found.columns))
    if name in file.names:
        place = file.names.index(name)
        values = [file.cells[row][place] for row in found.rows]
    else:
        values = [found.columns[name][row] for row in found.rows]
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
