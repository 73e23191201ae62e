"""The approximate index: its answers are verified, and an index that does not fit is never believed."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.store.conftest import SPACE, make_row, make_rows, unit
from vlcli.cli.main import run
from vlcli.errors import VlcliError
from vlcli.runtime.leftovers import temporary_prefix
from vlcli.store import Refusal, create_store, open_store, remove_store
from vlcli.store.ann import ANN, KEY, build_index
from vlcli.store.base import BaseStore
from vlcli.store.recall import measured_recall
from vlcli.store.search import set_default_search

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("usearch") is None, reason="usearch is not installed: pip install 'vlcli[ann]'"
)
QUERIES = unit(4, seed=8)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test is an installation of its own."""
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def thorough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every row is a candidate, so that the answers are those of the exact search whatever graph was built."""
    monkeypatch.setattr("vlcli.store.ann.EXPANSION", 4000)
    monkeypatch.setattr("vlcli.store.ann.OVERSAMPLE", 4000)


@pytest.fixture
def indexed(filled: Callable[..., Path]) -> Path:
    """A store of 300 rows with an index."""
    folder = filled(300)
    with open_store(folder) as store:
        assert build_index(store) == 300
    return folder


def same_as_exact(store: BaseStore, top: int = 5) -> str:
    """Search both ways, for many queries and for one; the answers must be the same. How the second was done."""
    exact = store.search(QUERIES, top)
    assert store.searched.kind == "exact"
    assert store.search(QUERIES, top, approximate=True) == exact
    assert store.search(QUERIES[:1], top, approximate=True) == exact[:1]
    return store.searched.kind


def test_most_neighbours_are_found(filled: Callable[..., Path]) -> None:
    with open_store(filled(1000)) as store:
        build_index(store)
        assert measured_recall(store, 50, 10) > 0.8
        for hit in store.search(QUERIES[:1], 10, approximate=True)[0]:
            assert hit.score == pytest.approx(float(store.vectors([hit.id])[0] @ QUERIES[0]), abs=1e-6)


@pytest.mark.usefixtures("thorough")
def test_answers_are_those_of_the_exact_search(indexed: Path) -> None:
    with open_store(indexed) as store:
        assert same_as_exact(store) == "approximate" and store.searched.note == ""
        assert same_as_exact(store, top=300) == "approximate"
        assert same_as_exact(store, top=1001) == "exact" and "more than" in store.searched.note
        assert store.check() == []


@pytest.mark.usefixtures("thorough")
def test_an_empty_store_and_one_row(filled: Callable[..., Path]) -> None:
    with open_store(filled(rows=[]), mode="w") as store:
        assert build_index(store) == 0
        assert store.search(QUERIES, 3, approximate=True) == [[], [], [], []]
        store.add(make_rows(1))
        assert build_index(store) == 1 and same_as_exact(store) == "approximate"


@pytest.mark.usefixtures("thorough")
def test_what_changed_since_is_searched_exactly(indexed: Path) -> None:
    with open_store(indexed, mode="w") as store:
        best = store.search(QUERIES[:1], 1, approximate=True)[0][0].id
        store.add([make_row(5, QUERIES[0]), make_row(500, QUERIES[1])])  # replaced and new
        assert [hit.id for hit in store.search(QUERIES[:1], 2, approximate=True)[0]] == [
            make_row(5, QUERIES[0]).id,
            best,
        ]
        store.remove([best, make_row(9, QUERIES[0]).id])
        assert best not in {hit.id for hit in store.search(QUERIES[:1], 10, approximate=True)[0]}
        store.add(refused=[Refusal(make_row(500, QUERIES[1]).id, "D201", "broken")])
        assert same_as_exact(store) == "approximate"
    with open_store(indexed) as store:
        assert same_as_exact(store, top=50) == "approximate"
        assert store.check() == []


@pytest.mark.usefixtures("thorough")
def test_much_change_asks_for_a_new_index(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlcli.store.cache.PATCH_ROWS", 3)
    monkeypatch.setattr("vlcli.store.cache.PATCH_SHARE", 0.0)
    with open_store(indexed, mode="w") as store:
        store.add(make_rows(4, seed=5))
        assert same_as_exact(store) == "exact"
        assert "8 rows have changed" in store.searched.note and f"vlcli store index {indexed}" in store.searched.note
        build_index(store)
        assert same_as_exact(store) == "approximate"


def test_filters_are_answered_exactly(indexed: Path) -> None:
    with open_store(indexed) as store:
        for condition in ({"where": "size < 150"}, {"modality": "text"}, {"ids": [make_row(3, QUERIES[0]).id]}):
            expected = store.search(QUERIES, 5, **condition)
            assert store.search(QUERIES, 5, approximate=True, **condition) == expected
            assert store.searched.kind == "exact" and "filter" in store.searched.note


@pytest.mark.parametrize("where", ["header", "graph", "numbers", "digest", "cut", "empty", "longer"])
def test_a_damaged_index_is_not_used(indexed: Path, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray((indexed / ANN).read_bytes())
    places = {"header": 30, "graph": len(data) // 2, "numbers": len(data) - 3000, "digest": len(data) - 5}
    if where in places:
        data[places[where]] ^= 1
    changed = {"cut": data[:-100], "empty": b"", "longer": data + b"x"}.get(where, data)
    (indexed / ANN).write_bytes(changed)
    monkeypatch.setattr("vlcli.store.ann.new_graph", lambda dim: pytest.fail("its bytes reached the library"))
    with open_store(indexed) as store:
        assert same_as_exact(store) == "exact" and "damaged" in store.searched.note
        assert [problem.kind for problem in store.check()] == ["index"]
    with open_store(indexed, mode="repair") as store:
        assert [problem.kind for problem in store.repair()] == ["index"]
        assert not (indexed / ANN).exists() and store.check() == []


def test_an_index_of_another_installation_never_reaches_the_library(
    indexed: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_home / KEY).write_bytes(bytes(32))
    monkeypatch.setattr("vlcli.store.ann.new_graph", lambda dim: pytest.fail("its bytes reached the library"))
    with open_store(indexed) as store:
        assert same_as_exact(store) == "exact" and "this installation" in store.searched.note
    (own_home / KEY).unlink()
    with open_store(indexed) as store:
        assert same_as_exact(store) == "exact" and "this installation" in store.searched.note
        assert store.check() == []


@pytest.mark.usefixtures("thorough")
def test_a_key_that_is_none_is_made_anew(indexed: Path, own_home: Path) -> None:
    (own_home / KEY).write_bytes(b"short")
    with open_store(indexed) as store:
        assert same_as_exact(store) == "exact"
        build_index(store)
        assert same_as_exact(store) == "approximate"
    assert [path.name for path in own_home.iterdir() if path.name.startswith(".")] == []


def test_an_index_of_another_store_is_not_used(indexed: Path, tmp_path: Path) -> None:
    with create_store(tmp_path / "other", SPACE) as other:
        other.add(make_rows(300, seed=9))
        build_index(other)
    shutil.copy(tmp_path / "other" / ANN, indexed / ANN)
    with open_store(indexed) as store:
        assert same_as_exact(store) == "exact" and "another store" in store.searched.note


def test_an_index_that_can_not_be_written_leaves_the_one_before(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (indexed / ANN).read_bytes()

    def full(*arguments: object) -> bytes:
        raise OSError(28, "No space left on device")

    with open_store(indexed, mode="w") as store:
        store.add([make_row(700, QUERIES[0])])
        monkeypatch.setattr("vlcli.store.ann.keyed_digest", full)
        with pytest.raises(OSError, match="No space"):
            build_index(store)
        monkeypatch.undo()
    assert (indexed / ANN).read_bytes() == before
    assert sorted(path.name for path in indexed.glob(".*")) == []


def test_what_an_interrupted_build_left_does_not_keep_a_store(indexed: Path) -> None:
    (indexed / f"{temporary_prefix(ANN)}0123.tmp").write_bytes(b"half an index")
    (indexed / f"{temporary_prefix('notes.txt')}0123.tmp").write_bytes(b"of another program")
    with pytest.raises(VlcliError, match=r"S105.*notes\.txt"):
        remove_store(indexed)
    (indexed / f"{temporary_prefix('notes.txt')}0123.tmp").unlink()
    remove_store(indexed)
    assert not indexed.exists()


def test_a_damaged_vector_that_would_be_an_answer_is_noticed(filled: Callable[..., Path]) -> None:
    folder = filled(300)
    with open_store(folder, mode="w") as store:
        if store.backend != "sqlite":
            pytest.skip("the table of this back end can not be changed behind its back")
        build_index(store)
        best = store.search(QUERIES[:1], 1)[0][0].id
        (number,) = store.catalog.numbers_of([best]).values()
        blob = np.array(store.vectors([best])[0])
        blob[3] += 1e-4
        store.catalog.connection.execute("UPDATE vectors SET vector = ? WHERE n = ?", (blob.tobytes(), number))
        with pytest.raises(VlcliError, match="S111"):
            store.search(QUERIES[:1], 1, approximate=True)


def test_without_the_library(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(indexed, mode="w") as store:
        set_default_search(store, "ann")
        store.search(QUERIES, 5, approximate=None)
        assert store.searched.kind == "approximate"
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with open_store(indexed) as store:
        expected = store.search(QUERIES, 5)
        with pytest.raises(VlcliError, match=r"P203.*vlcli\[ann\]"):
            store.search(QUERIES, 5, approximate=True)
        assert store.search(QUERIES, 5, approximate=None) == expected  # not asked for by hand: exact, with a note
        assert store.searched.kind == "exact" and "vlcli[ann]" in store.searched.note


def test_the_command(indexed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> dict[str, object]:
        assert run(["store", "index", str(indexed), "--json", *arguments]) == 0
        answer: dict[str, object] = json.loads(capsys.readouterr().out)
        return answer

    assert told()["kind"] == "exact"
    report = told("--kind", "ann", "--default")
    assert (report["rows"], report["default"]) == (300, True) and 0.8 < float(str(report["recall"])) <= 1
    with open_store(indexed) as store:
        store.search(QUERIES, 5, approximate=None)
        assert store.searched.kind == "approximate"
    assert told("--drop")["removed"] is True and not (indexed / ANN).exists()
    with open_store(indexed) as store:
        store.search(QUERIES, 5, approximate=None)
        assert store.searched.kind == "exact" and store.searched.note == ""
    assert run(["store", "index", str(indexed), "--drop", "--default"]) == 2
    assert "U315" in capsys.readouterr().err
