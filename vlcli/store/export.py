"""A store as one Parquet or NPZ file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli.runtime.files import atomic_path
from vlcli.store.shards import clean, shard_batch, shard_schema
from vlcli.store.types import Item

if TYPE_CHECKING:
    from vlcli.store.base import BaseStore

FORMATS = ("parquet", "npz")
ROWS = 4096


def export_store(store: BaseStore, path: Path, format: str | None) -> int:
    """Write all items but stale ones, in the order of arrival, with their vectors; gives how many.

    Parquet: a shard, see `vlcli.store.shards`, which `vlcli store import` reads. NPZ: `vectors [N, D]`, `ids`, `paths`,
    `modalities` as text, and `items`, one JSON object a line as bytes; it loads without pickle.

    Raises:
        VlcliError: U306 for an unknown format, S111 when a vector is damaged (the target is then as it was).
    """
    format = (format or path.suffix.lstrip(".")).lower()
    if format not in FORMATS:
        raise VlcliError("U306", str(path), f"'{format}' is not a format", f"choose from {', '.join(FORMATS)}")
    with store.catalog.snapshot(), atomic_path(path) as temporary:
        write = _write_parquet if format == "parquet" else _write_npz
        return write(store, temporary)


def _batches(store: BaseStore) -> Iterator[tuple[list[Item], NDArray[np.float32]]]:
    """Items that search finds, and their verified vectors."""
    query = "SELECT n FROM items WHERE n NOT IN (SELECT n FROM stale) ORDER BY n"
    numbers = [row[0] for row in store.catalog.connection.execute(query)]
    for start in range(0, len(numbers), ROWS):
        stored = store.catalog.stored(numbers[start : start + ROWS])
        chosen = [stored[n].item for n in numbers[start : start + ROWS]]
        yield chosen, store.vectors([item.id for item in chosen])


def _write_parquet(store: BaseStore, path: Path) -> int:
    import pyarrow.parquet as pq

    schema = shard_schema(store.info)
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for items, vectors in _batches(store):
            writer.write_batch(shard_batch(schema, items, vectors))
            count += len(items)
    return count


def _write_npz(store: BaseStore, path: Path) -> int:
    count, dim = len(store) - len(store.stale()), store.info.dim
    ids: list[str] = []
    paths: list[str] = []
    modalities: list[str] = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        lines = bytearray()
        with archive.open("vectors.npy", "w", force_zip64=True) as member:
            npy.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (count, dim)})
            for items, vectors in _batches(store):
                member.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
                for item in items:
                    ids.append(clean(item.id) or "")
                    paths.append(clean(item.path) or "")
                    modalities.append(item.modality)
                    lines += (clean(json.dumps(asdict(item), ensure_ascii=False)) or "").encode() + b"\n"
        arrays = {"ids": np.array(ids, dtype=str), "paths": np.array(paths, dtype=str),
                  "modalities": np.array(modalities, dtype=str),
                  "items": np.frombuffer(bytes(lines), dtype=np.uint8)}  # fmt: skip
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)
    return count
