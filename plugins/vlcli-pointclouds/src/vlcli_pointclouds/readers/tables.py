"""XYZ and PTS: a point a line, as numbers between spaces, commas or semicolons."""

from __future__ import annotations

import io
import warnings

import numpy as np

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, bad_line, check_count, check_room, text_lines
from vlcli_pointclouds.readers.gather import colours_of, is_number
from vlcli_pointclouds.shape import Floats, Shape

ROW_BYTES = 6
MOST_COLUMNS = 64

# A head line and no rows: refused with a reason of ours.
warnings.filterwarnings("ignore", message="loadtxt: input contained no data", category=UserWarning)
UNIT_TOLERANCE = 0.05


def read_xyz(content: Content) -> Shape:
    """Points as `x y z`, `x y z nx ny nz`, `x y z r g b`, or both; a line of names may stand first."""
    number, words = first_line_of(content)
    if len(words) == 1 and is_number(words[0]):
        raise VlcliError("D701", content.where, "begins with a count, as files of molecules and PTS do",
                         "give a PTS file the ending .pts")  # fmt: skip
    named = number == 1 and not any(is_number(word) for word in words)
    return split_columns(read_rows(content, number if named else 0), "XYZ")


def read_pts(content: Content) -> Shape:
    """PTS of laser scanners (a count, then `x y z intensity r g b`), or plain rows as ShapeNet's parts have them."""
    number, words = first_line_of(content)
    if len(words) > 1:
        return split_columns(read_rows(content, 0), "PTS")
    if not words[0].isdigit() or len(words[0]) > 18:
        raise bad_line(content, number, "the number of points is missing")
    announced = int(words[0])
    check_room(ROW_BYTES * announced - 1, len(content.data), f"{announced:,} points", content.where)
    values = read_rows(content, number)
    if len(values) != announced:
        raise VlcliError("D703", content.where, f"announces {announced:,} points and holds {len(values):,}",
                         "the file is cut short or holds more than one scan")  # fmt: skip
    return split_columns(values, "PTS")


def first_line_of(content: Content) -> tuple[int, list[bytes]]:
    """The number and the words of the first line that is no comment.

    Raises:
        VlcliError: D704 without any.
    """
    number, line = next(text_lines(content), (0, b""))
    words = separated(line).split()
    if not words:
        raise VlcliError("D704", content.where, "holds no points")
    if len(words) > MOST_COLUMNS:
        raise bad_line(content, number, f"has {len(words):,} numbers, more than {MOST_COLUMNS}")
    return number, words


def separated(text: bytes) -> bytes:
    """Commas and semicolons as spaces."""
    return text.replace(b",", b" ").replace(b";", b" ")


def read_rows(content: Content, skip: int) -> Floats:
    """Rows `[N, 3…]` of numbers, after so many lines.

    Raises:
        VlcliError: D702 too many lines, D704 no row, D709 for what is no number or a row of another length.
    """
    text = separated(content.data.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n"))
    check_count(text.count(b"\n"), "lines", content.where)
    try:
        values = np.loadtxt(io.BytesIO(text), np.float64, skiprows=skip, ndmin=2, encoding="latin-1")
    except ValueError as error:
        reason = str(error).partition(";")[0].rstrip(".")
        raise VlcliError("D709", content.where, ascii(reason)[1:-1][:160], "rows are counted from 0") from error
    if not len(values):
        raise VlcliError("D704", content.where, "holds no points")
    if values.shape[1] < 3:
        raise VlcliError("D709", content.where, f"its rows have {values.shape[1]:,} numbers, a point has 3",
                         "give points in space")  # fmt: skip
    return values


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
