"""What survives: kill -9, torn and garbage files, flipped bytes, lost commits, full disks; and one writer at a time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.store.conftest import SPACE, make_row, make_rows, unit
from vlcli.errors import VlcliError
from vlcli.store import create_store, open_store
from vlcli.store.cache import CACHE
from vlcli.store.lock import is_locked
from vlcli.store.rows import read_verified
from vlcli.store.sqlite import SqliteStore
from vlcli.store.witness import WITNESS, read_witness

WRITER = """
import runpy
from pathlib import Path
from vlcli.store import create_store
helpers = runpy.run_path({helpers!r})
make_row, vectors = helpers["make_row"], helpers["unit"](10_000)
store = create_store(Path({folder!r}), helpers["SPACE"], {backend!r}, command="test writer")
store.begin_run("embed")
for start in range(0, 10_000, 5):
    store.add([make_row(index, vectors[index]) for index in range(start, start + 5)])
    print(start + 5, flush=True)
"""
HELPERS = str(Path(__file__).parent / "conftest.py")


def start_writer(folder: Path, backend: str) -> subprocess.Popen[str]:
    code = WRITER.format(helpers=HELPERS, folder=str(folder), backend=backend)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_nothing_acknowledged_is_lost_by_kill_9_and_one_writer_at_a_time(tmp_path: Path, backend: str) -> None:
    folder = tmp_path / "store"
    writer = start_writer(folder, backend)
    try:
        assert writer.stdout is not None
        for _ in range(10):
            acknowledged = int(writer.stdout.readline())
        with pytest.raises(VlcliError) as caught:
            open_store(folder, mode="w")
        with open_store(folder) as reader:  # readers are welcome meanwhile
            assert len(reader) >= acknowledged
            assert reader.runs()[0].status == "running"
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split()
        acknowledged = int(rest[-1]) if rest else acknowledged
    finally:
        writer.kill()
        writer.wait()
        assert writer.stdout is not None
        writer.stdout.close()
    assert caught.value.code == "S106"
    assert f"process {writer.pid} on" in str(caught.value) and "test writer" in str(caught.value)
    assert not is_locked(folder)
    with open_store(folder) as reader:
        assert reader.runs()[0].status == "interrupted"
    with open_store(folder, mode="w") as store:
        assert len(store) in (acknowledged, acknowledged + 5)
        assert store.check() == []
        vectors = unit(10_000)
        rows = [make_row(index, vectors[index]) for index in range(acknowledged)]
        assert np.array_equal(store.vectors([row.id for row in rows]), vectors[:acknowledged])
        store.begin_run("again")
        store.add(rows[:1])
        store.end_run()
        assert [run.status for run in store.runs()] == ["interrupted", "done"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A SQLite store of 50 rows that was searched once, so that it has a cache."""
    with create_store(tmp_path / "store", SPACE) as store:
        store.add(make_rows(50))
        store.search(unit(1), 1)
    return tmp_path / "store"


def answers(folder: Path, use_cache: bool = True) -> list[tuple[str, float]]:
    with open_store(folder) as store:
        assert isinstance(store, SqliteStore)
        store.use_cache = use_cache
        return [(hit.id, hit.score) for line in store.search(unit(3, seed=3), 5) for hit in line]


