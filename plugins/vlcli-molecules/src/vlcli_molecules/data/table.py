"""The data set `molecules/table`: molecules in a column of any table, or the structures of SMILES and SDF files."""

from __future__ import annotations

import gzip
import math
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from vlcli.api import Source, VlcliError
from vlcli.data import manifests
from vlcli.data.dataset import Example
from vlcli.data.datasets import SPLIT_NAMES
from vlcli.data.files import check_file
from vlcli.data.inputs import RefusedInput
from vlcli.data.limits import max_file_bytes
from vlcli.data.names import printable
from vlcli.errors import did_you_mean
from vlcli_molecules.data.scaffold import random_split, split_groups
from vlcli_molecules.data.structures import NOTATION, Structure, UnreadableStructure, read_structure
from vlcli_molecules.plugin import COLUMNS

SplitRule = Literal["scaffold", "random", "column", "none"]
STRUCTURE_COLUMNS = (*COLUMNS, "smiles_string", "drug", "compound")
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".jsonl", ".ndjson")
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """A readable molecule: where it stands, its structure, and the other columns."""

    id: str
    structure: Structure
    columns: dict[str, Any]


@dataclass
class TableDataset:
    """`molecules/table`. Example ids are `FILE#ROW`, rows counted as a spreadsheet does; values are canonical SMILES.

    The other columns are metadata, without empty cells. Columns named `caption`, `text`, `description` … are captions.
    Rows that can not be used are listed in `refused`, each with its reason.

    Args:
        path: a CSV, TSV, JSONL or Parquet file (`.gz` too), or a file of the molecules modality (`.smi`, `.sdf` …).
        paths: several files instead of one.
        column: the column of structures (SMILES, or what the modality reads); found by name when None.
        targets: columns that are numbers in the metadata wherever they can be, None where empty.
        captions: columns of captions, instead of those found by name.
        split: `scaffold`, `random` (both .8/.1/.1, equal molecules together), `column` (a column named split) or
            `none`; by default the column where there is one, else scaffold.
        seed: of the random split.

    Raises:
        VlcliError: D651 a column is missing, D653 no usable row, U621 no path; what reading a table raises.
    """

    path: str | None = None
    paths: Sequence[str] = ()
    column: str | None = None
    targets: Sequence[str] = ()
    captions: Sequence[str] = ()
    split: SplitRule | None = None
    seed: int = 0
    examples: list[Example] = field(init=False, default_factory=list)
    refused: list[RefusedInput] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        files = [*([self.path] if self.path else []), *self.paths]
        if not files:
            raise VlcliError("U621", "path", "no file is given", "set option path, or paths for several")
        rows = [row for name in files for row in self.read(Path(name).expanduser())]
        if not rows:
            first = f" (first: {self.refused[0].path}: {self.refused[0].reason})" if self.refused else ""
            raise VlcliError("D653", ", ".join(files), f"holds no usable molecule{first}", "check the column's name")
        self.examples = [self.example(row, split) for row, split in zip(rows, self.splits(rows), strict=True)]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int, /) -> Example:
        return self.examples[index]

    def read(self, path: Path) -> Iterator[Row]:
        """The usable rows of a file; the others are noted."""
        suffixes = [suffix.lower() for suffix in path.suffixes]
        zipped = suffixes[-1:] == [".gz"]
        kind = suffixes[-2] if zipped and len(suffixes) > 1 else "".join(suffixes[-1:])
        if kind not in TABLE_SUFFIXES:
            yield from self.read_structures(path)
            return
        with unzipped(path, kind) as plain:
            yield from self.read_table(plain, path, kind)

    def read_structures(self, path: Path) -> Iterator[Row]:
        """The structures of a file that the modality reads."""
        from vlcli_molecules.modality import MoleculesModality

        for source in MoleculesModality().expand(path):
            # What the reader says of its own text is no property of the molecule.
            columns = {name: value for name, value in source.metadata.items()
                       if value is not None and name != "notation"}  # fmt: skip
            structure = self.structure(source)
            if structure is not None:
                yield Row(source.id, structure, columns)

    def read_table(self, plain: Path, path: Path, kind: str) -> Iterator[Row]:
        """The rows of a table; `path` is what the user named, `plain` the file without compression."""
        where = printable(path)
        rows = manifests.csv_rows(plain, "\t") if kind == ".txt" else manifests.read_rows(plain)
        column: str | None = None
        for row in rows:
            row_id = f"{where}#{row.number}"
            if row.reason:
                self.refused.append(RefusedInput(row_id, "D106", f"row {row.number} {row.reason}"))
                continue
            cells = dict(row.cells)
            if column is None:
                column = self.choose_column(list(cells), where)
            value = cells.pop(column, None)
            text = "" if value is None else str(value).strip()
            structure = self.structure(Source(id=row_id, value=text, metadata={"column": column}))
            if structure is not None:
                yield Row(row_id, structure, cells)

    def structure(self, source: Source) -> Structure | None:
        """The structure of a row, or None after a note of why not. What is no SMILES goes through the modality."""
        from vlcli_molecules.modality import MoleculesModality, notation_of
        from vlcli_molecules.structure import detect

        value, notation = source.value, notation_of(source)
        try:
            # [C][C][O] is ethanol in SELFIES and another molecule in SMILES, so not all that RDKit reads is SMILES.
            if value is not None and (notation == "smiles" or (notation == "auto" and detect(value) == "smiles")):
                try:
                    return read_structure(value)
                except UnreadableStructure:
                    if detect(value) == "smiles":
                        raise
                    source = Source(id=source.id, value=value)  # SELFIES or InChI in a column of SMILES
            return read_structure(MoleculesModality().load(source).smiles)
        except UnreadableStructure as error:
            reason = str(error)
        except VlcliError as error:
            reason = error.message
        self.refused.append(RefusedInput(source.id, "D652", reason))
        return None

    def choose_column(self, names: list[str], where: str) -> str:
        """The column of structures.

        Raises:
            VlcliError: D651 when it, or a target or caption column, is not there.
        """
        lower = {name.strip().lower(): name for name in reversed(names)}
        for wanted in (*([self.column] if self.column else []), *self.targets, *self.captions):
            if wanted not in names:
                hint = did_you_mean(wanted, names) or f"its columns: {', '.join(names[:12])}"
                raise VlcliError("D651", where, f"has no column '{wanted}'", hint)
        found = self.column or next((lower[name] for name in STRUCTURE_COLUMNS if name in lower), None)
        if found is None:
            raise VlcliError("D651", where, f"has no column of structures (its columns: {', '.join(names[:12])})",
                             "name it with option column")  # fmt: skip
        return found

    def splits(self, rows: Sequence[Row]) -> list[str | None]:
        """A split for every row.

        Raises:
            VlcliError: D651 when `column` is asked for and no column tells the split.
        """
        given = [split_cell(row.columns) for row in rows]
        rule = self.split or ("column" if any(given) else "scaffold")
        if rule == "column":
            if not any(given):
                raise VlcliError("D651", rows[0].id, "has no column of splits", "name one split, or use another rule")
            return list(given)
        if rule == "none":
            return [None] * len(rows)
        if rule == "random":
            return list(random_split([row.structure.smiles for row in rows], self.seed))
        return list(split_groups([row.structure.scaffold for row in rows]))

    def example(self, row: Row, split: str | None) -> Example:
        """One row."""
        texts = self.captions or [name for name in row.columns if manifests.text_column(name)]
        captions = [printable(str(row.columns[name])).strip() for name in texts if row.columns.get(name) is not None]
        kept = {name: value for name, value in row.columns.items() if name not in texts and not is_split(name)}
        metadata = {name: manifests.flat(value) for name, value in kept.items() if name and value is not None}
        metadata |= {name: number(row.columns.get(name)) for name in self.targets}
        source = Source(id=row.id, value=row.structure.smiles, metadata=NOTATION)
        return Example(row.id, {"molecules": source}, tuple(dict.fromkeys(filter(None, captions))), None, split,
                       metadata)  # fmt: skip


