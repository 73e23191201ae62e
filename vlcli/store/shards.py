"""Shards: Parquet files of embedded items, written by any number of machines and taken into a store by one.

A shard is one Parquet file with the columns id, path, modality, content_hash, text, metadata (JSON), size, mtime_ns,
inode, vector (D float32) and checksum (64-bit BLAKE2b over id and vector, as the store keeps it). The file's metadata
under `vlcli` is a JSON object: the space, and what was refused. `vlcli store export --format parquet` writes the same
columns, so an export is a shard. A folder of shards that one run wrote holds `shards.json`, which names them; only
with it is the set complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.runtime.files import atomic_path, write_atomic
from vlcli.store.records import metadata_json
from vlcli.store.types import Item, Refusal, Row, SpaceInfo, Unchanged, VectorStore
from vlcli.store.vectors import as_bytes, checksum, vector_problem

if TYPE_CHECKING:
    from vlcli.store.base import BaseStore

MANIFEST = "shards.json"
TEXTS = ("id", "path", "modality", "content_hash", "text", "metadata")
NUMBERS = {"size": "int64", "mtime_ns": "int64", "inode": "uint64", "checksum": "int64"}
READ_ROWS = 1024


def shard_schema(info: SpaceInfo, refused: Sequence[Refusal] = ()) -> Any:
    """The Arrow schema of shards of this space, with what was refused in its metadata."""
    import pyarrow as pa

    facts = {"schema": 1, "space": asdict(info), "refused": [asdict(line) for line in refused]}
    return pa.schema(
        [*((name, pa.string()) for name in TEXTS), *((name, pa.type_for_alias(kind)) for name, kind in NUMBERS.items()),
         ("vector", pa.list_(pa.float32(), info.dim))],
        metadata={"vlcli": json.dumps(facts)},
    )  # fmt: skip


def shard_batch(schema: Any, items: Sequence[Item | Row], vectors: NDArray[np.float32]) -> Any:
    """Items and their vectors `[N, D]` as a record batch of the schema."""
    import pyarrow as pa

    ids = [clean(item.id) or "" for item in items]
    columns: list[Any] = [pa.array([clean(text_column(item, name)) for item in items], pa.string()) for name in TEXTS]
    columns += [
        pa.array([getattr(item, name) for item in items], pa.type_for_alias(kind))
        for name, kind in NUMBERS.items()
        if name != "checksum"
    ]
    sums = [checksum(id, as_bytes(vector)) for id, vector in zip(ids, vectors, strict=True)]
    columns.append(pa.array(sums, pa.int64()))
    flat = np.ascontiguousarray(vectors, np.float32).ravel()
    columns.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), schema.field("vector").type.list_size))
    return pa.record_batch(columns, schema=schema)


def text_column(item: Item | Row, name: str) -> str | None:
    """A column of text; metadata as JSON."""
    if name == "metadata":
        return metadata_json(item.metadata)
    value = getattr(item, name)
    return None if value is None else str(value)


def clean(text: str | None) -> str | None:
    """Text that is valid UTF-8: undecodable bytes of a file name become `\\udcXX` escapes."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


@dataclass
class ShardSink:
    """Collects what an ingestion stores, for one shard: the part of a store that `vlcli.store.ingest` uses.

    It knows nothing yet, so everything is embedded; and it refuses the vectors that a store refuses.
    """

    info: SpaceInfo
    rows: list[Row] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def get(self, ids: Sequence[str]) -> dict[str, Item]:
        """No item is known."""
        return {}

    def ids_of_hashes(self, modality: str, hashes: Sequence[str]) -> dict[str, str]:
        """No content is known."""
        return {}

    def add(
        self, rows: Sequence[Row] = (), refused: Sequence[Refusal] = (), unchanged: Sequence[Unchanged] = ()
    ) -> list[Refusal]:
        """Keep rows and refusals; gives the rows whose vector can not be stored, as a store does."""
        why = [vector_problem(row.vector) for row in rows]
        rejected = [Refusal(row.path or row.id, "S113", text) for row, text in zip(rows, why, strict=True) if text]
        self.rows += [row for row, text in zip(rows, why, strict=True) if not text]
        self.refused += [*refused, *rejected]
        return rejected

    def write(self, path: Path) -> None:
        """Write the shard, atomically and durably."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = shard_schema(self.info, self.refused)
        vectors = np.stack([row.vector for row in self.rows]) if self.rows else np.zeros((0, self.info.dim), np.float32)
        table = pa.Table.from_batches([shard_batch(schema, self.rows, vectors)], schema)
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary, compression="zstd")


@dataclass(frozen=True)
class Shard:
    """A shard whose footer was read.

    Attributes:
        path: the file.
        info: the space of its vectors.
        refused: inputs that its writer refused.
        rows: how many items it holds.
    """

    path: Path
    info: SpaceInfo
    refused: list[Refusal]
    rows: int


def open_shard(path: Path) -> Shard:
    """Read a shard's footer.

    Raises:
        VlcliError: S120 when it is torn or damaged, S121 when it is no shard of this version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, count = file.schema_arrow, file.metadata.num_rows
    except FileNotFoundError:
        raise VlcliError("S120", str(path), "the shard is missing", "bring it back, or write it again") from None
    except (pa.ArrowException, OSError) as error:
        raise torn(path, error) from error
    try:
        facts = json.loads((schema.metadata or {})[b"vlcli"])
        info = SpaceInfo(**facts["space"])
        refused = [Refusal(**line) for line in facts.get("refused", [])]
        lacking = [field.name for field in shard_schema(info) if field not in list(schema)]
    except (KeyError, TypeError, ValueError) as error:
        help = "import what `vlcli embed --shards` or `vlcli store export` wrote"
        raise VlcliError("S121", str(path), "is a Parquet file, but no shard of vlcli", help) from error
    if lacking:
        raise VlcliError("S121", str(path), f"lacks the column '{lacking[0]}'", "export or embed it again")
    return Shard(path, info, refused, count)