SPOILED = {
    "empty": lambda data: b"",
    "torn": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "garbage": lambda data: np.random.default_rng(0).bytes(len(data)),
    "flipped vector byte": lambda data: data[:300] + bytes([data[300] ^ 0x40]) + data[301:],
    "flipped row number": lambda data: data.replace((7).to_bytes(8, "little"), (9).to_bytes(8, "little"), 1),
    "longer": lambda data: data + b"x",
    "no footer": lambda data: data[:-20],
    "huge footer": lambda data: data[:-16] + (2**60).to_bytes(8, "little") + data[-8:],
    "other header": lambda data: data.replace(b"<f4", b"<f8", 1),
    "pickle": lambda data: data.replace(b"'<f4'", b"'|O' ", 1),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_spoiled_cache_is_rebuilt(folder: Path, how: str) -> None:
    expected = answers(folder)
    sound = (folder / CACHE).read_bytes()
    spoiled = SPOILED[how](sound)
    assert spoiled != sound
    (folder / CACHE).write_bytes(spoiled)
    with open_store(folder) as store:
        assert [problem.kind for problem in store.check()] == ["cache"]
    assert answers(folder) == expected
    assert (folder / CACHE).read_bytes() == sound
    assert np.array_equal(np.load(folder / CACHE, mmap_mode="r"), np.stack([row.vector for row in make_rows(50)]))


def test_a_cache_of_another_store_or_time_is_not_believed(folder: Path, tmp_path: Path) -> None:
    old = (folder / CACHE).read_bytes()
    with create_store(tmp_path / "other", SPACE) as other:
        other.add(make_rows(50, seed=4))
        other.search(unit(1), 1)
    expected = answers(folder)
    shutil.copy(tmp_path / "other" / CACHE, folder / CACHE)
    assert answers(folder) == expected
    with open_store(folder, mode="w") as store:
        store.add([make_row(3, unit(1, seed=77)[0])])
    after = answers(folder)
    (folder / CACHE).write_bytes(old)
    assert answers(folder) == after == answers(folder, use_cache=False)


@pytest.mark.parametrize(("patch_rows", "rewritten"), [(100, False), (0, True)])
def test_a_cache_of_an_older_state_gives_what_did_not_change(
    folder: Path, patch_rows: int, rewritten: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New, replaced and removed rows come from the database, whatever the commits between."""
    monkeypatch.setattr("vlcli.store.cache.PATCH_ROWS", patch_rows)
    monkeypatch.setattr("vlcli.store.cache.PATCH_SHARE", 0.0)
    before = (folder / CACHE).read_bytes()
    with open_store(folder, mode="w") as store:
        for step in range(3):
            vectors = unit(2, seed=70 + step)
            store.add([make_row(3, vectors[0]), make_row(50 + step, vectors[1])])
        store.remove([make_row(9, vectors[0]).id])
    read: list[int] = []

    def noted(store: SqliteStore, numbers: list[int]) -> np.ndarray:
        read.extend(numbers)
        return read_verified(store, numbers)

    monkeypatch.setattr("vlcli.store.sqlite.read_verified", noted)
    found = answers(folder)
    assert found == answers(folder, use_cache=False) and len(set(read)) == 4
    assert ((folder / CACHE).read_bytes() != before) is rewritten
    with open_store(folder) as store:
        assert store.check() == []


def test_a_damaged_cache_of_an_older_state_is_not_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vlcli.store.cache.FULL_CHECK_BYTES", 0)
    monkeypatch.setattr("vlcli.store.cache.SAMPLED_BLOCKS", 0)
    monkeypatch.setattr("vlcli.store.cache.PATCH_ROWS", 0)
    monkeypatch.setattr("vlcli.store.cache.PATCH_SHARE", 0.0)
    data = bytearray((folder / CACHE).read_bytes())
    data[300] ^= 0x40
    (folder / CACHE).write_bytes(data)
    with open_store(folder, mode="w") as store:
        store.add([make_row(50, unit(1, seed=5)[0])])
    assert answers(folder) == answers(folder, use_cache=False)
    with open_store(folder) as store:
        assert store.check() == []


def test_a_large_cache_that_lies_is_found_by_its_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the size that is checked in full, with an unlucky sample, an answer still has to equal the database."""
    expected = answers(folder)
    data = bytearray((folder / CACHE).read_bytes())
    matrix = np.frombuffer(data, dtype="<f4", offset=128, count=50 * SPACE.dim).reshape(50, -1)
    matrix[:] = unit(50, seed=123)
    (folder / CACHE).write_bytes(data)
    monkeypatch.setattr("vlcli.store.cache.FULL_CHECK_BYTES", 0)
    monkeypatch.setattr("vlcli.store.cache.SAMPLED_BLOCKS", 0)
    assert answers(folder) == expected


def test_a_cache_that_can_not_be_written_costs_only_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers(folder)
    (folder / CACHE).unlink()

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vlcli.store.sqlite.write_cache", full)
    assert answers(folder) == expected
    assert not (folder / CACHE).exists()


def run_sql(folder: Path, statement: str, *parameters: Any) -> None:
    """Change the database behind the store's back."""
    connection = sqlite3.connect(folder / "store.db")
    with connection:
        connection.execute(statement, parameters)
    connection.close()


def test_a_flipped_byte_in_a_vector_is_found_and_repaired(folder: Path) -> None:
    row = make_rows(50)[7]
    blob = bytearray(row.vector.tobytes())
    blob[5] ^= 1
    run_sql(folder, "UPDATE vectors SET vector = ? WHERE n = 8", bytes(blob))
    with open_store(folder) as store:
        assert [(problem.kind, problem.id) for problem in store.check()] == [("vector", row.id)]
        with pytest.raises(VlcliError, match="S111"):
            store.vectors([row.id])
        with pytest.raises(VlcliError, match="S111"):
            store.search(row.vector[None], 3)
        with pytest.raises(VlcliError, match="S111"):
            store.export(folder.parent / "out.npz")
    with open_store(folder, mode="repair") as store:
        assert [(problem.kind, problem.id) for problem in store.repair()] == [("vector", row.id)]
        assert store.known(row.id) is None and len(store) == 49
        lines = [line for line in store.ledger() if line.outcome == "quarantined"]
        assert [(line.input, line.code) for line in lines] == [(row.id, "S111")]
        assert store.runs()[-1].quarantined == 1
        store.add([row])
        assert store.check() == []
        assert store.search(row.vector[None], 1)[0][0].id == row.id


@pytest.mark.parametrize(
    ("statement", "kinds"),
    [
        ("DELETE FROM vectors WHERE n = 3", {"missing-vector"}),
        ("UPDATE vectors SET vector = x'0011' WHERE n = 3", {"vector"}),
        ("INSERT INTO vectors VALUES (99, x'00')", {"orphan-vector"}),
        ("UPDATE items SET content_hash = 'forged' WHERE n = 3", {"item"}),
        ("UPDATE items SET metadata = '{broken' WHERE n = 3", {"item"}),
        ("DELETE FROM items WHERE n = 3", {"content", "orphan-vector"}),
        ("DELETE FROM fulltext_docsize WHERE id = 3", {"fulltext"}),
        ("INSERT INTO fulltext(rowid, text) VALUES (500, 'ghost')", {"fulltext"}),
        ("INSERT INTO fulltext(rowid, text) VALUES (3, 'ghost')", {"fulltext"}),
    ],
)
def test_check_names_the_damage_and_repair_mends_it(folder: Path, statement: str, kinds: set[str]) -> None:
    run_sql(folder, statement)
    with open_store(folder) as store:
        assert {problem.kind for problem in store.check()} == kinds
    with open_store(folder, mode="repair") as store:
        assert {problem.kind for problem in store.repair()} == kinds
        assert store.check() == []
        store.add(make_rows(50))
        assert len(store) == 50 and store.check() == []
    with open_store(folder) as store:
        assert len(store.fulltext("picture", 100)) == 50


def test_a_lost_commit_is_noticed(folder: Path, tmp_path: Path) -> None:
    """An older but consistent database passes SQLite's integrity check; the witness knows better."""
    shutil.copytree(folder, tmp_path / "before")
    with open_store(folder, mode="w") as store:
        store.add([make_row(60, unit(1, seed=6)[0])])
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (folder / name).unlink(missing_ok=True)
        if (tmp_path / "before" / name).exists():
            shutil.copy(tmp_path / "before" / name, folder / name)
    with open_store(folder) as store:
        (problem,) = store.check()
        assert problem.kind == "lost-commits" and "missing" in problem.detail
    with pytest.raises(VlcliError, match="S107"):
        open_store(folder, mode="w")
    with open_store(folder, mode="repair") as store:
        assert "lost-commits" in {problem.kind for problem in store.repair()}
        assert [line.code for line in store.ledger() if line.outcome == "quarantined"] == ["S107"]
    with open_store(folder, mode="w") as store:
        assert store.check() == []


def test_a_torn_witness_keeps_the_commit_before(folder: Path) -> None:
    before = read_witness(folder)
    assert before is not None
    data = bytearray((folder / WITNESS).read_bytes())
    start = 64 * (before.commits % 2)
    data[start : start + 20] = bytes(20)
    (folder / WITNESS).write_bytes(data)
    torn = read_witness(folder)
    assert torn is not None and torn.commits == before.commits - 1
    with open_store(folder, mode="w") as store:  # one behind is what a crash leaves; the writer catches up
        assert store.check() == []
    assert read_witness(folder) == before


def test_a_full_disk_leaves_the_store_as_it_was(tmp_path: Path, backend: str) -> None:
    with create_store(tmp_path / "store", SPACE, backend) as store:
        store.add(make_rows(20))
        before = (store.catalog.state(), list(store.items()), store.search(unit(2), 5))
        pages = store.catalog.connection.execute("PRAGMA page_count").fetchone()[0]
        store.catalog.connection.execute(f"PRAGMA max_page_count = {pages}")
        big = [make_row(index, unit(1)[0], text="word " * 4000) for index in range(15, 60)]
        with pytest.raises(VlcliError) as caught:
            store.add(big)
        assert caught.value.code == "X301" and "disk is full" in str(caught.value)
        assert (store.catalog.state(), list(store.items()), store.search(unit(2), 5)) == before
        assert store.check() == []
        store.catalog.connection.execute("PRAGMA max_page_count = 1000000")
        store.add(big)  # and it goes on when there is space again
        assert len(store) == 60 and store.check() == []


@pytest.mark.parametrize(("name", "code"), [("SQLITE_IOERR_FSYNC", "X304"), ("SQLITE_READONLY_DIRECTORY", "X302"),
                                            ("SQLITE_CORRUPT", "S102"), ("SQLITE_BUSY", "S108")])  # fmt: skip
def test_what_sqlite_refuses_is_told_in_a_sentence(tmp_path: Path, name: str, code: str) -> None:
    from vlcli.store.errors import explain_sqlite_error

    error = sqlite3.OperationalError("low-level words")
    error.sqlite_errorname = name
    told = explain_sqlite_error(error, tmp_path)
    assert told.code == code and told.help and str(tmp_path) in str(told)


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100, b"SQLite format 3\0" + bytes(200)])
def test_a_file_that_is_no_database_is_refused(folder: Path, content: bytes) -> None:
    for name in ("store.db-wal", "store.db-shm"):
        (folder / name).unlink(missing_ok=True)
    (folder / "store.db").write_bytes(content)
    with pytest.raises(VlcliError) as caught:
        open_store(folder)
    assert caught.value.code in ("S101", "S102")


def test_a_read_only_copy_can_be_searched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = answers(folder)
    (folder / CACHE).unlink()
    monkeypatch.setattr("vlcli.store.schema.os.access", lambda path, mode: False)
    with open_store(folder) as store:
        assert store.catalog.connection.execute("PRAGMA query_only").fetchone() is not None
        found = store.search(unit(3, seed=3), 5)
    assert [(hit.id, hit.score) for line in found for hit in line] == expected
    assert json.loads((folder / "writer.json").read_text() if (folder / "writer.json").exists() else "{}") == {}
