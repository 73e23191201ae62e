"""Kills, power cuts and failing calls, a few of each; `make torture` tries hundreds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from harness.commands import Commands
from harness.disk import Choice, Disk, crash_states
from harness.full_disk import FAILURES, Failure, try_failures
from harness.operations import HAS_INDEX, Operation, Workshop
from harness.power import try_kills_at_changes, try_power_cuts
from harness.rot import store_answers, store_check, store_with_log, try_rot
from harness.shim import Faults
from harness.trace import Event

from vlcli.align.load import load_space
from vlcli.runtime.files import atomic_folder, atomic_path, write_atomic
from vlcli.runtime.leftovers import FOREIGN_SECONDS, clear_leftovers, is_temporary, machine, temporary_prefix
from vlcli.store.cache import CACHE

STORES = ("embed", "cache", "embed-changes", "cache-changes")
INDEXES = [
    pytest.param(name, marks=pytest.mark.skipif(not HAS_INDEX, reason="usearch is not installed: 'vlcli[ann]'"))
    for name in ("index", "index-changes")
]
FILES = ("save-space", "export-parquet", "export-npz", "report", "recipe-copy")


@pytest.mark.parametrize("name", ["embed", "embed-changes", "train", "save-space", "export-parquet", *INDEXES])
def test_a_killed_command_loses_nothing_acknowledged_and_goes_on(
    commands: Commands, operations: dict[str, Operation], changes: dict[str, int], name: str
) -> None:
    total = changes[name]
    tally = try_kills_at_changes(operations[name], commands, [total // 3, total - 2])
    assert tally.faults == 2 and tally.problems == []


@pytest.mark.parametrize("name", [*STORES, *INDEXES, "train", *FILES])
def test_a_power_cut_leaves_the_last_acknowledged_state(
    commands: Commands, operations: dict[str, Operation], tmp_path: Path, name: str
) -> None:
    tally = try_power_cuts(operations[name], commands, commands.folder.parent, states=25, resumed=1, seed=3)
    assert tally.tried > 1 and tally.problems == []


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
@pytest.mark.parametrize("name", ["embed", "train", "save-space", "export-npz", *INDEXES])
def test_a_failing_disk_leaves_the_version_before_and_says_what_to_do(
    commands: Commands, operations: dict[str, Operation], changes: dict[str, int], name: str, failure: Failure
) -> None:
    tally = try_failures(operations[name], commands, failure, [changes[name] * 2 // 3])
    assert tally.faults == 1 and tally.problems == []


def test_a_cache_that_can_not_be_written_costs_no_answer(
    commands: Commands, operations: dict[str, Operation], changes: dict[str, int]
) -> None:
    """The disk is full once the database is open: a search answers as ever."""
    operation, full = operations["cache"], FAILURES[0]
    operation.restore()
    expected = operation.run(commands).stdout
    without = 0
    for number in range(changes["cache"], 0, -1):
        operation.restore()
        faults = Faults(str(operation.root), fail_at=number, fail_count=full.count, errno=full.errno, kinds=full.kinds)
        ended = operation.run(commands, faults)
        if ended.code:
            break  # the database could not even be opened
        assert ended.stdout == expected
        without += not (operation.root / "store" / CACHE).exists()
    assert without >= 2


def test_the_simulated_disk_keeps_only_what_was_synced(tmp_path: Path) -> None:
    """The model itself: an unsynced write, an unsynced name, a rename whose data came too late."""
    root = str(tmp_path)
    events = [
        Event("create", 5, f"{root}/a"), Event("write", 5, offset=0, data=b"x" * 1024), Event("sync", 5, f"{root}/a"),
        Event("syncdir", path=root), Event("mark", path="first"), Event("write", 5, offset=512, data=b"y" * 1024),
        Event("create", 6, f"{root}/b.tmp"), Event("write", 6, offset=0, data=b"new"),
        Event("rename", path=f"{root}/b.tmp", target=f"{root}/a"),
    ]  # fmt: skip
    states = list(crash_states(Disk(tmp_path), events, seed=0, randoms=20))
    acknowledged = [state for state in states if state.marks == ("first",)]
    contents = {state.tree.get("a") for state in acknowledged}
    torn = {b"x" * 512 + first * 512 + second for first in (b"x", b"y") for second in (b"", b"y" * 512)}
    assert {b"x" * 1024, b"x" * 512 + b"y" * 1024, b"new", b""} <= contents <= {*torn, b"new", b""}
    assert any(state.tree == {} for state in states if not state.marks)
    disk = Disk(tmp_path)
    for event in events:
        disk.replay(event)
    assert disk.state([True, True], Choice()) == {"a": b"new"}


def test_the_recorder_would_notice_a_missing_sync(commands: Commands, shop: Workshop, tmp_path: Path) -> None:
    """The proof that the test can fail: a file written without a sync is lost by some power cut."""
    root, before = commands.folder.parent / "careless", commands.folder.parent / "careless-before"
    before.mkdir()

    def sound(folder: Path, marks: object) -> str:
        kept = (folder / "file").exists() and (folder / "file").read_text() == "important"
        return "" if kept or "exit 0" not in list(marks) else "lost"  # type: ignore[call-overload]

    careless = Operation("careless", root, before, [str(root / "file")], tmp_path, sound, lambda folder: "",
                         call="harness.tasks:write_carelessly")  # fmt: skip
    tally = try_power_cuts(careless, commands, commands.folder.parent, states=50, resumed=0, seed=0)
    assert any("lost" in problem for problem in tally.problems)


def dead_process() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_only_what_dead_owners_left_is_cleared_away(tmp_path: Path) -> None:
    other = "0" * 24
    earlier_boot = machine()[:8] + "0" * 8 + machine()[16:]
    stale = [f".page.html.{machine()}-{dead_process()}-abc.tmp", f".page.html.{earlier_boot}-1-abc.tmp",
             f".page.html.{other}-1-old.tmp"]  # fmt: skip
    mine = [
        f"{temporary_prefix('page.html')}abc.tmp",
        f".page.html.{other}-1-new.tmp",
        ".page.html.abc.tmp",
        "page.tmp",
    ]
    for name in [*stale, *mine]:
        (tmp_path / name).write_text("x")
    past = time.time() - FOREIGN_SECONDS - 60
    os.utime(tmp_path / stale[2], (past, past))
    assert all(is_temporary(name) for name in stale)
    assert sorted(clear_leftovers(tmp_path)) == sorted(stale)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)
    assert clear_leftovers(tmp_path / "nowhere") == []


def test_a_folder_set_aside_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    aside = tmp_path / f".model.{machine()}-{dead_process()}-abc.old"
    aside.mkdir()
    (aside / "weights").write_text("kept")
    clear_leftovers(tmp_path)
    assert (tmp_path / "model" / "weights").read_text() == "kept" and not aside.exists()
    with atomic_folder(tmp_path / "model") as unfinished:
        (unfinished / "weights").write_text("newer")
    assert (tmp_path / "model" / "weights").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_very_long_name_can_be_written_atomically(tmp_path: Path) -> None:
    name = "ü" * 120 + ".html"
    write_atomic(tmp_path / name, "page")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / name) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_text() == "page"


def test_damage_to_synced_bytes_is_never_silent(
    commands: Commands, operations: dict[str, Operation], shop: Workshop, tmp_path: Path
) -> None:
    store = operations["embed-changes"].before / "store"
    for file in ("store.db", "vectors.npy", "commits.bin"):
        tally = try_rot("store", store, file, tmp_path / "copy", 12, 5, store_answers, store_check)
        assert tally.tried == 12 and tally.problems == []
    logged = store_with_log(store, tmp_path)
    tally = try_rot("store", logged, "store.db-wal", tmp_path / "copy", 8, 5, store_answers, store_check)
    assert tally.counts["reported when read"] and tally.problems == []

    def read_space(folder: Path) -> object:
        return load_space(str(folder), shop.registry, "cpu").identity

    for file in ("weights.safetensors", "space.json", "towers/text/tokenizer.json"):
        tally = try_rot("space", shop.world.space, file, tmp_path / "copy", 6, 5, read_space)
        assert tally.counts["reported when read"] and tally.problems == []
