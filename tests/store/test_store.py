"""What every back end promises: rows in, rows out, exact search, ledger, space, prune, export, list and rm."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store.conftest import DIM, SPACE, make_row, make_rows, unit
from vlcli.errors import ExitCode, VlcliError
from vlcli.store import (
    Refusal,
    Row,
    SpaceInfo,
    Unchanged,
    VectorStore,
    create_store,
    is_store,
    list_stores,
    open_or_create_store,
    open_store,
    remove_store,
)  # fmt: skip
from vlcli.store.base import BaseStore


def brute_force(rows: list[Row], query: np.ndarray, top: int) -> list[str]:
    """Ids by cosine, ties in the order of arrival."""
    query = query.astype(np.float64) / np.linalg.norm(query.astype(np.float64))
    scores = [float((row.vector * query.astype(np.float32).astype(np.float64)).sum()) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: (-scores[index], index))
    return [rows[index].id for index in order[:top]]


def test_a_row_comes_back_as_it_went_in(store: BaseStore) -> None:
    row = make_rows(1)[0]
    store.add([row])
    item = next(store.items())
    assert isinstance(store, VectorStore)
    assert (item.id, item.path, item.modality, item.content_hash, item.size, item.mtime_ns, item.inode, item.text) == (
        row.id, row.path, row.modality, row.content_hash, row.size, row.mtime_ns, row.inode, row.text,
    )  # fmt: skip
    assert item.metadata == row.metadata
    assert np.array_equal(store.vectors([row.id])[0], row.vector)
    known = store.known(row.id)
    assert known is not None and (known.content_hash, known.inode) == (row.content_hash, row.inode)
    assert store.known("other") is None
    assert store.get([row.id, "other"]) == {row.id: item}


def test_search_equals_brute_force_before_and_after_reopening(filled: Callable[..., Path]) -> None:
    rows, queries = make_rows(200), unit(5, seed=7)
    folder = filled(rows=rows)
    with open_store(folder) as found:
        answers = found.search(queries, 10)
    assert [[hit.id for hit in line] for line in answers] == [brute_force(rows, query, 10) for query in queries]
    assert [hit.rank for hit in answers[0]] == list(range(1, 11))
    assert answers[0][0].score == pytest.approx(float(max(row.vector @ queries[0] for row in rows)), abs=1e-6)


def test_replacing_a_row_keeps_its_place_and_changes_its_vector(store: BaseStore) -> None:
    rows = make_rows(10)
    store.add(rows)
    other = unit(1, seed=9)[0]
    store.add([make_row(3, other, text="new words", metadata={"colour": "red"})])
    assert len(store) == 10
    assert [item.id for item in store.items()] == [row.id for row in rows]
    assert store.search(other[None], 1)[0][0].id == rows[3].id
    assert [hit.id for hit in store.fulltext("new words", 5)] == [rows[3].id]
    assert store.fulltext("thing3", 5) == []
    assert [item.id for item in store.items(where="colour = 'red'")] == [rows[3].id]


def test_the_same_id_twice_in_a_commit_counts_once(store: BaseStore) -> None:
    first, second = make_row(1, unit(1)[0]), make_row(1, unit(1, seed=2)[0], content_hash="later")
    store.add([first, second])
    known = store.known(first.id)
    assert len(store) == 1 and known is not None and known.content_hash == "later"
    assert store.check() == []


def test_equal_scores_come_in_the_order_of_arrival(store: BaseStore) -> None:
    same = unit(1)[0]
    store.add([make_row(index, same) for index in range(40)])
    ids = [hit.id for hit in store.search(same[None], 7)[0]]
    assert ids == [make_row(index, same).id for index in range(7)]


def test_filters_apply_before_ranking(filled: Callable[..., Path]) -> None:
    rows = make_rows(120)
    query = unit(1, seed=5)[0]
    with open_store(filled(rows=rows)) as found:
        hits = found.search(query, 5, where="path like '%2024%' and year > 2016", modality="images")[0]
        passing = [row for row in rows if "2024" in str(row.path) and row.metadata["year"] > 2016
                   and row.modality == "images"]  # fmt: skip
        assert [hit.id for hit in hits] == brute_force(passing, query, 5)
        assert found.search(query, 5, where="year > 3000") == [[]]
        assert found.search(np.empty((0, DIM), np.float32), 5) == []
        assert len(found.search(query, 1000, modality="text")[0]) == sum(row.modality == "text" for row in rows)


def test_vectors_that_are_none_are_refused_and_told(store: BaseStore) -> None:
    good = unit(4)
    bad_nan, bad_inf = good[1].copy(), good[2].copy()
    bad_nan[0], bad_inf[0] = np.nan, np.inf
    refused = store.add([make_row(0, good[0]), make_row(1, bad_nan), make_row(2, bad_inf), make_row(3, good[3] * 2)])
    assert len(store) == 1
    assert [(line.path, line.code) for line in refused] == [(make_row(i, good[0]).path, "S113") for i in (1, 2, 3)]
    store.close()
    with open_store(store.path) as again:
        run = again.runs()[-1]
        assert (run.embedded, run.refused, run.inputs) == (1, 3, 4)
        assert {line.outcome for line in again.ledger() if line.code == "S113"} == {"refused"}


def test_a_vector_of_another_length_refuses_the_whole_commit(store: BaseStore) -> None:
    with pytest.raises(VlcliError) as caught:
        store.add([make_row(0, unit(1)[0]), make_row(1, unit(1, dim=DIM + 1)[0])])
    assert caught.value.code == "M502" and caught.value.exit_code == ExitCode.MISMATCH
    assert len(store) == 0
    with pytest.raises(VlcliError) as caught:
        store.search(unit(1, dim=3), 1)
    assert caught.value.code == "M502"


@pytest.mark.parametrize("bad", [np.zeros(DIM), np.full(DIM, np.nan)])
def test_queries_without_a_direction_are_refused(store: BaseStore, bad: np.ndarray) -> None:
    store.add(make_rows(3))
    with pytest.raises(VlcliError) as caught:
        store.search(bad.astype(np.float32), 1)
    assert caught.value.code == "S112"


def test_the_ledger_adds_up(store: BaseStore) -> None:
    store.begin_run("first")
    store.add(make_rows(5), [Refusal("/photos/broken.jpg", "D101", "truncated")])
    store.end_run()
    store.begin_run("second")
    rows = make_rows(5)
    store.add([], [Refusal("/photos/broken.jpg", "D101", "truncated")], [Unchanged(row.id) for row in rows[:4]])
    store.touch(rows[4].id, 1, 2, 3)
    store.end_run("interrupted")
    first, second = store.runs()
    assert (first.embedded, first.unchanged, first.refused, first.status) == (5, 0, 1, "done")
    assert (second.embedded, second.unchanged, second.refused, second.status) == (0, 5, 1, "interrupted")
    assert first.inputs == second.inputs == 6 == len(list(store.ledger(second.id)))
    assert [line.reason for line in store.ledger(first.id) if line.outcome == "refused"] == ["truncated"]
    known = store.known_map()
    assert (known[rows[4].id].size, known[rows[4].id].inode) == (1, 3)
    assert known[rows[0].id].size == rows[0].size


def test_another_space_is_refused_with_a_sentence_that_names_both(filled: Callable[..., Path]) -> None:
    folder = filled(2)
    with open_store(folder) as found:
        found.check_space(SPACE.identity, "renamed")
        with pytest.raises(VlcliError) as caught:
            found.check_space("sha256:" + "b" * 64, "other/space")
    assert caught.value.exit_code == ExitCode.MISMATCH
    assert "toy/space" in str(caught.value) and "other/space" in str(caught.value)
    with pytest.raises(VlcliError, match="M501"):
        open_or_create_store(folder, SpaceInfo("other", "sha256:b", DIM, "other"))
    with open_or_create_store(folder, SPACE) as again:  # the refusal gave the lock back
        assert len(again) == 2


def test_prune_forgets_deleted_files_only(tmp_path: Path, store: BaseStore) -> None:
    kept, gone = tmp_path / "kept.jpg", tmp_path / "gone.jpg"
    kept.touch()
    vectors = unit(4)
    store.add([
        make_row(0, vectors[0], id="kept", path=str(kept)), make_row(1, vectors[1], id="gone", path=str(gone)),
        make_row(2, vectors[2], id="inline", path=None), make_row(3, vectors[3], id="relative", path="x/y.jpg"),
    ])  # fmt: skip
    assert store.prune(dry_run=True) == ["gone"] and len(store) == 4
    assert store.prune() == ["gone"]
    assert {item.id for item in store.items()} == {"kept", "inline", "relative"}
    assert store.search(vectors[1:2], 4)[0][0].id != "gone"
    assert store.check() == []


@pytest.mark.parametrize("name", ["out.parquet", "out.npz"])
def test_export_holds_everything(tmp_path: Path, filled: Callable[..., Path], name: str) -> None:
    rows = make_rows(30)
    with open_store(filled(rows=rows)) as found:
        assert found.export(tmp_path / name) == 30
    expected = np.stack([row.vector for row in rows])
    if name.endswith("npz"):
        with np.load(tmp_path / name, allow_pickle=False) as data:
            assert np.array_equal(data["vectors"], expected)
            assert data["ids"].tolist() == [row.id for row in rows]
            items = [json.loads(line) for line in data["items"].tobytes().decode().splitlines()]
        assert items[4]["metadata"] == rows[4].metadata and items[4]["text"] == rows[4].text
    else:
        import pyarrow.parquet as pq

        data = pq.read_table(tmp_path / name)
        assert np.array_equal(np.array(data["vector"].to_pylist(), dtype=np.float32), expected)
        assert data["id"].to_pylist() == [row.id for row in rows]
        assert json.loads(data["metadata"][4].as_py()) == rows[4].metadata
        assert json.loads(data.schema.metadata[b"vlcli"])["space"]["identity"] == SPACE.identity


def test_an_export_that_fails_leaves_the_old_file(tmp_path: Path, filled: Callable[..., Path]) -> None:
    target = tmp_path / "out.parquet"
    target.write_text("old")
    with open_store(filled(3)) as found, pytest.raises(VlcliError, match="U306"):
        found.export(target, "csv")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_items_in_order(filled: Callable[..., Path]) -> None:
    rows = make_rows(20)
    with open_store(filled(rows=rows)) as found:
        years = [item.metadata["year"] for item in found.items(order="year desc", limit=5)]
        assert years == sorted((row.metadata["year"] for row in rows), reverse=True)[:5]
        assert [item.size for item in found.items(where="size >= 110", order="size")] == list(range(110, 120))
        with pytest.raises(VlcliError, match="U301"):
            list(found.items(order="year; drop table items"))


def test_names_that_are_no_utf8_and_metadata_that_is_no_json_survive(store: BaseStore) -> None:
    name = b"/photos/caf\xe9.jpg".decode("utf-8", "surrogateescape")
    metadata: dict[str, Any] = {"nan": float("nan"), "np": np.float32(1.5), "path": "mine", 'it\'s "x"': 1, "Ünï": 2}
    store.add([make_row(0, unit(1)[0], id=name, path=name, text="\ud800 odd", metadata=metadata)])
    item = next(store.items())
    assert item.id == name == item.path
    assert store.known(name) is not None and store.known_map([name])
    assert item.metadata == {**metadata, "nan": None, "np": 1.5}
    assert [found.id for found in store.items(where="\"Ünï\" = 2 and metadata ->> 'path' = 'mine'")] == [name]
    assert store.check() == []
    assert store.export(store.path.parent / "odd.parquet") == 1
    assert store.export(store.path.parent / "odd.npz") == 1


def test_full_text_takes_plain_words(filled: Callable[..., Path]) -> None:
    with open_store(filled(30)) as found:
        assert [hit.id for hit in found.fulltext("thing7", 5)] == [make_rows(8)[7].id]
        assert len(found.fulltext("thing1*", 50)) == 11
        assert len(found.fulltext("img 2024", 50)) == 5
        assert found.fulltext('picture "AND NOT (', 50) == []
        assert {hit.modality for hit in found.fulltext("picture", 50, where="label = 'cat'", modality="text")} == {
            "text"
        }
        with pytest.raises(VlcliError, match="U305"):
            found.fulltext("()", 5)


def test_create_open_list_and_remove(tmp_path: Path, backend: str) -> None:
    root = tmp_path / "stores"
    for name in ("a", "b"):
        create_store(root / name, SPACE, backend).close()
    (root / "not-a-store").mkdir()
    (root / "not-a-store" / "precious.txt").write_text("keep me")
    assert [Path(found.path).name for found in list_stores([root])] == ["a", "b"]
    with pytest.raises(VlcliError, match="S104"):
        create_store(root / "a", SPACE, backend)
    with pytest.raises(VlcliError, match="S105"):
        create_store(root / "not-a-store", SPACE, backend)
    with pytest.raises(VlcliError, match="S101"):
        open_store(root / "none")
    with pytest.raises(VlcliError, match="S101"):
        remove_store(root / "not-a-store")
    (root / "a" / "photo.jpg").touch()
    with pytest.raises(VlcliError, match="S105"):
        remove_store(root / "a")
    assert remove_store(root / "b") > 0
    assert not (root / "b").exists() and is_store(root / "a")
    assert (root / "not-a-store" / "precious.txt").read_text() == "keep me"


def test_a_reader_can_not_write(filled: Callable[..., Path]) -> None:
    with open_store(filled(2)) as found, pytest.raises(VlcliError, match="S114"):
        found.add(make_rows(1))


def test_a_reader_sees_what_a_writer_commits_meanwhile(filled: Callable[..., Path]) -> None:
    folder = filled(20)
    new = unit(1, seed=99)[0]
    with open_store(folder) as reader, open_store(folder, mode="w") as writer:
        before = reader.search(new[None], 1)[0][0]
        writer.add([make_row(50, new)])
        after = reader.search(new[None], 1)[0][0]
        assert after.id == make_row(50, new).id != before.id
        assert len(reader) == 21
