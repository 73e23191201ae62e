"""Tables that cost RDKit a minute to make, kept as Parquet below the cache; the name holds all that they depend on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vlcli.runtime.files import atomic_path, sha256_bytes, sha256_file
from vlcli.runtime.paths import cache_dir

Records = list[dict[str, Any]]


def cached_table(name: str, files: Sequence[Path], version: str, make: Callable[[], Records]) -> Records:
    """The records that `make` gives, read from the cache when it has them.

    Args:
        name: begins the file's name.
        files: what the records are made from; their content is part of the key.
        version: changes when `make` changes.
        make: the records, flat dictionaries with the same keys each.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import rdkit

    parts = [version, rdkit.__version__, *(sha256_file(file) for file in files)]
    key = sha256_bytes(json.dumps(parts).encode())[:24]
    path = cache_dir("molecules") / f"{name}-{key}.parquet"
    if path.is_file():
        try:
            records: Records = pq.read_table(path).to_pylist()
            return records
        except (pa.ArrowException, OSError):
            # Damaged: whatever it held is made again.
            path.unlink(missing_ok=True)
    records = make()
    with atomic_path(path, sync=False) as temporary:
        pq.write_table(pa.Table.from_pylist(records), temporary, compression="zstd")
    return records