def torn(path: Path, error: Exception) -> VlcliError:
    """The error of a file that is no whole Parquet file."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return VlcliError("S120", str(path), f"the shard is torn or damaged ({first})", "write it again")


def read_rows(shard: Shard) -> Iterator[tuple[list[Row], list[Refusal]]]:
    """A shard's rows in batches, and those whose checksum does not match as refusals.

    Raises:
        VlcliError: S120 when a page can not be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(shard.path) as file:
            first = 0
            for batch in file.iter_batches(READ_ROWS):
                yield verified_rows(shard, batch, first)
                first += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise torn(shard.path, error) from error


def verified_rows(shard: Shard, batch: Any, first: int) -> tuple[list[Row], list[Refusal]]:
    """The sound rows of a record batch, and the damaged ones; `first` is the number of its first row in the file."""
    columns = {name: batch.column(name).to_pylist() for name in (*TEXTS, *NUMBERS)}
    # A list may be null, or shorter, in a damaged file: taken one by one, so that rows can not slip.
    vectors = [np.asarray(vector or [], dtype=np.float32) for vector in batch.column("vector").to_pylist()]
    rows: list[Row] = []
    bad: list[Refusal] = []
    for n, vector in enumerate(vectors):
        one = {name: values[n] for name, values in columns.items()}
        try:
            metadata = json.loads(one["metadata"] or "{}")
            sound = vector.shape == (shard.info.dim,) and checksum(one["id"], as_bytes(vector)) == one["checksum"]
            sound = sound and isinstance(metadata, dict)
        except (TypeError, AttributeError, ValueError, RecursionError):
            sound, metadata = False, {}
        if not sound or not one["modality"] or not one["content_hash"]:
            # Named by its place and not by its item: what the store holds of that is none the worse.
            what = f"the row of {one['id']} is damaged: its checksum or metadata is wrong — write the shard again"
            bad.append(Refusal(f"{shard.path}#{n + first}", "S122", what))
            continue
        rows.append(Row(one["id"], one["path"], one["modality"], one["content_hash"], one["size"], one["mtime_ns"],
                        one["inode"], one["text"], metadata, vector))  # fmt: skip
    return rows, bad


@dataclass
class ImportReport:
    """What became of the shards' items.

    Attributes:
        imported: stored in this run.
        unchanged: were in the store already, the vector to the last bit.
        refused: inputs that the shards' writer refused, damaged rows, and shards that can not be read.
        shards: how many were read; `torn` of them not, or not to their end.
        unfinished: folders whose run never wrote its list of shards.
    """

    imported: int = 0
    unchanged: int = 0
    refused: list[Refusal] = field(default_factory=list)
    shards: int = 0
    torn: int = 0
    unfinished: list[str] = field(default_factory=list)


