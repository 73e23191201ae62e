"""Migrations: an older store is brought up to date with what is in it, a newer one is refused."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.store.conftest import SPACE, make_rows
from vlcli.errors import VlcliError
from vlcli.store import create_store, list_stores, open_store
from vlcli.store.catalog import Catalog
from vlcli.store.lock import WriterLock
from vlcli.store.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION, connect, migrate
from vlcli.store.vectors import SqliteVectors, as_bytes, checksum


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store as version 1 wrote it: without full-text search."""
    folder = tmp_path / "old"
    folder.mkdir()
    connection = connect(folder, write=True)
    assert migrate(connection, folder, target=1) == 0
    settings = {"space": json.dumps(asdict(SPACE)), "uuid": "u", "created": "2025-01-01", "backend": "sqlite"}
    connection.executemany("INSERT INTO settings VALUES (?, ?)", settings.items())
    catalog, rows = Catalog(folder, connection), make_rows(20)
    with catalog.commit(lambda: 0) as change:
        numbers = catalog.upsert(change, rows, [checksum(row.id, as_bytes(row.vector)) for row in rows])
        for number, row in zip(numbers, rows, strict=True):
            SqliteVectors(connection).write([number], row.vector[None])
    connection.close()
    return folder


def version(folder: Path) -> int:
    connection = sqlite3.connect(folder / "store.db")
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return found


@pytest.mark.parametrize("mode", ["r", "w"])
def test_an_older_store_is_migrated_with_what_is_in_it(old: Path, mode: str) -> None:
    assert version(old) == 1 < SCHEMA_VERSION
    rows = make_rows(20)
    with open_store(old, mode=mode) as store:  # type: ignore[arg-type]
        assert [hit.id for hit in store.fulltext("thing7", 3)] == [rows[7].id]
        assert store.search(rows[4].vector[None], 1)[0][0].id == rows[4].id
        assert store.check() == []
    assert version(old) == SCHEMA_VERSION


def test_a_migration_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM items")
        raise sqlite3.OperationalError("half way")

    monkeypatch.setattr("vlcli.store.schema.MIGRATIONS", (MIGRATIONS[0], broken))
    with pytest.raises(VlcliError, match="S110"):
        open_store(old, mode="w")
    monkeypatch.undo()
    with open_store(old, mode="w") as store:
        assert len(store) == 20 and store.check() == []


def test_a_reader_waits_for_nobody_to_migrate(old: Path) -> None:
    lock = WriterLock(old)
    lock.acquire("other")
    try:
        with pytest.raises(VlcliError, match="S106"):
            open_store(old)
    finally:
        lock.release()


def test_a_newer_store_is_refused_and_not_touched(tmp_path: Path) -> None:
    create_store(tmp_path / "new", SPACE).close()
    connection = sqlite3.connect(tmp_path / "new" / "store.db")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    for mode in ("r", "w", "repair"):
        with pytest.raises(VlcliError, match="S103") as caught:
            open_store(tmp_path / "new", mode=mode)  # type: ignore[arg-type]
        assert "update vlcli" in str(caught.value)
    (summary,) = list_stores([tmp_path])
    assert "S103" in summary.error


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("CREATE TABLE mine(x)")
    connection.close()
    with pytest.raises(VlcliError, match="another program"):
        open_store(tmp_path)
    assert int.from_bytes(b"vlcl", "big") == APPLICATION_ID


def test_a_creation_that_was_interrupted_can_be_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    connect(folder, write=True).close()
    with pytest.raises(VlcliError, match="S101"):
        open_store(folder)
    with create_store(folder, SPACE) as store:
        assert store.check() == []
