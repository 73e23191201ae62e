"""Files of molecules whose rows come back with further columns: the same rows, order and columns before the new ones.

A row that can not be used keeps its place and its cells. Delimited text keeps bytes that are not UTF-8.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.api import Source, VlcliError
from vlcli.data.files import check_file
from vlcli.data.limits import max_file_bytes
from vlcli.data.names import printable
from vlcli.errors import did_you_mean
from vlcli.runtime.files import write_atomic
from vlcli_molecules.data.table import STRUCTURE_COLUMNS

if TYPE_CHECKING:
    import pyarrow

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
LINES = {".smi": "smiles", ".smiles": "smiles", ".selfies": "selfies", ".inchi": "inchi"}
OBJECTS = (".jsonl", ".ndjson")
RECORDS = (".sdf", ".sd", ".mol", ".mdl")
PARQUET = ".parquet"
READABLE = (*DELIMITERS, *OBJECTS, PARQUET, *LINES, *RECORDS)
WRITABLE = (*DELIMITERS, PARQUET, ".sdf", ".sd")
RECORD_END = "$$$$"


@dataclass
class MoleculeFile:
    """A file's rows.

    Attributes:
        path: where it was read.
        kind: its suffix without `.gz`.
        names: its columns.
        cells: a list of cells for each row.
        structures: what is read as the molecule, a source for each row; the text of the cell or record.
        problems: row -> why it can not be used as it stands.
        surplus: row -> cells beyond the last column.
        blocks: of an SDF, the text of each record as it stands.
        parquet: the table as it was read.
    """

    path: Path
    kind: str
    names: list[str] = field(default_factory=list)
    cells: list[list[Any]] = field(default_factory=list)
    structures: list[Source] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    surplus: dict[int, list[str]] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)
    parquet: pyarrow.Table | None = None

    def __len__(self) -> int:
        return len(self.cells)

    def write(self, out: Path, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write the rows with further columns, each as long as the file; None is an empty cell.

        Raises:
            VlcliError: U631 when the rows can not be written in the format of `out`.
        """
        kind, zipped = kind_of(out)
        check_output(out, self.kind)
        new = {unused(name, self.names): list(values) for name, values in columns.items()}
        if kind in (".sdf", ".sd"):
            content = self.as_records(new).encode("utf-8", "surrogateescape")
        elif kind == PARQUET:
            content = self.as_parquet(new)
        else:
            content = self.as_text(new, DELIMITERS[kind]).encode("utf-8", "surrogateescape")
        write_atomic(out, gzip.compress(content, mtime=0) if zipped else content)

    def as_text(self, new: Mapping[str, list[Any]], delimiter: str) -> str:
        """Delimited text with a header."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow([*self.names, *new])
        for index, cells in enumerate(self.cells):
            added = [shown(values[index]) for values in new.values()]
            writer.writerow([*("" if cell is None else cell for cell in cells), *added, *self.surplus.get(index, [])])
        return text.getvalue()

    def as_parquet(self, new: Mapping[str, list[Any]]) -> bytes:
        """A Parquet file; the columns of one that was read keep their types."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = self.parquet
        if table is None:
            plain = [[cells[place] for cells in self.cells] for place in range(len(self.names))]
            readable = [[printable(cell) if isinstance(cell, str) else cell for cell in column] for column in plain]
            try:
                arrays = [pa.array(column) for column in readable]
            except pa.ArrowException as error:
                raise VlcliError("U631", printable(self.path), f"a column mixes types, which Parquet can not ({error})",
                                 "write .csv or .tsv") from error  # fmt: skip
            # Not from a dict: two columns may have one name.
            table = pa.Table.from_arrays(arrays, names=[printable(name) for name in self.names])
        for name, values in new.items():
            table = table.append_column(name, pa.array(values))
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        content: bytes = sink.getvalue().to_pybytes()
        return content

    def as_records(self, new: Mapping[str, list[Any]]) -> str:
        """An SDF: every record as it stood, with further data fields."""
        parts = []
        for index, block in enumerate(self.blocks):
            fields = [(name, shown(values[index])) for name, values in new.items()]
            data = "".join(f">  <{name}>\n{value}\n\n" for name, value in fields if value != "")
            parts.append(f"{block.rstrip(chr(10))}\n{gap_before_fields(block)}{data}{RECORD_END}\n")
        return "".join(parts)


def gap_before_fields(block: str) -> str:
    """A blank line when the record ends in a data field, which a blank line has to end."""
    return "\n" if "M  END" in block and block.rpartition("M  END")[2].strip() else ""