def find_shards(places: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The shards of files and folders, in order, and the folders without a list of their shards.

    Raises:
        VlcliError: D102 when a place does not exist or a folder holds none.
    """
    found: list[Path] = []
    unfinished: list[str] = []
    for place in places:
        if not place.is_dir():
            if not place.exists():
                raise VlcliError("D102", str(place), "there is no such file", "name shards, or the folder of a run")
            found.append(place)
            continue
        listed = read_manifest(place)
        inside = listed if listed is not None else sorted(place.glob("*.parquet"))
        if not inside:
            raise VlcliError("D102", str(place), "the folder holds no shards", "name the folder of --shards")
        unfinished += [str(place)] if listed is None else []
        found += inside
    return list(dict.fromkeys(found)), unfinished


def write_manifest(folder: Path, info: SpaceInfo, shards: Sequence[Path]) -> None:
    """Name the shards of a finished run."""
    content = {"schema": 1, "space": asdict(info), "shards": [shard.name for shard in shards]}
    write_atomic(folder / MANIFEST, json.dumps(content, indent=1) + "\n")


def read_manifest(folder: Path) -> list[Path] | None:
    """The shards of the run that wrote this folder; None when it has not ended.

    Raises:
        VlcliError: S121 when the list can not be read.
    """
    file = folder / MANIFEST
    if not file.is_file():
        return None
    try:
        names = json.loads(file.read_text(encoding="utf-8"))["shards"]
        # A name alone: a list can not lead out of its folder.
        return [folder / Path(str(name)).name for name in names]
    except (ValueError, KeyError, TypeError) as error:
        raise VlcliError("S121", str(file), "is no list of shards", "delete it to import all shards here") from error


def open_shards(paths: Sequence[Path]) -> tuple[list[Shard], list[Refusal]]:
    """All shards' footers, before anything is imported; those that can not be read as refusals.

    Raises:
        VlcliError: M501 (exit code 5) when they are of different spaces, S120/S121 when none can be read.
    """
    shards: list[Shard] = []
    refused: list[Refusal] = []
    for path in paths:
        try:
            shards.append(open_shard(path))
        except VlcliError as error:
            if len(paths) == 1:
                raise
            refused.append(Refusal(str(path), error.code, f"{error.message} — {error.help}"))
    if not shards:
        raise VlcliError(refused[0].code, refused[0].path, refused[0].reason)
    first = shards[0]
    for shard in shards:
        if (shard.info.identity, shard.info.dim) != (first.info.identity, first.info.dim):
            raise VlcliError("M501", str(shard.path), f"holds vectors of the space '{shard.info.name}' "
                             f"({shard.info.identity[:19]}, {shard.info.dim} numbers), but {first.path} of "
                             f"'{first.info.name}' ({first.info.identity[:19]}, {first.info.dim} numbers)",
                             "import the shards of each space into a store of their own")  # fmt: skip
    return shards, refused


def import_shards(
    store: BaseStore, shards: Sequence[Shard], refused: Sequence[Refusal] = (),
    advance: Callable[[int], None] = lambda count: None, command: str = "import",
) -> ImportReport:  # fmt: skip
    """Take shards into a store that is open for writing, as one run of its ledger.

    What is in the store already with the same content, columns and vector is left as it is, so an import can be
    repeated, and goes on after an interruption. Each commit is durable.

    Raises:
        VlcliError: M501/M502 when the store is of another space, what the store raises (disk full …).
    """
    report = ImportReport(shards=len(shards) + len(refused), torn=len(refused))
    for shard in shards:
        store.check_space(shard.info.identity, shard.info.name)
        if shard.info.dim != store.info.dim:
            raise VlcliError("M502", str(shard.path), f"its vectors have {shard.info.dim} numbers, the store's "
                             f"{store.info.dim}", "import into another store")  # fmt: skip
    store.begin_run(command)
    try:
        take(store, report, [], refused)
        for shard in shards:
            take(store, report, [], shard.refused)
            try:
                for rows, bad in read_rows(shard):
                    take(store, report, rows, bad)
                    advance(len(rows) + len(bad))
            except VlcliError as error:
                if error.code != "S120":
                    raise
                report.torn += 1
                take(store, report, [], [Refusal(str(shard.path), error.code, f"{error.message} — {error.help}")])
    except KeyboardInterrupt:
        store.end_run("interrupted")
        raise
    except BaseException:
        store.end_run("failed")
        raise
    store.end_run("done")
    return report


def take(store: VectorStore, report: ImportReport, rows: list[Row], refused: Sequence[Refusal]) -> None:
    """One durable commit, counted once it is."""
    known = store.get([row.id for row in rows])
    same = [row for row in rows if row.id in known and is_same(known[row.id], row)]
    stored = list(store.vectors([row.id for row in same])) if same else []
    unchanged = {row.id for row, vector in zip(same, stored, strict=True) if as_bytes(vector) == as_bytes(row.vector)}
    fresh = [row for row in rows if row.id not in unchanged]
    seen = [Unchanged(row.id, row.size, row.mtime_ns, row.inode) for row in rows if row.id in unchanged]
    if not (fresh or refused or seen):
        return
    rejected = store.add(fresh, refused, seen)
    report.imported += len(fresh) - len(rejected)
    report.unchanged += len(seen)
    report.refused += [*refused, *rejected]


def is_same(item: Item, row: Row) -> bool:
    """Whether an item and a row say the same, vectors aside."""

    def columns(one: Item | Row) -> tuple[object, ...]:
        return one.path, one.modality, one.content_hash, one.text, dict(one.metadata)

    return columns(item) == columns(row)
