"""NPY and NPZ. Headers are read, checked against the bytes, and the numbers taken; nothing is ever unpickled."""

from __future__ import annotations

import ast
import io
import math
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import MOST_BYTES, MOST_ELEMENTS, Content
from vlcli_pointclouds.readers.gather import colours_of
from vlcli_pointclouds.readers.tables import split_columns
from vlcli_pointclouds.shape import Floats, Integers, Shape

POINTS = ("points", "xyz", "pos", "positions", "vertices", "verts", "pc", "pointcloud", "point_cloud", "coords",
          "coordinates", "arr_0")  # fmt: skip
NORMALS = ("normals", "normal", "norm")
COLOURS = ("colours", "colors", "rgb", "color", "colour")
FACES = ("faces", "triangles", "face")
MOST_MEMBERS = 1000
MOST_COLUMNS = 64
LONGEST_HEADER = 10_000


@dataclass(frozen=True)
class Damage(Exception):
    """Why an array can not be taken."""

    code: str
    reason: str


def read_npy(content: Content) -> Shape:
    """One array `[N, 3]`, or `[N, 4…]` whose further columns are told apart as those of XYZ files are."""
    try:
        return split_columns(rows_of(array_of(content.data)), "NPY")
    except Damage as damage:
        raise VlcliError(
            damage.code, content.where, damage.reason, "save it with numpy.save, points in rows"
        ) from damage


def read_npz(content: Content) -> Shape:
    """Arrays by name: `points` (or `vertices`, `xyz`, …), `normals`, `colors`, `faces`; or the only array there is."""
    try:
        members = members_of(content)
        name = next((name for name in POINTS if name in members), None)
        if name is None and len(members) == 1:
            name = next(iter(members))
        if name is None:
            held = ", ".join(sorted(members)[:8]) or "nothing"
            raise Damage("D710", f"has no array named points; it holds {ascii(held)[1:-1]}")
        shape = split_columns(rows_of(array_of(members[name])), "NPZ")
        normals, colours, faces = (first(members, names) for names in (NORMALS, COLOURS, FACES))
        notes = list(shape.notes)
        count = len(shape.vertices)
        for said, values in (("normals", normals), ("colours", colours)):
            if values is not None and values.shape[:1] + values.shape[1:2] != (count, 3):
                notes.append(f"{said} of shape {list(values.shape)} left out")
        return Shape(
            shape.vertices,
            faces=triangles_of(faces) if faces is not None else None,
            normals=as_floats(normals) if fits(normals, count) else shape.normals,
            vertex_colours=colours_of(as_floats(colours), colours.dtype.kind in "iu") if fits(colours, count)
            and colours is not None else shape.vertex_colours,
            format="NPZ",
            notes=tuple(notes),
        )  # fmt: skip
    except Damage as damage:
        raise VlcliError(damage.code, content.where, damage.reason, "save it with numpy.savez(points=…)") from damage


def fits(values: np.ndarray | None, count: int) -> bool:
    """Whether an array goes with so many points."""
    return values is not None and values.shape == (count, 3)


def first(members: dict[str, bytes], names: tuple[str, ...]) -> np.ndarray | None:
    """The first array of these names."""
    return next((array_of(members[name]) for name in names if name in members), None)


def members_of(content: Content) -> dict[str, bytes]:
    """The arrays of known names in a zip, or its only one, unpacked: no more bytes than its directory says."""
    try:
        with zipfile.ZipFile(io.BytesIO(content.data)) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_MEMBERS:
                raise Damage("D702", f"holds {len(entries):,} files, more than {MOST_MEMBERS:,}")
            named = {entry.filename.removesuffix(".npy").lower(): entry for entry in entries if not entry.is_dir()}
            known = {name: named[name] for name in (*POINTS, *NORMALS, *COLOURS, *FACES) if name in named}
            chosen = known or (named if len(named) == 1 else {})
            if not chosen:
                return dict.fromkeys(named, b"")
            unpacked = sum(entry.file_size for entry in chosen.values())

            if unpacked > MOST_BYTES:
                raise Damage("D702", f"unpacks to {unpacked:,} bytes, more than the limit of {MOST_BYTES:,}")
            found = {}
            for name, entry in chosen.items():
                with archive.open(entry) as member:
                    found[name] = member.read(entry.file_size + 1)
            return found
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError,
            UnicodeDecodeError) as error:  # fmt: skip
        raise Damage("D712", f"is a damaged or protected zip file ({' '.join(str(error).split())[:100]})") from error


