"""Tables whose cells are items themselves: a modality names such columns, or the user does."""

from __future__ import annotations

from pathlib import Path

import pytest

from vlcli.api import ModalitySpec
from vlcli.data.datasets import open_dataset
from vlcli.data.inputs import Expanded, InputItem, RefusedInput, expand_inputs
from vlcli.errors import VlcliError
from vlcli.registry import Registry


@pytest.fixture
def tables(registry: Registry) -> Registry:
    """Two modalities with columns beside the toys and texts."""
    for name, columns in (("words", ("word", "term")), ("numbers", ("number",))):
        registry.add(name, "modality", ModalitySpec(name=name, summary="", target="x:Y", columns=columns))
    return registry


def expand(registry: Registry, path: Path, **options: object) -> list[Expanded]:
    return list(expand_inputs([str(path)], registry, **options))  # type: ignore[arg-type]


def table(folder: Path, text: str) -> Path:
    path = folder / "t.csv"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return path


def test_cells_are_items_and_the_rest_is_metadata(tables: Registry, tmp_path: Path) -> None:
    path = table(tmp_path, "Word,weight,caption\nabc,1.5,first\n,2,second\nx\udcff,3,\n")
    first, empty, broken = expand(tables, path)
    assert isinstance(first, InputItem)
    assert (first.modality, first.source.value, first.source.id) == ("words", "abc", f"{path}#2")
    assert first.source.metadata == {"weight": 1.5, "caption": "first", "column": "Word"}
    assert isinstance(empty, RefusedInput)
    assert (empty.code, empty.path) == ("D106", f"{path}#3")
    assert "holds nothing in its column 'Word'" in empty.reason
    # What is not UTF-8 is for the modality to refuse, so its bytes must still show.
    assert isinstance(broken, InputItem)
    assert broken.source.value == "x\udcff"


def test_preferred_names_come_first(tables: Registry, tmp_path: Path) -> None:
    (item,) = expand(tables, table(tmp_path, "term,word\na,b\n"))
    assert isinstance(item, InputItem)
    assert item.source.value == "b"
    assert item.source.metadata == {"term": "a", "column": "word"}


def test_a_path_column_goes_first_unless_the_user_says_otherwise(tables: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.toy").write_text("a toy")
    path = table(tmp_path, "path,word\na.toy,b\n")
    assert [item.modality for item in expand(tables, path) if isinstance(item, InputItem)] == ["toys"]
    (item,) = expand(tables, path, modality="words")
    assert isinstance(item, InputItem)
    assert (item.source.value, item.source.metadata["path"]) == ("b", "a.toy")


def test_a_space_of_texts_reads_the_texts(tables: Registry, tmp_path: Path) -> None:
    path = table(tmp_path, "word,text\nw,some text\n")
    (item,) = expand(tables, path, accepted=["text"])
    assert isinstance(item, InputItem)
    assert (item.modality, item.source.value, item.source.metadata) == ("text", "some text", {"word": "w"})
    (item,) = expand(tables, path, modality="text")
    assert isinstance(item, InputItem)
    assert item.source.value == "some text"


def test_two_modalities_must_be_told_apart(tables: Registry, tmp_path: Path) -> None:
    path = table(tmp_path, "word,number\na,1\n")
    with pytest.raises(VlcliError, match="columns of numbers and of words") as refused:
        expand(tables, path)
    assert refused.value.code == "D107"
    (item,) = expand(tables, path, accepted=["numbers"])
    assert isinstance(item, InputItem)
    assert (item.modality, item.source.value) == ("numbers", "1")


def test_the_user_names_the_column(tables: Registry, tmp_path: Path) -> None:
    path = table(tmp_path, "word,odd\na,b\n")
    (item,) = expand(tables, path, modality="words", column="odd")
    assert isinstance(item, InputItem)
    assert (item.source.value, item.source.metadata["column"]) == ("b", "odd")
    for options, code in (({"column": "odd"}, "U132"), ({"column": "od", "modality": "words"}, "D107")):
        with pytest.raises(VlcliError) as refused:
            expand(tables, path, **options)
        assert refused.value.code == code
    with pytest.raises(VlcliError, match="'word'"):
        expand(tables, table(tmp_path, "x,y\n1,2\n"), modality="words")


def test_data_sets_pair_items_with_captions(tables: Registry, tmp_path: Path) -> None:
    path = table(tmp_path, "word,caption,label,split\na,first,good,train\nb,second,bad,test\n,third,bad,test\n")
    dataset = open_dataset(str(path), tables)
    examples = [dataset[index] for index in range(len(dataset))]
    assert [(e.sources["words"].value, tuple(e.captions), e.label, e.split) for e in examples] == [
        ("a", ("first",), "good", "train"), ("b", ("second",), "bad", "test"),
    ]  # fmt: skip
    assert [line.path for line in dataset.refused] == [f"{path}#4"]  # type: ignore[attr-defined]
    named = open_dataset(str(path), tables, {"modality": "numbers", "item_column": "label"})
    assert named[0].sources["numbers"].value == "good"
    with pytest.raises(VlcliError, match="P206"):
        open_dataset(str(path), tables, {"item_column": "label"})


class Noted(str):
    """An item that says what was done to it."""

    notes = ("shortened", "cleaned")


def test_the_ledger_keeps_what_loading_changed(tmp_path: Path) -> None:
    import numpy as np

    from vlcli.align.loading import notes_of
    from vlcli.store import Row, SpaceInfo, create_store

    assert notes_of(Noted("x")) == ("shortened", "cleaned")
    assert notes_of("x") == ()
    vector = np.array([1, 0], np.float32)
    row = Row("a", None, "words", "h", None, None, None, "a", {}, vector, "; ".join(notes_of(Noted("x"))))
    with create_store(tmp_path / "s", SpaceInfo("toy/space", "sha256:" + "a" * 64, 2, "toy/space")) as store:
        store.add([row])
        assert [(line.outcome, line.reason) for line in store.ledger()] == [("embedded", "shortened; cleaned")]