def split_cell(columns: dict[str, Any]) -> str | None:
    """The split that a row states."""
    for name, value in columns.items():
        if is_split(name) and value is not None:
            text = str(value).strip().lower()
            return SPLIT_NAMES.get(text, text) or None
    return None


def is_split(name: str) -> bool:
    """True for a column that names splits."""
    return name.strip().lower() in manifests.SPLIT_COLUMNS


def number(value: Any) -> float | str | None:
    """A cell as a finite number where it is one, None when empty or not finite, else its text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return printable(str(value).strip())
    return found if math.isfinite(found) else None


@contextmanager
def unzipped(path: Path, kind: str) -> Iterator[Path]:
    """The file itself, or a temporary copy without its gzip layer.

    Raises:
        VlcliError: D654 when it is no gzip file, or unpacks to more than the largest file allowed.
    """
    check_file(path)
    if path.suffix.lower() != ".gz":
        yield path
        return
    limit = max_file_bytes()
    with tempfile.TemporaryDirectory(prefix="vlcli-") as folder:
        plain = Path(folder) / f"table{kind}"
        size = 0
        try:
            with gzip.open(path, "rb") as packed, open(plain, "wb") as out:
                while block := packed.read(BLOCK):
                    size += len(block)
                    if size > limit:
                        raise VlcliError("D654", printable(path), f"unpacks to more than {limit:,} bytes",
                                         "unpack it yourself, or raise --max-file-size")  # fmt: skip
                    out.write(block)
        except (OSError, EOFError, zlib.error) as error:
            raise VlcliError(
                "D654", printable(path), f"is not a whole gzip file ({error})", "download it again"
            ) from error
        yield plain