def array_of(data: bytes) -> np.ndarray:
    """The numbers of an NPY file, without a copy."""
    if not data.startswith(b"\x93NUMPY"):
        raise Damage("D701", "is not a NumPy array: it does not begin as one")
    fields, start = header_of(data)
    kind, shape = kind_of(fields["descr"]), fields["shape"]
    if not isinstance(shape, tuple) or any(not isinstance(side, int) or side < 0 for side in shape):
        raise Damage("D701", "its NumPy header states an impossible shape")
    count, held = math.prod(shape), len(data) - start
    if count * kind.itemsize > held:
        raise Damage("D703", f"announces an array of shape {told(shape)}, {count * kind.itemsize:,} bytes, "
                     f"and holds {held:,}")  # fmt: skip
    values = np.frombuffer(data, kind, count, start)
    return values.reshape(shape, order="F" if fields["fortran_order"] else "C")


def header_of(data: bytes) -> tuple[dict[str, Any], int]:
    """The fields of an NPY header, and where the numbers begin. Source: NumPy Enhancement Proposal 1."""
    version = tuple(data[6:8])
    if version not in ((1, 0), (2, 0), (3, 0)):
        said = ".".join(map(str, version)) or "none"
        raise Damage("D710", f"is of NumPy's file version {said}, which is unknown")
    width = 2 if version == (1, 0) else 4
    start = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    if len(data) < start or start > LONGEST_HEADER:
        raise Damage("D701", "its NumPy header is cut short or damaged")
    try:
        fields = ast.literal_eval(data[8 + width : start].decode("utf-8" if version == (3, 0) else "latin-1").strip())
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise Damage("D701", "its NumPy header is damaged") from error
    if not isinstance(fields, dict) or fields.keys() != {"descr", "fortran_order", "shape"}:
        raise Damage("D701", "its NumPy header states no shape and type")
    return fields, start


def kind_of(described: Any) -> np.dtype:
    """A type of plain numbers."""
    try:
        kind = np.dtype(described) if isinstance(described, str) else np.lib.format.descr_to_dtype(described)
    except (
        TypeError,
        ValueError,
        SyntaxError,
        IndexError,
        KeyError,
        RecursionError,
        OverflowError,
        MemoryError,
    ) as error:
        raise Damage("D701", "its NumPy header states an unknown type") from error
    if kind.hasobject:
        raise Damage("D710", "holds Python objects, which are never unpickled")
    if kind.kind not in "fiu" or kind.shape or kind.itemsize > 8:
        raise Damage("D710", f"holds values of type {str(kind)[:40]}, not plain numbers")
    return kind


def told(shape: tuple[int, ...]) -> str:
    """A shape, in brackets."""
    sides = ", ".join(f"{side:,}" for side in shape[:6])
    return f"[{sides}{', …' if len(shape) > 6 else ''}]"


def rows_of(values: np.ndarray) -> Floats:
    """`[N, 3…]` as floats."""
    if values.ndim != 2 or not 3 <= values.shape[1] <= MOST_COLUMNS:
        hint = ": transpose it" if values.ndim == 2 and values.shape[0] == 3 else ""
        raise Damage("D710", f"is an array of shape {told(values.shape)}, not [points, 3]{hint}")
    if len(values) > MOST_ELEMENTS:
        raise Damage("D702", f"has {len(values):,} points, more than the limit of {MOST_ELEMENTS:,}")
    return as_floats(values[:, :9])


def as_floats(values: np.ndarray | None) -> Floats:
    """In memory order, 64 bits."""
    assert values is not None
    return np.ascontiguousarray(values, dtype=np.float64)


def triangles_of(values: np.ndarray) -> Integers:
    """`[F, 3]` indices."""
    if values.ndim != 2 or values.shape[1] != 3 or values.dtype.kind not in "iu":
        raise Damage("D710", f"its faces are {values.dtype} of shape {told(values.shape)}, not integers [faces, 3]")
    if len(values) > MOST_ELEMENTS:
        raise Damage("D702", f"has {len(values):,} triangles, more than the limit of {MOST_ELEMENTS:,}")
    if values.dtype == np.uint64 and values.size and values.max() > 2**62:
        raise Damage("D708", f"a face names vertex {int(values.max()):,}")
    return values.astype(np.int64)
