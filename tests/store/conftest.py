"""Small stores for tests; every test that asks for `backend` runs on each back end."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vlcli.store import Row, SpaceInfo, create_store
from vlcli.store.base import BaseStore

DIM = 8
SPACE = SpaceInfo("toy/space", "sha256:" + "a" * 64, DIM, "toy/space")

needs_lance = pytest.mark.skipif(
    importlib.util.find_spec("lancedb") is None, reason="lancedb is not installed: pip install 'vlcli[lance]'"
)


@pytest.fixture(params=["sqlite", pytest.param("lance", marks=needs_lance)])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def unit(count: int, seed: int = 0, dim: int = DIM) -> NDArray[np.float32]:
    """Random unit vectors `[count, dim]`."""
    vectors = np.random.default_rng(seed).standard_normal((count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make_row(index: int, vector: NDArray[np.float32], **changes: Any) -> Row:
    """A row whose columns follow from its index."""
    fields: dict[str, Any] = {
        "id": f"/photos/{2020 + index % 6}/img_{index}.jpg",
        "path": f"/photos/{2020 + index % 6}/img_{index}.jpg",
        "modality": "images" if index % 3 else "text",
        "content_hash": f"hash{index}",
        "size": 100 + index,
        "mtime_ns": 10**18 + index,
        "inode": 2**64 - 1 - index,
        "text": f"a picture of thing{index}",
        "metadata": {"year": 2015 + index % 10, "label": "cat" if index % 2 else "dog"},
        "vector": vector,
    }
    return Row(**{**fields, **changes})


def make_rows(count: int, seed: int = 0) -> list[Row]:
    """`count` rows with random vectors."""
    return [make_row(index, vector) for index, vector in enumerate(unit(count, seed))]


@pytest.fixture
def filled(tmp_path: Path, backend: str) -> Callable[..., Path]:
    """Make a store of `count` rows and close it; gives its folder."""

    def make(count: int = 30, rows: Sequence[Row] | None = None) -> Path:
        folder = tmp_path / "store"
        with create_store(folder, SPACE, backend) as store:
            store.begin_run("test")
            store.add(make_rows(count) if rows is None else rows)
            store.end_run()
        return folder

    return make


@pytest.fixture
def store(tmp_path: Path, backend: str) -> Any:
    """An empty store, open for writing."""
    made: BaseStore = create_store(tmp_path / "store", SPACE, backend)
    with made:
        yield made
