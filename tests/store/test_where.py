"""`--where`: what it can say, and what it can not be made to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.conftest import SPACE, make_row, make_rows, unit
from vlcli.errors import ExitCode, VlcliError
from vlcli.store import create_store, open_store
from vlcli.store.base import BaseStore
from vlcli.store.where import compile_filter, run_filter


@pytest.fixture
def found(filled: Callable[..., Path]) -> Iterator[BaseStore]:
    with open_store(filled(60)) as store:
        yield store


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("path like '%2024%'", lambda row: "/2024/" in row.path),
        ("PATH LIKE '%2024%' AND Year > 2020", lambda row: "/2024/" in row.path and row.metadata["year"] > 2020),
        ("label in ('cat', 'x') or size = 100", lambda row: row.metadata["label"] == "cat" or row.size == 100),
        ("replace(label, 'c', 'b') = 'bat'", lambda row: row.metadata["label"] == "cat"),
        ("metadata ->> 'year' between 2016 and 2017", lambda row: row.metadata["year"] in (2016, 2017)),
        ("\"label\" = 'it''s; -- not /* a comment'", lambda row: False),
        ("case when year % 2 then 1 else 0 end", lambda row: row.metadata["year"] % 2),
        ("items.text is not null and length(text) > 17", lambda row: len(row.text) > 17),
        ("label = 'cat' collate nocase", lambda row: row.metadata["label"] == "cat"),
        ("nothing_here is null or year not null", None),
    ],
)
def test_expressions(found: BaseStore, where: str, expected: Callable[..., bool] | None) -> None:
    if expected is None:
        with pytest.raises(VlcliError, match="U301"):
            list(found.items(where=where))
        return
    assert [item.id for item in found.items(where=where)] == [row.id for row in make_rows(60) if expected(row)]


HOSTILE = [
    "1) union select n from vectors --",
    "1=1; drop table items",
    "1=1; attach database '/tmp/x' as y",
    "(select count(*) from sqlite_master) > 0",
    "exists (select 1 from settings)",
    "id in (select id from items)",
    "id in (with recursive r(x) as (values(1) union all select x+1 from r) select x from r)",
    "id in (values ('a'))",
    "id in sqlite_master",
    "id in json_each('[1]')",
    "id in pragma_table_info('items')",
    "load_extension('/tmp/evil.so') is null",
    "readfile('/etc/passwd') is not null",
    "writefile('/tmp/x', 'y') > 0",
    "randomblob(1000000000) is null",
    "zeroblob(1000000000) is null",
    "printf('%1000000000d', 1) is null",
    "fts5(1) is null",
    "1 = ?1",
    "path = :name",
    "1=1 /* open",
    "1=1) or (1=1",
    "((((1=1",
    "'unclosed",
    "path like '" + "%a" * 1000 + "'",
    "(" * 400 + "1" + ")" * 400,
    "a" * 20000,
    "",
    "   ",
    "1=1\0",
    "sum(size) > 1",
    "row_number() over () = 1",
    "pragma user_version = 9",
    "n > 0 union select 1",
    "items.checksum > 0",
    "main.items.path = 'x'",
    "raise(abort, 'x')",
    "match('a', 'b')",
    "regexp('a', path)",
    "limit 5",
]


@pytest.mark.parametrize("where", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_expressions_are_refused_and_change_nothing(found: BaseStore, where: str) -> None:
    before = (len(found), found.catalog.state())
    with pytest.raises(VlcliError) as caught:
        list(found.items(where=where))
    assert caught.value.exit_code == ExitCode.USAGE, str(caught.value)
    assert caught.value.code in ("U301", "U302")
    assert (len(found), found.catalog.state()) == before
    assert len(list(found.items(where="1 = 1"))) == 60  # the fence came down again


def test_the_authorizer_alone_also_holds(tmp_path: Path) -> None:
    """The lexer is the first fence; past it, the authorizer must still refuse."""
    from vlcli.store.where import Filter

    with create_store(tmp_path / "store", SPACE) as store:
        store.add(make_rows(3))
        for sql in (
            "DELETE FROM items", "UPDATE items SET id = 'x'", "ATTACH ':memory:' AS y", "PRAGMA user_version = 9",
            "SELECT vector FROM vectors", "SELECT value FROM settings", "SELECT sql FROM sqlite_master",
            "SELECT n FROM items WHERE (SELECT max(size) > (SELECT count(id) FROM items) FROM items)",
            "SELECT load_extension('x')", "SELECT randomblob(9)", "DROP TABLE items", "CREATE TABLE t(x)",
        ):  # fmt: skip
            with pytest.raises(VlcliError, match="U302"):
                run_filter(store.catalog.connection, Filter(sql), [])
        assert len(store) == 3 and store.check() == []


def test_a_slow_expression_is_stopped(tmp_path: Path) -> None:
    with create_store(tmp_path / "store", SPACE) as store:
        store.add(make_rows(2000))
        compiled = compile_filter("instr(text, 'zz') + instr(path, 'q') > 0", None, [])
        assert compiled is not None
        with pytest.raises(VlcliError, match="U303"):
            run_filter(store.catalog.connection, compiled, [], seconds=0.0)
        assert run_filter(store.catalog.connection, compiled, []) == []


def test_an_unknown_column_names_those_there_are(found: BaseStore) -> None:
    for where in ("yaer > 2020", '"yaer" > 2020'):
        with pytest.raises(VlcliError) as caught:
            list(found.items(where=where))
        text = str(caught.value)
        assert caught.value.code == "U301" and "did you mean 'year'" in text and "label" in text and "path" in text


def test_metadata_keys_that_collide(tmp_path: Path) -> None:
    vectors = unit(3)
    with create_store(tmp_path / "store", SPACE) as store:
        store.add([
            make_row(0, vectors[0], metadata={"Size": 9000, "Year": 1}),
            make_row(1, vectors[1], metadata={"year": 2, "select": "s", "or": 5}),
            make_row(2, vectors[2], metadata={"a b": 3, "x''y": 1, "$.z": 4}),
        ])  # fmt: skip
        ids = [make_row(index, vectors[0]).id for index in range(3)]
        find = lambda where: [item.id for item in store.items(where=where)]  # noqa: E731
        assert find("size > 8000") == []  # an item's own column wins …
        assert find("metadata ->> 'Size' > 8000") == [ids[0]]  # … and the key is still there
        assert find("year in (1, 2)") == ids[:2]
        assert find('"select" = \'s\' and "or" = 5') == [ids[1]]
        assert find('"a b" = 3 and "x\'\'y" = 1 and "$.z" = 4') == [ids[2]]
