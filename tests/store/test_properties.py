"""Properties of upserts and exact search, against brute force in numpy."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.conftest import DIM, SPACE, make_row, unit
from vlcli.store import create_store
from vlcli.store.topk import top_rows


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 10**6), rows=st.integers(1, 400), queries=st.integers(1, 6), top=st.integers(1, 50),
    block=st.integers(1, 130), copies=st.integers(1, 400), keep=st.floats(0, 1), shuffle=st.booleans(),
    step=st.integers(1, 60), piece=st.integers(1, 100), crowded=st.integers(0, 40), copy_below=st.floats(0, 1),
)  # fmt: skip
def test_top_rows_equals_brute_force_whatever_the_blocks(
    seed: int, rows: int, queries: int, top: int, block: int, copies: int, keep: float, shuffle: bool, step: int,
    piece: int, crowded: int, copy_below: float,
) -> None:  # fmt: skip
    """… the products, the steps through their scores, and the way in which filtered rows are left out."""
    random = np.random.default_rng(seed)
    vectors = unit(rows, seed)[random.integers(0, copies, rows) % rows]  # few distinct vectors: many equal scores
    asked = unit(queries, seed + 1)
    numbers = np.cumsum(random.integers(1, 4, rows)).astype(np.int64)
    allowed = None if keep > 0.9 else numbers[random.random(rows) < keep]
    order = random.permutation(rows) if shuffle else np.arange(rows)
    blocks = [(numbers[part], vectors[part]) for part in np.split(order, range(block, rows, block))]
    sizes = {"_STEP": step, "_PRODUCT_ROWS": piece, "_COPY_ROWS": step, "_CROWDED": crowded, "_COPY_BELOW": copy_below}
    with patch.multiple("vlcli.store.topk", **sizes):
        found = top_rows(blocks, asked, top, allowed)
    passing = np.arange(rows) if allowed is None else np.nonzero(np.isin(numbers, allowed))[0]
    for query, (got, scores) in zip(asked, found, strict=True):
        exact = (vectors[passing] * query.astype(np.float64)).sum(axis=1)
        best = np.lexsort((numbers[passing], -exact))[:top]
        assert got.tolist() == numbers[passing][best].tolist()
        assert np.array_equal(scores, exact[best])


def test_many_equal_scores_stay_in_order_and_the_crowded_path_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.repeat(unit(3), 2000, axis=0)
    numbers = np.arange(6000, dtype=np.int64)
    blocks = [(numbers[i : i + 1500], vectors[i : i + 1500]) for i in range(0, 6000, 1500)]
    plain = top_rows(blocks, unit(2, 5), 20)
    monkeypatch.setattr("vlcli.store.topk._CROWDED", 1)
    crowded = top_rows(blocks, unit(2, 5), 20)
    for (got, scores), (other, others) in zip(plain, crowded, strict=True):
        assert np.array_equal(got, other) and np.array_equal(scores, others)
        assert got.tolist() == sorted(got.tolist()) and len(set(scores.tolist())) == 1


operations = st.lists(
    st.tuples(st.sampled_from(["add", "remove", "search"]), st.lists(st.integers(0, 12), min_size=1, max_size=6)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(operations=operations, use_cache=st.booleans(), patch_rows=st.sampled_from([0, 4, 1000]))
def test_a_store_behaves_like_a_dictionary(
    operations: list[tuple[str, list[int]]], use_cache: bool, patch_rows: int
) -> None:
    model: dict[str, np.ndarray] = {}
    query = unit(1, seed=1)[0]
    with (
        patch("vlcli.store.cache.PATCH_ROWS", patch_rows),
        tempfile.TemporaryDirectory() as folder,
        create_store(Path(folder) / "store", SPACE) as store,
    ):
        store.use_cache = use_cache  # type: ignore[attr-defined]
        for step, (kind, indices) in enumerate(operations):
            rows = [make_row(index, unit(1, seed=100 * step + index)[0]) for index in indices]
            if kind == "add":
                store.add(rows)
                model.update({row.id: row.vector for row in rows})
            elif kind == "remove":
                gone = {row.id for row in rows} & set(model)
                assert store.remove([row.id for row in rows]) == len(gone)
                model = {id: vector for id, vector in model.items() if id not in gone}
            got = {hit.id: hit.score for hit in store.search(query, 50)[0]}
            assert got.keys() == model.keys() == store.known_map().keys()
            assert all(abs(got[id] - float(vector @ query)) < 1e-6 for id, vector in model.items())
            assert store.info.dim == DIM
        assert store.check() == []
