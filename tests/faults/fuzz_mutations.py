"""Hypothesis strategies that damage valid files: bytes anywhere, and values inside a JSON document."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

EXTREMES = (
    b"\x00", b"\xff\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\x00" * 8, b"\x80\x00\x00\x00",
    b"\xfe\xff", b"\xef\xbb\xbf", b"\n", b"\r\n", b'"', b"'", b"\\", b"{", b"[" * 2000, b"{" * 2000, b"]", b"=", b",",
    b"99999999999999999999", b"-1", b"1e999", b"nan", b"../../../etc/passwd", b"/dev/zero", b"\x1b[2J", b"\xc3\x28",
    b"\\u0000", b"__class__", b"$(id)", b"%n%s", b"A" * 5000,
)  # fmt: skip
"""Byte strings that parsers have stumbled over."""

PLACE = st.integers(0, 1 << 16)
LENGTH = st.one_of(st.integers(1, 16), st.integers(1, 1 << 12))
CHANGE = st.one_of(
    st.tuples(st.just("flip"), PLACE, st.integers(1, 255)),
    st.tuples(st.just("insert"), PLACE, st.sampled_from(EXTREMES)),
    st.tuples(st.just("overwrite"), PLACE, st.sampled_from(EXTREMES)),
    st.tuples(st.just("cut"), PLACE, LENGTH),
    st.tuples(st.just("repeat"), PLACE, LENGTH, st.integers(2, 40)),
    st.tuples(st.just("end"), PLACE),
    st.tuples(st.just("splice"), PLACE, st.integers(0, 100), PLACE, LENGTH),
)


def mutated(originals: Sequence[bytes]) -> st.SearchStrategy[tuple[int, bytes]]:
    """The number of the original that was taken, and its bytes after 0 to 6 changes."""

    def build(number: int, changes: list[tuple[Any, ...]]) -> tuple[int, bytes]:
        data = originals[number]
        for change in changes:
            data = apply(data, change, originals)
        return number, data

    return st.builds(build, st.integers(0, len(originals) - 1), st.lists(CHANGE, max_size=6))


def apply(data: bytes, change: tuple[Any, ...], originals: Sequence[bytes]) -> bytes:
    """One change; places are taken relative to the length, so that every change reaches into every file."""
    kind, place = change[0], change[1] * len(data) // (1 << 16)
    if kind == "flip" and data:
        place = min(place, len(data) - 1)
        return data[:place] + bytes([data[place] ^ change[2]]) + data[place + 1 :]
    if kind == "insert":
        return data[:place] + change[2] + data[place:]
    if kind == "overwrite":
        return data[:place] + change[2] + data[place + len(change[2]) :]
    if kind == "cut":
        return data[:place] + data[place + change[2] :]
    if kind == "repeat":
        part = data[place : place + change[2]]
        return data[:place] + part * change[3] + data[place + change[2] :]
    if kind == "end":
        return data[:place]
    if kind == "splice":
        other = originals[change[2] % len(originals)]
        start = change[3] * len(other) // (1 << 16)
        return data[:place] + other[start : start + change[4]] + data[place:]
    return data


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=40),
    st.sampled_from(["../../x", "/etc/passwd", "os:system", "core/x", "\0", "A" * 10_000, "sha256:" + "0" * 64, ""]),
    st.sampled_from([0, -1, 1, 2**31, 2**63, 2**64, 10**9, 1e308]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=12), inner, max_size=4)),
    max_leaves=8,
)


def mutated_json(document: Any) -> st.SearchStrategy[bytes]:
    """A JSON document in which 1 to 3 values were replaced, removed or added somewhere."""
    places = list(paths_of(document))
    change = st.tuples(
        st.sampled_from(places), st.sampled_from(["replace", "remove", "add"]), st.text(max_size=8), VALUES
    )

    def build(changes: list[tuple[Any, ...]]) -> bytes:
        result = copy.deepcopy(document)
        for path, kind, key, value in changes:
            result = changed(result, path, kind, key, value)
        return json.dumps(result).encode()

    return st.builds(build, st.lists(change, min_size=1, max_size=3))


def paths_of(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All paths to values in a document, the root first."""
    found = [path]
    if isinstance(document, dict):
        for key, value in document.items():
            found += paths_of(value, (*path, key))
    if isinstance(document, list):
        for index, value in enumerate(document):
            found += paths_of(value, (*path, index))
    return found


def changed(document: Any, path: tuple[Any, ...], kind: str, key: str, value: Any) -> Any:
    """The document with one change; a path that an earlier change took away changes nothing."""
    if not path:
        if kind == "add" and isinstance(document, dict):
            return document | {key: value}
        return value if kind == "replace" else document
    inner, head = document, path[-1]
    for step in path[:-1]:
        if not isinstance(inner, dict | list) or (isinstance(inner, list) != isinstance(step, int)):
            return document
        if (isinstance(inner, dict) and step not in inner) or (isinstance(inner, list) and step >= len(inner)):
            return document
        inner = inner[step]
    if isinstance(inner, dict):
        if kind == "remove":
            inner.pop(head, None)
        elif kind == "add":
            inner[key] = value
        else:
            inner[head] = value
    elif isinstance(inner, list) and isinstance(head, int) and head < len(inner):
        if kind == "remove":
            del inner[head]
        else:
            inner[head] = value
    return document
