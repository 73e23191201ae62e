"""XYZ and PTS: a point a line, as numbers between spaces, commas or semicolons."""

from __future__ import annotations

import numpy as np

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, bad_line, check_room, text_lines
from vlcli_pointclouds.readers.gather import Rows, colours_of, is_number
from vlcli_pointclouds.shape import Floats, Shape

ROW_BYTES = 6
UNIT_TOLERANCE = 0.05


def read_xyz(content: Content) -> Shape:
    """Points as `x y z`, `x y z nx ny nz`, `x y z r g b`, or both."""
    rows = Rows(content, "points")
    for number, line in text_lines(content):
        words = separated(line)
        if not rows.count and len(words) == 1 and is_number(words[0]):
            raise VlcliError("D701", content.where, "begins with a count, as files of molecules and PTS do",
                             "give a PTS file the ending .pts")  # fmt: skip
        if number == 1 and not any(is_number(word) for word in words):
            continue  # a head line that names the columns
        rows.add(number, words)
    return shape_of_columns(rows, "XYZ")


def read_pts(content: Content) -> Shape:
    """PTS of laser scanners (a count, then `x y z intensity r g b`), or plain rows as ShapeNet's parts have them."""
    rows = Rows(content, "points")
    announced = None
    for number, line in text_lines(content):
        words = separated(line)
        if announced is None and not rows.count and len(words) == 1:
            if not words[0].isdigit() or len(words[0]) > 18:
                raise bad_line(content, number, "the number of points is missing")
            announced = int(words[0])
            check_room(ROW_BYTES * announced - 1, len(content.data), f"{announced:,} points", content.where)
            continue
        rows.add(number, words)
    if announced is not None and rows.count != announced:
        raise VlcliError("D703", content.where, f"announces {announced:,} points and holds {rows.count:,}",
                         "the file is cut short or holds more than one scan")  # fmt: skip
    return shape_of_columns(rows, "PTS")


def separated(line: bytes) -> list[bytes]:
    """The words of a line."""
    return line.replace(b",", b" ").replace(b";", b" ").split()


def shape_of_columns(rows: Rows, format: str) -> Shape:
    """Points from rows."""
    values = rows.array()
    if rows.count and values.shape[1] < 3:
        raise VlcliError("D709", rows.content.where, f"its rows have {values.shape[1]} numbers, a point has 3",
                         "give points in space")  # fmt: skip
    return split_columns(values, format)


def split_columns(values: Floats, format: str) -> Shape:
    """`[N, 3…]` into points and what the further columns are, by their range.

    6 columns: the last three are normals when they are unit vectors, colours when they lie in 0…1, 0…255 or 0…65,535.
    4 and 7 columns: the fourth is an intensity, left out; but 7 columns with unit normals end with a part's number, as
    ShapeNet's have them. 9 columns and more: two such groups of three.
    """
    points, others = values[:, :3], values[:, 3:]
    notes: list[str] = []
    if others.shape[1] == 4 and are_normals(others[:, :3]):
        others = others[:, :3]
        notes.append("the last column, a part's number, left out")
    elif others.shape[1] in (1, 4):
        others = others[:, 1:]
        notes.append("the fourth column, an intensity, left out")
    normals = colours = None
    for start in range(0, min(others.shape[1] // 3 * 3, 6), 3):
        group = others[:, start : start + 3]
        if normals is None and are_normals(group):
            normals = group
        elif colours is None and (found := colours_of(group)) is not None:
            colours = found
        else:
            notes.append("three columns that are neither unit normals nor colours left out")
    if others.shape[1] % 3 or others.shape[1] > 6:
        notes.append("further columns left out")
    return Shape(points, normals=normals, vertex_colours=colours, format=format, notes=tuple(notes))


def are_normals(values: Floats) -> bool:
    """Whether nearly all rows are unit vectors and some component is negative or they are no plain colours."""
    if not len(values) or not np.isfinite(values).all() or np.abs(values).max() > 1 + UNIT_TOLERANCE:
        return False
    lengths = np.linalg.norm(values, axis=1)
    return bool((np.abs(lengths - 1) <= UNIT_TOLERANCE).mean() >= 0.95)
