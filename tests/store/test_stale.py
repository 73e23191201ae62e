"""What becomes of items whose input turned bad, and of rows that their manifest does not hold any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.store.conftest import make_rows, unit
from vlcli.api import Source
from vlcli.data.inputs import InputItem, RefusedInput
from vlcli.store import Refusal, Row, Unchanged, open_store
from vlcli.store.base import BaseStore

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from toy_ingest import ToyEmbedder, open_toy_store, take_in, toy_items, vector_of


def found(store: BaseStore) -> set[str]:
    """The ids that a search for anything gives."""
    return {hit.id for hit in store.search(unit(1), 1000)[0]}


def test_a_refused_item_is_kept_but_not_found_until_it_is_well_again(filled: Callable[..., Path]) -> None:
    rows = make_rows(30)
    every = {row.id for row in rows}
    bad, worse = rows[4].id, rows[9].id
    with open_store(filled(), mode="w") as store:
        assert found(store) == every
        store.add(
            refused=[Refusal(bad, "D201", "broken"), Refusal(worse, "D114", "empty"), Refusal("/new", "D201", "")]
        )
        assert store.stale() == {bad: "D201", worse: "D114"} and len(store) == 30
        assert store.get([bad, rows[5].id])[bad].stale == "D201" and store.get([rows[5].id])[rows[5].id].stale is None
    with open_store(store.path, mode="w") as store:
        assert found(store) == every - {bad, worse}
        filtered = store.search(unit(1), 1000, where="size < 110")[0]
        assert {hit.id for hit in filtered} == {row.id for row in rows[:10]} - {bad, worse}
        assert {hit.id for hit in store.fulltext("picture", 100)} == every - {bad, worse}
        assert store.export(store.path.parent / "out.npz") == 28
        with np.load(store.path.parent / "out.npz") as archive:
            assert archive["vectors"].shape[0] == len(archive["ids"]) == 28 and bad not in archive["ids"]
        assert store.check() == []
        store.add(unchanged=[Unchanged(bad)])  # the file is back as it was
        assert found(store) == every - {worse}
        store.add([rows[9]])  # or was embedded again
        assert found(store) == every and store.stale() == {} and store.check() == []
        store.add(refused=[Refusal(bad, "D201", "broken")])
        store.remove([bad])
        assert store.stale() == {} and store.check() == []


def test_a_refused_file_makes_all_its_rows_stale_a_refused_row_only_itself(store: BaseStore) -> None:
    def row(id: str, path: str | None, seed: int) -> Row:
        return Row(id, path, "text", id, None, None, None, id, {}, unit(1, seed)[0])

    ids = ["/d/a.csv#1", "/d/a.csv#2.1", "/d/a.csv#2.2", "/d/a.csv#21", "/d/b.sdf#1", "/d/b.sdf#2", "/d/a.csv#x.jpg"]
    paths = [None, None, None, None, "/d/b.sdf", "/d/b.sdf", "/d/a.csv#x.jpg"]
    store.add([row(id, path, index) for index, (id, path) in enumerate(zip(ids, paths, strict=True))])
    store.add(refused=[Refusal("/d/a.csv#2", "D106", "row 2 …")])
    assert list(store.stale()) == ["/d/a.csv#2.1", "/d/a.csv#2.2"]
    store.add(refused=[Refusal("/d/b.sdf", "D640", "record 2 …", id="/d/b.sdf#2")])
    assert list(store.stale()) == ["/d/a.csv#2.1", "/d/a.csv#2.2", "/d/b.sdf#2"]
    store.add(refused=[Refusal("/d/a.csv", "D105", "no table")])
    assert list(store.stale()) == [*ids[:4], "/d/b.sdf#2"]
    assert found(store) == {"/d/b.sdf#1", "/d/a.csv#x.jpg"}


def test_marks_that_were_changed_outside_a_commit_are_noticed_and_mended(filled: Callable[..., Path]) -> None:
    folder = filled()
    with open_store(folder, mode="w") as store:
        store.add(refused=[Refusal(make_rows(5)[4].id, "D201", "broken")])
        assert store.check() == []
        store.catalog.connection.execute("DELETE FROM stale")
        assert [problem.kind for problem in store.check()] == ["content"]
        store.catalog.connection.execute("INSERT INTO stale VALUES (5, 'D999', 1)")
        assert {problem.kind for problem in store.check()} == {"content", "stale"}
        store.repair()
        assert store.check() == [] and list(store.stale().values()) == ["D999"]


def write(path: Path, content: str, second: int) -> None:
    """Write a file whose time is past doubt."""
    path.write_text(content)
    os.utime(path, ns=(second * 10**9, second * 10**9))


def test_a_file_that_turns_bad_and_good_again(tmp_path: Path) -> None:
    folder, embedder = tmp_path / "files", ToyEmbedder()
    folder.mkdir()
    for number in range(4):
        write(folder / f"{number}.toy", f"content {number}", 1000)
    with open_toy_store(tmp_path / "store") as store:
        assert take_in(store, toy_items(folder), embedder).stale == {}
        name = str(folder / "2.toy")
        write(folder / "2.toy", "something bad", 2000)
        report = take_in(store, toy_items(folder), embedder)
        assert (report.unchanged, len(report.refused), report.stale) == (3, 1, {name: "D399"})
        assert name not in {hit.id for hit in store.search(vector_of(b"content 2"), 10)[0]}
        embedder.encoded.clear()
        write(folder / "2.toy", "content 2", 3000)
        report = take_in(store, toy_items(folder), embedder)
        assert (report.unchanged, report.stale, embedder.encoded) == (4, {}, [])  # nothing was encoded again
        assert store.search(vector_of(b"content 2"), 10)[0][0].id == name
        write(folder / "2.toy", "something bad", 4000)
        report = take_in(store, toy_items(folder), embedder, prune=True)
        assert report.pruned == [name] and report.stale == {} and len(store) == 3


def lines(file: Path, *texts: str) -> list[InputItem]:
    """Items of the lines of a manifest."""
    return [InputItem("text", Source(id=f"{file}#{n}", value=text)) for n, text in enumerate(texts, 1)]


def test_prune_forgets_rows_that_their_manifest_lost(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    for file in (first, second):
        file.write_text("there")
    with open_toy_store(tmp_path / "store") as store:
        take_in(store, [*lines(first, "one", "two", "three", "bad"), *lines(second, "four", "five")])
        take_in(store, [InputItem("text", Source(id="loose", value="in no file"))])
        # Without --prune they stay; a file that is not part of the run, or that was refused, loses nothing.
        assert take_in(store, lines(first, "one")).pruned == []
        refused = RefusedInput(str(second), "D105", "no table")
        report = take_in(store, [*lines(first, "one", "bad"), *lines(second, "four"), refused], prune=False)
        assert report.stale == {f"{first}#2": "D399", f"{second}#1": "D105", f"{second}#2": "D105"}
        report = take_in(store, lines(second, "four", "five"))
        assert report.stale == {f"{first}#2": "D399"}
        report = take_in(store, lines(first, "one"), prune=True)
        assert report.pruned == [f"{first}#2", f"{first}#3"]
        assert set(store.known_map()) == {f"{first}#1", f"{second}#1", f"{second}#2", "loose"}
        # `store prune` alone: the manifest itself is gone.
        second.unlink()
        assert store.prune() == [f"{second}#1", f"{second}#2"]
        assert set(store.known_map()) == {f"{first}#1", "loose"}


def test_prune_leaves_files_whose_names_are_no_text(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    try:
        (folder / os.fsdecode(b"caf\xe9.toy")).write_text("content")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (path,) = folder.iterdir()
    with open_toy_store(tmp_path / "store") as store:
        from vlcli.data.names import printable

        source = Source(id=printable(path), path=path)
        assert take_in(store, [InputItem("toys", source)], prune=True).pruned == [] and len(store) == 1
        path.unlink()
        assert store.prune() == [printable(path)]
