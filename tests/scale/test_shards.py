"""Shards: the rows of a store, verified on the way into another, as often as one likes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlcli.cli.main import run
from vlcli.errors import VlcliError
from vlcli.store import Refusal, Row, SpaceInfo, create_store, open_store
from vlcli.store.shards import ShardSink, find_shards, import_shards, open_shard, open_shards, write_manifest

Vlcli = Callable[..., subprocess.CompletedProcess[str]]
INFO = SpaceInfo("demo/space", "sha256:" + "a" * 64, 8, "demo/space")


def rows(count: int, first: int = 0) -> list[Row]:
    rng = np.random.default_rng(first)
    vectors = rng.standard_normal((count, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [
        Row(f"/p/{first + i}", f"/p/{first + i}", "images", f"hash{first + i}", i, 10**18 + i, 2**64 - 1 - i,
            f"thing {i}" if i % 2 else None, {"year": 2000 + i, "nan": None}, vector)
        for i, vector in enumerate(vectors)
    ]  # fmt: skip


def shard(path: Path, some: list[Row], refused: tuple[Refusal, ...] = (), info: SpaceInfo = INFO) -> Path:
    sink = ShardSink(info)
    sink.add(some, refused)
    sink.write(path)
    return path


def contents(folder: Path) -> list[tuple[Any, ...]]:
    with open_store(folder) as store:
        items = list(store.items())
        vectors = store.vectors([item.id for item in items])
        return [(item, vector.tobytes()) for item, vector in zip(items, vectors, strict=True)]


def take(folder: Path, *shards: Path) -> Any:
    from vlcli.store import open_or_create_store

    opened, torn = open_shards(find_shards(shards)[0])
    with open_or_create_store(folder, opened[0].info) as store:
        return import_shards(store, opened, torn)


@pytest.mark.parametrize("backend", ["sqlite", "lance"])
def test_what_is_imported_is_what_was_stored(tmp_path: Path, backend: str) -> None:
    some = rows(2500)
    with create_store(tmp_path / "direct", INFO) as store:
        store.add(some, [Refusal("/p/bad", "D303", "damaged", "/p/bad")])
    shard(tmp_path / "s" / "a.parquet", some[:1500], (Refusal("/p/bad", "D303", "damaged", "/p/bad"),))
    shard(tmp_path / "s" / "b.parquet", some[1500:])
    create_store(tmp_path / "there", INFO, backend).close()
    report = take(tmp_path / "there", tmp_path / "s")
    assert (report.imported, report.unchanged, report.shards, report.torn) == (2500, 0, 2, 0)
    assert contents(tmp_path / "there") == contents(tmp_path / "direct")
    with open_store(tmp_path / "there") as store:
        outcomes = [line.outcome for line in store.ledger()]
        assert outcomes.count("embedded") == 2500 and outcomes.count("refused") == 1
        assert store.check() == []
    again = take(tmp_path / "there", tmp_path / "s")
    assert (again.imported, again.unchanged, len(again.refused)) == (0, 2500, 1)
    assert contents(tmp_path / "there") == contents(tmp_path / "direct")


def test_an_export_is_a_shard(tmp_path: Path) -> None:
    with create_store(tmp_path / "one", INFO) as store:
        store.add(rows(30))
        store.export(tmp_path / "out.parquet")
    assert take(tmp_path / "two", tmp_path / "out.parquet").imported == 30
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_interrupted_import_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard(tmp_path / "a.parquet", rows(3000))
    opened, _ = open_shards([tmp_path / "a.parquet"])
    seen = 0

    def stop(count: int) -> None:
        nonlocal seen
        seen += count
        if seen > 1024:
            raise KeyboardInterrupt

    with create_store(tmp_path / "s", INFO) as store, pytest.raises(KeyboardInterrupt):
        import_shards(store, opened, advance=stop)
    with open_store(tmp_path / "s") as store:
        assert len(store) == 2048 and store.runs()[-1].status == "interrupted"
    report = take(tmp_path / "s", tmp_path / "a.parquet")
    assert (report.imported, report.unchanged) == (952, 2048)


def test_torn_shards_are_refused_with_a_reason_and_the_others_taken(tmp_path: Path) -> None:
    good, torn = shard(tmp_path / "a.parquet", rows(20)), shard(tmp_path / "b.parquet", rows(20, 100))
    torn.write_bytes(torn.read_bytes()[:-200])
    report = take(tmp_path / "s", good, torn)
    assert (report.imported, report.torn) == (20, 1)
    assert [(line.path, line.code) for line in report.refused] == [(str(torn), "S120")]
    assert "torn or damaged" in report.refused[0].reason
    with pytest.raises(VlcliError, match="S120"):
        take(tmp_path / "other", torn)
    (tmp_path / "table.parquet").write_bytes(b"")
    with pytest.raises(VlcliError, match="S120"):
        open_shard(tmp_path / "table.parquet")


def test_every_flipped_byte_is_found_or_harmless(tmp_path: Path) -> None:
    """Whatever single byte is damaged: each item that arrives is one that was written, to the last bit."""
    some = rows(40)
    truth = {row.id: (row.content_hash, row.vector.tobytes()) for row in some}
    path = shard(tmp_path / "a.parquet", some)
    whole = path.read_bytes()
    noticed = 0
    for place in range(4, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        found, refused = [], 0
        try:
            opened = open_shard(path)
            from vlcli.store.shards import read_rows

            for sound, bad in read_rows(opened):
                found += sound
                refused += len(bad)
        except VlcliError as error:
            assert error.code in ("S120", "S121")
            noticed += 1
            continue
        noticed += refused > 0
        assert len(found) + refused == 40
        for row in found:
            if row.id in truth:
                assert row.vector.tobytes() == truth[row.id][1], place
    assert noticed > 20


def test_a_damaged_row_leaves_what_the_store_holds(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = shard(tmp_path / "a.parquet", rows(10))
    take(tmp_path / "s", path)
    before = contents(tmp_path / "s")
    table = pq.read_table(path)
    sums = table["checksum"].to_pylist()
    sums[4] ^= 1
    place = table.schema.get_field_index("checksum")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(sums, pa.int64())), path)
    report = take(tmp_path / "s", path)
    assert (report.imported, report.unchanged) == (0, 9)
    assert [(line.path, line.code) for line in report.refused] == [(f"{path}#4", "S122")]
    assert contents(tmp_path / "s") == before
    with open_store(tmp_path / "s") as store:
        assert store.stale() == {}


@pytest.mark.parametrize("metadata", ["[1, 2]", "{", '"a"', "[" * 100_000])
def test_a_row_whose_metadata_are_no_object_is_damaged(tmp_path: Path, metadata: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = shard(tmp_path / "a.parquet", rows(3))
    table = pq.read_table(path)
    place = table.schema.get_field_index("metadata")
    changed = ["{}", metadata, "{}"]
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array(changed, pa.string())), path)
    report = take(tmp_path / "s", path)
    assert report.imported == 2 and [line.path for line in report.refused] == [f"{path}#1"]


def test_what_a_shard_refuses_is_stale_in_the_store(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["embed", str(pictures), "--shards", "parts", "--store", "./s", "--quiet"]) == 3
    (pictures / "p05.png").write_bytes(b"no picture any more")
    capsys.readouterr()
    assert run(["embed", str(pictures), "--shards", "more", "--store", "./s", "--json"]) == 3
    assert list(json.loads(capsys.readouterr().out)["stale"]) == [str(pictures / "p05.png")]
    (tmp_path / "file").write_text("in the way")
    assert run(["embed", str(pictures), "--shards", "file"]) == 1
    assert "error[X303] file: is there already" in capsys.readouterr().err


def test_another_space_is_a_mismatch(tmp_path: Path) -> None:
    other = SpaceInfo("other", "sha256:" + "b" * 64, 8, "other")
    first, second = shard(tmp_path / "a.parquet", rows(3)), shard(tmp_path / "b.parquet", rows(3, 9), info=other)
    with pytest.raises(VlcliError, match="M501"):
        take(tmp_path / "s", first, second)
    assert not (tmp_path / "s").exists()
    take(tmp_path / "s", first)
    with pytest.raises(VlcliError, match="M501"):
        take(tmp_path / "s", second)


def test_the_list_of_a_run_says_what_belongs_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    first = shard(folder / "a.parquet", rows(3))
    shard(folder / "old.parquet", rows(3, 50))
    assert find_shards([folder])[1] == [str(folder)]
    assert run(["store", "import", str(folder), "-s", "x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unfinished"] == [str(folder)]
    write_manifest(folder, INFO, [first])
    assert find_shards([folder]) == ([first], [])
    first.unlink()
    assert run(["store", "import", str(folder), "-s", "y"]) == 1
    assert "S120" in capsys.readouterr().err
    with pytest.raises(VlcliError, match="D102"):
        find_shards([tmp_path / "nothing"])


def ledger(folder: Path) -> list[tuple[str, str, str]]:
    with open_store(folder) as store:
        return sorted((line.input, line.outcome, line.code) for line in store.ledger())


def test_embedding_into_shards_gives_the_store_of_one_process(pictures: Path, tmp_path: Path) -> None:
    assert run(["embed", str(pictures), "--store", "./one", "--quiet"]) == 3
    assert run(["embed", str(pictures), "--shards", "parts", "--store", "./two", "--quiet"]) == 3
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert ledger(tmp_path / "one") == ledger(tmp_path / "two")
    (part,) = (tmp_path / "parts").glob("*.parquet")
    written = part.stat().st_mtime_ns
    assert run(["embed", str(pictures), "--shards", "parts", "--quiet"]) == 3
    assert part.stat().st_mtime_ns == written, "a finished shard is written once"
    (pictures / "p00.png").write_bytes((pictures / "p01.png").read_bytes())
    assert run(["embed", str(pictures), "--shards", "parts", "--quiet"]) == 3
    assert find_shards([tmp_path / "parts"])[0] != [part]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--engine", "rey", "--store", "s"], "U135"),
        ([], "U136"),
        (["--store", "s", "--ray-address", "auto"], "U137"),
        (["--store", "s", "--ray-workers", "2"], "U137"),
        (["--shards", "s", "--prune"], "U137"),
        (["--shards", "s", "--store", "s", "--verify"], "U137"),
    ],
)
def test_what_can_not_be_combined_is_said(
    arguments: list[str], code: str, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["embed", str(pictures), *arguments]) == 2
    assert f"error[{code}]" in capsys.readouterr().err
