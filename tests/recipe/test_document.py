"""Positions of keys, the text of resolved recipes, and files that mean harm."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlcli.recipe import RecipeError, load_recipe, render_recipe, render_toml
from vlcli.recipe.document import MAX_BYTES, parse_document, read_document
from vlcli.registry import Registry

text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
leaves = st.one_of(st.integers(-(2**63), 2**63 - 1), st.booleans(), text, st.floats(allow_nan=False), st.dates(),
                   st.datetimes())  # fmt: skip
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
                      max_leaves=10)  # fmt: skip
documents = st.dictionaries(text, values, max_size=5)


@given(documents)
def test_rendered_text_reads_back_as_the_same_values(document: dict[str, Any]) -> None:
    assert tomllib.loads(render_toml(document, lambda path: "clip.toml:1")) == document


@given(documents)
def test_every_key_and_element_has_the_line_where_it_stands(document: dict[str, Any]) -> None:
    rendered = render_toml(document)
    layer = parse_document(rendered, "clip.toml")
    assert layer.values == document
    lines = rendered.split("\n")

    def visit(value: Any, path: tuple[str | int, ...]) -> None:
        line = layer.origins[path].line
        assert line is not None and 1 <= line <= len(lines)
        if not isinstance(value, dict | list):
            single = render_toml({"k": value}).strip().removeprefix("k = ")
            assert single in lines[line - 1]
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in children:
            visit(child, (*path, key))

    for key, value in document.items():
        visit(value, (key,))


def test_positions_through_headers_dotted_keys_and_arrays_of_tables() -> None:
    layer = parse_document(
        'schema = 1\na.b."c d" = [\n  1,\n  { x = 2 },\n]\n[[s]]\nn = 1\n[s.o]\nk = 1\n[[s]]\nn = 2\n[[s.t]]\nu = 1\n'
        "[[s.t]]\nu = 2\n",
        "f",
    )
    lines = {path: origin.line for path, origin in layer.origins.items()}
    assert lines == {
        (): 1, ("schema",): 1, ("a",): 2, ("a", "b"): 2, ("a", "b", "c d"): 2, ("a", "b", "c d", 0): 3,
        ("a", "b", "c d", 1): 4, ("a", "b", "c d", 1, "x"): 4, ("s",): 6, ("s", 0): 6, ("s", 0, "n"): 7,
        ("s", 0, "o"): 8, ("s", 0, "o", "k"): 9, ("s", 1): 10, ("s", 1, "n"): 11, ("s", 1, "t"): 12,
        ("s", 1, "t", 0): 12, ("s", 1, "t", 0, "u"): 13, ("s", 1, "t", 1): 14, ("s", 1, "t", 1, "u"): 15,
    }  # fmt: skip


def test_windows_line_ends_and_byte_order_mark(folder: Path) -> None:
    (folder / "clip.toml").write_bytes(b"\xef\xbb\xbfschema = 1\r\n\r\nseed = 2\r\n")
    layer = read_document(Path("clip.toml"), "clip.toml")
    assert layer.values == {"schema": 1, "seed": 2}
    assert layer.origins[("seed",)].line == 3


def test_resolved_recipe_reads_back_the_same(folder: Path, registry: Registry, good: str) -> None:
    (folder / "clip.toml").write_text(good)
    recipe = load_recipe("clip.toml", registry, ["optim.weight_decay=0.1"])
    rendered = render_recipe(recipe)
    assert "temperature = 0.1  # clip.toml:19\n" in rendered
    assert "weight_decay = 0.1  # --set optim.weight_decay=0.1\n" in rendered
    assert "batch_size = 256  # default\n" in rendered
    (folder / "again.toml").write_text(rendered)
    again = load_recipe("again.toml", registry)
    assert (again.values, again.hash, again.name) == (recipe.values, recipe.hash, "clip")


def refused(file: Path | str) -> str:
    with pytest.raises(RecipeError) as caught:
        read_document(Path(file), "clip.toml")
    return str(caught.value)


def test_huge_file_is_refused_unread(folder: Path) -> None:
    with open("clip.toml", "wb") as file:
        file.truncate(50_000_000)
    remedy = "put data into files of its own and name them in the recipe"
    assert refused("clip.toml") == (
        f"error[R108] clip.toml: holds 50,000,000 bytes, a recipe may hold {MAX_BYTES:,} — {remedy}"
    )


@pytest.mark.parametrize(
    "hostile",
    [
        "a = " + "[" * 5_000 + "]" * 5_000,
        "a = " + "{b = " * 5_000 + "1" + "}" * 5_000,
        ".".join(["a"] * 100_000) + " = 1",
        "[" + ".".join(["a"] * 100_000) + "]",
        "a = " + "[" * 30 + "]" * 30,
    ],
    ids=["arrays", "inline tables", "dotted key", "header", "just too deep"],
)
def test_deep_nesting_is_refused(folder: Path, hostile: str) -> None:
    (folder / "clip.toml").write_text(hostile)
    assert refused("clip.toml") == "error[R109] clip.toml: tables or arrays are nested more than 24 deep — flatten them"


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "clip.toml").write_bytes(b"schema = 1\nname = '\xff'\n")
    assert refused("clip.toml") == "error[R107] clip.toml:2: is not UTF-8 text — save the file as UTF-8"
    (folder / "clip.toml").write_bytes(b"schema = 1\nname = 'a\0b'\n")
    assert refused("clip.toml") == (
        "error[R105] clip.toml:2: is not valid TOML: found invalid character '\\x00' at column 10"
    )


def test_what_is_no_file(folder: Path) -> None:
    assert refused("clip.toml") == "error[R106] clip.toml: no such recipe file — check the path"
    remedy = "name a recipe file that ends in .toml"
    assert refused(folder) == f"error[R107] clip.toml: is not a regular file — {remedy}"
    os.mkfifo("pipe.toml")
    assert refused("pipe.toml") == f"error[R107] clip.toml: is not a regular file — {remedy}"
    assert refused("/dev/zero") == f"error[R107] clip.toml: is not a regular file — {remedy}"
    assert refused("a\0b").startswith("error[R107] clip.toml: can not be read (")
    assert refused("x" * 5000).startswith("error[R107] clip.toml: can not be read (File name too long)")
    Path("loop.toml").symlink_to("loop.toml")
    assert refused("loop.toml").startswith("error[R107] clip.toml: can not be read (Too many levels of symbolic links)")


SLOW = ['\\"""' * 50_000, "a" * 200_000, "'''" + "x." * 90_000, "a " * 100_000, '"\\' * 90_000, "\"'" * 90_000]


@pytest.mark.parametrize("hostile", SLOW, ids=[f"slow{number}" for number in range(len(SLOW))])
def test_text_that_could_make_a_pattern_slow_is_refused(folder: Path, hostile: str) -> None:
    (folder / "clip.toml").write_text(hostile)
    assert refused("clip.toml").startswith("error[R105] clip.toml:")


def test_dots_in_strings_and_comments_are_no_long_key() -> None:
    dots = ".".join("abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")
    text = f"""schema = 1 # {dots}\na = "{dots}"\nb = '{dots}'\nc = \"\"\"\n{dots}\"\"\"\nd = '''{dots}'''\n"""
    assert parse_document(text, "f").values["c"] == dots


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(data)
    try:
        layer = read_document(file, "any.toml")
    except RecipeError as error:
        assert error.problems[0].code in ("R105", "R107", "R109")
    else:
        assert set(layer.values) <= {path[0] for path in layer.origins if path}