def shown(value: Any) -> Any:
    """A value as text tables hold it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else value


def unused(name: str, names: Sequence[str]) -> str:
    """The name, with a number when the file has such a column already."""
    number, found = 2, name
    while found in names:
        found, number = f"{name}_{number}", number + 1
    return found


def kind_of(path: Path) -> tuple[str, bool]:
    """The lower-case suffix below `.gz`, and whether there is one."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    zipped = suffixes[-1:] == [".gz"]
    left = suffixes[:-1] if zipped else suffixes
    return (left[-1] if left else ""), zipped


def check_output(out: Path, source_kind: str) -> None:
    """Refuse an output file of a format that the rows can not take, before anything is computed.

    Raises:
        VlcliError: U631.
    """
    check_no_folder(out)
    kind, _ = kind_of(out)
    if kind not in WRITABLE:
        raise VlcliError("U631", str(out), f"can not be written as '{kind or 'no suffix'}'",
                         f"name a file that ends in {', '.join(WRITABLE)}, or in one of these and .gz")  # fmt: skip
    if kind in (".sdf", ".sd") and source_kind not in RECORDS:
        raise VlcliError("U631", str(out), "an SDF needs an SDF as input, for its coordinates",
                         "write .csv, .tsv or .parquet")  # fmt: skip


def check_no_folder(out: Path) -> None:
    """Refuse a folder where a file is to be written.

    Raises:
        VlcliError: U631.
    """
    if out.is_dir():
        raise VlcliError("U631", str(out), "is a folder, not a file", "name a file in it, with its suffix")


def read_molecules(path: Path, column: str | None = None) -> MoleculeFile:
    """The rows of a CSV, TSV, JSONL, Parquet, SMILES, SELFIES, InChI, SDF or MOL file, `.gz` or not.

    Args:
        path: the file.
        column: of the structures, in a table; found by name when None.

    Raises:
        VlcliError: U632 another format, D111-D115 for the file itself, D671 when it can not be read, D651 without a
            column of structures.
    """
    kind, zipped = kind_of(path)
    if kind not in READABLE:
        raise VlcliError("U632", printable(path), f"'{kind or 'no suffix'}' is no format of molecules",
                         f"formats: {', '.join(READABLE)}, and these with .gz")  # fmt: skip
    if kind not in (*DELIMITERS, *OBJECTS, PARQUET) and column is not None:
        raise VlcliError("U632", "--column", f"a {kind} file has no columns", "leave it out")
    content = read_bytes(path, zipped)
    found = MoleculeFile(path, kind)
    if kind == PARQUET:
        read_parquet(found, content, column)
    else:
        # Kept byte by byte: a row that is not UTF-8 is refused, and written as it was.
        text = content.decode("utf-8-sig", "surrogateescape")
        if kind in DELIMITERS:
            read_delimited(found, text, column)
        elif kind in OBJECTS:
            read_objects(found, text, column)
        elif kind in LINES:
            read_lines(found, text)
        else:
            read_records(found, text)
    if not len(found):
        raise VlcliError("D671", printable(path), "holds no row", "check the file")
    return found


def read_bytes(path: Path, zipped: bool) -> bytes:
    """A file's content without its gzip layer, within the limit on files."""
    check_file(path)
    if not zipped:
        return path.read_bytes()
    limit = max_file_bytes()
    try:
        with gzip.open(path) as file:
            content = file.read(limit + 1)
    except (OSError, EOFError) as error:
        raise VlcliError("D671", printable(path), f"is not a whole gzip file ({error})", "download it again") from error
    if len(content) > limit:
        raise VlcliError("D671", printable(path), f"unpacks to more than {limit:,} bytes", "raise --max-file-size")
    return content


def structure_column(names: Sequence[str], column: str | None, where: str) -> int:
    """The place of the column of structures.

    Raises:
        VlcliError: D651 when there is none.
    """
    if column is not None:
        if column not in names:
            hint = did_you_mean(column, list(names)) or f"its columns: {shown_names(names)}"
            raise VlcliError("D651", where, f"has no column '{column}'", hint)
        return list(names).index(column)
    lower = [name.strip().lower() for name in names]
    for wanted in STRUCTURE_COLUMNS:
        if wanted in lower:
            return lower.index(wanted)
    raise VlcliError("D651", where, f"has no column of structures (its columns: {shown_names(names)})",
                     "name it with --column")  # fmt: skip


def shown_names(names: Sequence[str]) -> str:
    """The first columns' names for messages."""
    return ", ".join(printable(name)[:40] for name in names[:12])


