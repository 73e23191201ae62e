"""`vlcli store …` as a user runs it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.store.conftest import SPACE, make_row, make_rows, unit
from vlcli.cli.main import run
from vlcli.store import Refusal, create_store

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store named `photos` under VLCLI_HOME: 10 items, one refused input."""
    monkeypatch.setenv("VLCLI_HOME", str(tmp_path / "home"))
    with create_store("photos", SPACE) as store:
        store.begin_run("vlcli embed pictures")
        store.add(make_rows(10), [Refusal("/photos/broken.jpg", "D101", "truncated")])
        store.end_run()
        return store.path


def answer(capsys: Capture, *arguments: str, code: int = 0) -> Any:
    assert run(["--no-plugins", "store", *arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_list_and_show(photos: Path, capsys: Capture) -> None:
    (listed,) = answer(capsys, "list")["stores"]
    assert (listed["path"], listed["items"], listed["backend"], listed["error"]) == (str(photos), 10, "sqlite", "")
    shown = answer(capsys, "show", "photos")
    assert shown["schema"] == 1 and shown["space"]["name"] == "toy/space"
    assert (shown["runs"][0]["embedded"], shown["runs"][0]["refused"], shown["runs"][0]["inputs"]) == (10, 1, 11)
    assert {"path", "year", "label"} <= set(shown["columns"])
    ledger = answer(capsys, "show", "photos", "--ledger", "--limit", "50")["ledger"]
    assert len(ledger) == 11 and [line["code"] for line in ledger if line["outcome"] == "refused"] == ["D101"]
    items = answer(capsys, "show", "photos", "--where", "year > 2020")["items"]
    assert [item["metadata"]["year"] for item in items] == [2021, 2022, 2023, 2024]
    assert run(["--no-plugins", "store", "show", "photos"]) == 0
    assert "toy/space" in capsys.readouterr().out
    assert run(["--no-plugins", "store", "list"]) == 0
    assert "photos" in capsys.readouterr().out


def test_check_and_repair(photos: Path, capsys: Capture) -> None:
    assert answer(capsys, "check", "photos")["ok"] is True
    connection = sqlite3.connect(photos / "store.db")
    with connection:
        connection.execute("UPDATE vectors SET vector = zeroblob(32) WHERE n = 2")
    connection.close()
    checked = answer(capsys, "check", "photos", code=1)
    assert [problem["id"] for problem in checked["problems"]] == [make_rows(2)[1].id]
    assert run(["--no-plugins", "store", "check", "photos"]) == 1
    assert "vlcli store repair photos" in capsys.readouterr().out
    assert len(answer(capsys, "repair", "photos")["repaired"]) == 1
    assert answer(capsys, "check", "photos")["items"] == 9


def test_a_database_that_can_not_be_opened_is_a_finding(photos: Path, capsys: Capture) -> None:
    (photos / "store.db").write_bytes(b"garbage" * 1000)
    assert answer(capsys, "check", str(photos), code=1)["ok"] is False


def test_prune_asks_when_most_files_are_gone(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    from vlcli.store import open_store

    assert len(answer(capsys, "prune", "photos", "--dry-run")["pruned"]) == 10
    assert run(["--no-plugins", "store", "prune", "photos"]) == 2
    assert "--yes" in capsys.readouterr().err
    kept = tmp_path / "kept.jpg"
    kept.touch()
    with open_store("photos", mode="w") as store:
        assert len(store) == 10
        store.add([make_row(index, unit(1)[0], id=f"kept{index}", path=str(kept)) for index in range(20)])
    assert len(answer(capsys, "prune", "photos")["pruned"]) == 10
    assert answer(capsys, "show", "photos")["items"] == 20


def test_export_and_rm(photos: Path, tmp_path: Path, capsys: Capture) -> None:
    assert answer(capsys, "export", "photos", str(tmp_path / "out.npz"))["items"] == 10
    assert run(["--no-plugins", "store", "export", "photos", str(tmp_path / "out.csv")]) == 2
    assert run(["--no-plugins", "store", "rm", "photos"]) == 2
    assert "--yes" in capsys.readouterr().err and photos.exists()
    assert answer(capsys, "rm", "photos", "--yes")["removed"] == str(photos)
    assert not photos.exists()
    (tmp_path / "mine").mkdir()
    assert run(["--no-plugins", "store", "rm", str(tmp_path / "mine"), "--yes"]) == 1
    assert (tmp_path / "mine").is_dir()


def test_a_store_that_is_not_there(photos: Path, capsys: Capture) -> None:
    for command in (["show"], ["check"], ["repair"], ["prune"], ["export"]):
        target = ["out.npz"] if command == ["export"] else []
        assert run(["--no-plugins", "store", *command, "phtos", *target]) == 1
        assert "S101" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["list", "show", "check", "repair", "prune", "export", "rm"])
def test_help_has_an_example(command: str, capsys: Capture) -> None:
    assert run(["--no-plugins", "store", command, "--help"]) == 0
    assert f"vlcli store {command}" in capsys.readouterr().out
