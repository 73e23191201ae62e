"""Tables of items in every format, with every kind of damage; properties by hypothesis."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlcli.data.manifests import (
    cell,
    find_columns,
    flat,
    locate,
    other_columns,
    read_rows,
    split_list,
    text_column,
    texts_of,
    typed,
)  # fmt: skip
from vlcli.errors import VlcliError

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12)


def rows_of(path: Path) -> list:
    return list(read_rows(path))


def refused(path: Path) -> VlcliError:
    with pytest.raises(VlcliError) as caught:
        rows_of(path)
    return caught.value


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=8), delimiter=st.sampled_from(",;\t"))
def test_csv_gives_back_what_was_written(tmp_path: Path, table: list, delimiter: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter).writerows([("path", "caption", "note"), *table])
    file = tmp_path / "t.csv"
    file.write_text(buffer.getvalue(), encoding="utf-8-sig", newline="")
    found = rows_of(file)
    kept = [(number, row) for number, row in enumerate(table, start=2) if any(row)]
    assert [row.number for row in found] == [number for number, _ in kept]
    for row, (_, written) in zip(found, kept, strict=True):
        assert [name for name, _ in row.cells] == ["path", "caption", "note"]
        for (_, value), text in zip(row.cells, written, strict=True):
            assert value == (typed(text) if text.strip() else None)
            assert value is None or str(value).strip() == text.strip()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]))
def test_any_bytes_give_rows_or_one_error(tmp_path: Path, data: bytes, suffix: str) -> None:
    file = tmp_path / f"any{suffix}"
    file.write_bytes(data)
    try:
        for row in read_rows(file):
            assert bool(row.reason) != bool(row.cells) or row.cells == ()
            json.dumps([flat(value) for _, value in row.cells], allow_nan=False).encode("utf-8")
    except VlcliError as error:
        assert error.code in ("D105", "D114")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.one_of(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), min_size=1),
                                  st.just("{broken"), st.just("[1]"), st.just("")), max_size=8))  # fmt: skip
def test_a_broken_line_of_json_costs_only_itself(tmp_path: Path, records: list) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in [{"first": 1}, *records]))
    found = rows_of(file)
    wanted = [(n, r) for n, r in enumerate([{"first": 1}, *records], start=1) if r != ""]
    assert [row.number for row in found] == [n for n, _ in wanted]
    for row, (_, record) in zip(found, wanted, strict=True):
        assert (row.reason != "") == isinstance(record, str)
        assert not isinstance(record, dict) or dict(row.cells) == record


def test_numbers_only_where_nothing_is_lost() -> None:
    assert [typed(text) for text in ("12", "-3", "1.5", "007", "1e5", " 4 ", "", "12a", "1_000", "nan")] == [
        12, -3, 1.5, "007", "1e5", 4, None, "12a", "1_000", "nan",
    ]  # fmt: skip


def test_an_unclosed_quote_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('path,caption\na,b\nc,"open\nd,e\n')
    found = rows_of(tmp_path / "t.csv")
    assert dict(found[0].cells) == {"path": "a", "caption": "b"}
    assert "never closed" in found[1].reason
    assert len(found) == 2


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"path,caption\nna\xefve.toy,caf\xe9\n")
    (row,) = rows_of(tmp_path / "t.csv")
    assert cell(row, "path").encode("utf-8", "surrogateescape") == b"na\xefve.toy"
    columns = find_columns(["path", "caption"], "t.csv")
    assert texts_of(row, columns) == ("caf\\xe9",)


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {"file": ["a", "b"], "captions": [["x", "y", "x"], None], "n": [1, None], "deep": [{"k": 1}, None]}
    )
    pq.write_table(table, tmp_path / "t.parquet")
    first, second = rows_of(tmp_path / "t.parquet")
    columns = find_columns(["file", "captions", "n", "deep"], "t")
    assert texts_of(first, columns) == ("x", "y")
    assert other_columns(first, columns) == {"n": 1, "deep": '{"k": 1}'}
    assert other_columns(second, columns) == {}
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing PAR1")
    assert refused(tmp_path / "bad.parquet").code == "D105"


def test_files_are_found_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "images" / "sub").mkdir(parents=True)
    for name in ("a.toy", "images/b.toy", "images/sub/c.toy", "images/a.toy"):
        (tmp_path / name).touch()
    for named, place in (("a.toy", "a.toy"), ("b.toy", "images/b.toy"), ("images\\sub\\c.toy", "images/sub/c.toy"),
                         ("sub\\c.toy", "images/sub/c.toy"), ("no.toy", "no.toy")):  # fmt: skip
        assert locate(tmp_path, named) == tmp_path / place
    assert locate(tmp_path, "/else/x.toy") == Path("/else/x.toy")


def test_columns_are_recognised() -> None:
    columns = find_columns([" File_Name", "Caption", "caption_2", "Label", "SPLIT", "url"], "t.csv")
    assert (columns.path, columns.texts) == (" File_Name", ("Caption", "caption_2"))
    assert (columns.label, columns.split) == ("Label", "SPLIT")
    known = {"speech", "text", "pointclouds", "molecules"}
    assert find_columns(["speech", "text"], "t.csv", known).path == "speech"
    for name in ("Mesh", "pointclouds", "pointcloud_path", "point_cloud", "speech_file"):
        assert find_columns(["id", name, "caption"], "t.csv", known).path == name
    assert find_columns(["text_path", "caption"], "t.csv", known).path is None
    assert not text_column("texture")
    with pytest.raises(VlcliError, match="'captoin' did you mean 'caption'") as caught:
        find_columns(["pat", "captoin"], "t.csv")
    assert caught.value.code == "D107"


def test_a_file_without_rows(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("")
    assert refused(tmp_path / "e.csv").code == "D114"
    (tmp_path / "n.csv").write_text("\n\n")
    assert refused(tmp_path / "n.csv").code == "D105"
    assert refused(tmp_path / "gone.csv").code == "D111"


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.binary(min_size=1, max_size=20).filter(lambda b: not set(b"\0\r\n") & set(b))),
       nul=st.booleans(), block=st.integers(1, 40))  # fmt: skip
def test_lists_are_split_whatever_the_block(names: list[bytes], nul: bool, block: int) -> None:
    data = (b"\0" if nul else b"\n").join(names) + (b"\0" if nul else b"\n")
    first = data[:block]
    if nul and b"\0" not in first:
        block = len(data)
    found = [name.encode("utf-8", "surrogateescape") for name in split_list(io.BytesIO(data), block) if name]
    assert found == names