def read_delimited(found: MoleculeFile, text: str, column: str | None) -> None:
    """A table in text. A row with more or fewer cells than the header is a problem of that row alone.

    A CSV's delimiter is the one of `,`, `;` and tab that the header holds most often, as everywhere in vlcli.
    """
    where = printable(found.path)
    header = text[: max(text.find("\n"), 0)] or text
    delimiter = max(",;\t", key=header.count) if found.kind == ".csv" else DELIMITERS[found.kind]
    before = csv.field_size_limit(len(text) + 1)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise VlcliError("D671", where, f"is no table ({error})", "check its quotes") from error
    finally:
        csv.field_size_limit(before)
    if not rows:
        return
    found.names = rows[0]
    place = structure_column(found.names, column, where)
    width = len(found.names)
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        index = len(found)
        if len(row) != width:
            found.problems[index] = f"has {len(row)} cells, the header {width}"
            if len(row) > width:
                found.surplus[index] = row[width:]
        cells = [*row[:width], *[""] * (width - len(row))]
        add(found, cells, cells[place], number, {"column": found.names[place]})


def read_objects(found: MoleculeFile, text: str, column: str | None) -> None:
    """One JSON object a line; the columns are all keys, in the order in which they come."""
    where = printable(found.path)
    rows: list[tuple[int, dict[str, Any]]] = []
    # Not splitlines, which ends a line at characters that JSON strings may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            # Half of a surrogate pair could not be written again.
            json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogateescape")
        except (ValueError, RecursionError) as error:
            raise VlcliError("D671", where, f"line {number} is no JSON ({error})", "correct the line") from error
        if not isinstance(row, dict):
            raise VlcliError("D671", where, f"line {number} is no JSON object", "write one object a line")
        rows.append((number, row))
    if not rows:
        return
    found.names = list(dict.fromkeys(name for _, row in rows for name in row))
    place = structure_column(found.names, column, where)
    for number, row in rows:
        cells = [row.get(name) for name in found.names]
        value = cells[place]
        add(found, cells, "" if value is None else str(value), number, {"column": found.names[place]})


def read_parquet(found: MoleculeFile, content: bytes, column: str | None) -> None:
    """A Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = printable(found.path)
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise VlcliError("D671", where, f"is no Parquet file ({error})", "check the file") from error
    found.parquet, found.names = table, list(table.column_names)
    place = structure_column(found.names, column, where)
    columns = [part.to_pylist() for part in table.columns]
    for number in range(table.num_rows):
        cells = [part[number] for part in columns]
        value = cells[place]
        add(found, cells, "" if value is None else str(value), number + 1, {"column": found.names[place]})


def read_lines(found: MoleculeFile, text: str) -> None:
    """A structure a line, and after a blank or tab its name."""
    found.names = ["structure", "name"]
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if not content or content.startswith("#") or (number == 1 and content.split()[0].lower() in STRUCTURE_COLUMNS):
            continue
        structure, _, name = content.replace("\t", " ", 1).partition(" ")
        add(found, [structure, name.strip()], structure, number, {"notation": LINES[found.kind]})


def read_records(found: MoleculeFile, text: str) -> None:
    """The records of an SDF; its fields become columns, after the title."""
    lines = text.replace("\r\n", "\n").split("\n")
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.startswith(RECORD_END):
            blocks.append([])
        else:
            blocks[-1].append(line)
    fields = []
    for number, block in enumerate(blocks, start=1):
        whole = "\n".join(block)
        if not whole.strip():
            continue
        found.blocks.append(whole)
        mol, values = split_record(block)
        fields.append({"title": block[0].strip(), **values})
        add(found, [], mol, number, {"notation": "molblock"})
    found.names = list(dict.fromkeys(name for values in fields for name in values))
    found.cells = [[values.get(name, "") for name in found.names] for values in fields]


def split_record(lines: Sequence[str]) -> tuple[str, dict[str, str]]:
    """A record's MOL block, and its data fields."""
    end = next((index for index, line in enumerate(lines) if line.startswith("M  END")), len(lines) - 1)
    fields: dict[str, str] = {}
    name = ""
    for line in lines[end + 1 :]:
        if line.startswith(">") and "<" in line:
            name = line[line.index("<") + 1 : line.rindex(">")] if line.rindex(">") > line.index("<") else ""
            fields[name] = ""
        elif name and line.strip():
            fields[name] += ("\n" if fields[name] else "") + line
        elif not line.strip():
            name = ""
    return "\n".join(lines[: end + 1]) + "\n", fields


def add(found: MoleculeFile, cells: list[Any], structure: str, number: int, metadata: dict[str, str]) -> None:
    """A further row."""
    index = len(found)
    source_id = f"{printable(found.path)}#{number}"
    if not structure.strip():
        found.problems.setdefault(index, "holds no structure")
    elif any(isinstance(cell, str) and not cell.isprintable() and has_surrogates(cell) for cell in (*cells, structure)):
        found.problems.setdefault(index, "is not UTF-8 text")
    found.structures.append(Source(id=source_id, value=structure, metadata=metadata))
    found.cells.append(cells)


def has_surrogates(text: str) -> bool:
    """Whether some bytes could not be decoded."""
    return any("\ud800" <= character <= "\udfff" for character in text)
