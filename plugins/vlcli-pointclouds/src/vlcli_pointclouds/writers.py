"""Shapes written to files. Writing is atomic: the file is whole or the old one stays."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from vlcli.errors import VlcliError
from vlcli.runtime.files import write_atomic
from vlcli_pointclouds.sampling import colours_at
from vlcli_pointclouds.shape import Floats, Shape


def write_shape(path: Path, shape: Shape) -> None:
    """Write a shape in the format that the file's ending names.

    Raises:
        VlcliError: U702 for an ending that is not written, U703 for points where the format takes triangles only.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise VlcliError("U702", str(path), f"'{path.suffix}' files are not written", f"use {', '.join(WRITERS)}")
    if path.suffix.lower() == ".stl" and shape.faces is None:
        raise VlcliError("U703", str(path), "STL holds triangles, and there are only points", "write a .ply file")
    write_atomic(path, writer(with_vertex_colours(shape)))


def with_vertex_colours(shape: Shape) -> Shape:
    """Colours of triangles and of pictures as colours of vertices, each the mean of its triangles' corners."""
    if shape.faces is None or (shape.face_colours is None and not shape.textures):
        return shape
    chosen = np.arange(len(shape.faces))
    total, count = np.zeros_like(shape.vertices), np.zeros(len(shape.vertices))
    for corner in range(3):
        colours = colours_at(shape, chosen, np.eye(3)[corner : corner + 1])
        assert colours is not None
        np.add.at(total, shape.faces[:, corner], colours)
        count += np.bincount(shape.faces[:, corner], minlength=len(count))
    return replace(shape, vertex_colours=total / np.maximum(count, 1)[:, None], face_colours=None, textures=())


def ply_bytes(shape: Shape) -> bytes:
    """Binary PLY, with normals and colours where there are any."""
    columns: list[tuple[str, str]] = [(name, "<f4") for name in "xyz"]
    parts = [shape.vertices]
    if shape.normals is not None:
        columns += [(name, "<f4") for name in ("nx", "ny", "nz")]
        parts.append(shape.normals)
    if shape.vertex_colours is not None:
        columns += [(name, "u1") for name in ("red", "green", "blue")]
        parts.append(np.rint(np.clip(shape.vertex_colours, 0, 1) * 255))
    rows = np.empty(len(shape.vertices), dtype=columns)
    for (name, _), column in zip(columns, np.concatenate(parts, axis=1).T, strict=True):
        rows[name] = column
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    head += [f"property {'uchar' if kind == 'u1' else 'float'} {name}" for name, kind in columns]
    faces = np.empty(0 if shape.faces is None else len(shape.faces), dtype=[("count", "u1"), ("corners", "<i4", (3,))])
    if shape.faces is not None:
        faces["count"], faces["corners"] = 3, shape.faces
        head += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    return text(*head, "end_header") + rows.tobytes() + faces.tobytes()


def off_bytes(shape: Shape) -> bytes:
    """OFF; colours as COFF."""
    keyword, vertices = "OFF", lines_of(shape.vertices)
    if shape.vertex_colours is not None:
        keyword, colours = "COFF", np.rint(np.clip(shape.vertex_colours, 0, 1) * 255).astype(int)
        vertices = [
            f"{row} {red} {green} {blue} 255" for row, (red, green, blue) in zip(vertices, colours, strict=True)
        ]
    faces = [] if shape.faces is None else [f"3 {a} {b} {c}" for a, b, c in shape.faces.tolist()]
    return text(keyword, f"{len(vertices)} {len(faces)} 0", *vertices, *faces)


def obj_bytes(shape: Shape) -> bytes:
    """OBJ; colours of vertices follow their coordinates."""
    rows = shape.vertices if shape.vertex_colours is None else np.hstack([shape.vertices, shape.vertex_colours])
    faces = [] if shape.faces is None else [f"f {a} {b} {c}" for a, b, c in (shape.faces + 1).tolist()]
    normals = (
        [] if shape.normals is None or shape.faces is not None else [f"vn {row}" for row in lines_of(shape.normals)]
    )
    return text(*(f"v {row}" for row in lines_of(rows)), *normals, *faces)


def stl_bytes(shape: Shape) -> bytes:
    """Binary STL."""
    from trimesh import Trimesh

    exported: bytes = Trimesh(shape.vertices, shape.faces, process=False).export(file_type="stl")
    return exported


def xyz_bytes(shape: Shape) -> bytes:
    """A point a line, with its normal, then its colour in 0…255."""
    return text(*lines_of(columns_of(shape, 255)))


def npy_bytes(shape: Shape) -> bytes:
    """`[N, 3]`, `[N, 6]` or `[N, 9]` float32: points, normals, colours in 0…1."""
    stream = io.BytesIO()
    np.save(stream, columns_of(shape, 1).astype(np.float32), allow_pickle=False)
    return stream.getvalue()


def columns_of(shape: Shape, white: int) -> Floats:
    """Points with what goes with them."""
    parts = [shape.vertices]
    if shape.normals is not None:
        parts.append(shape.normals)
    if shape.vertex_colours is not None:
        parts.append(shape.vertex_colours * white)
    return np.concatenate(parts, axis=1)


def lines_of(rows: Floats) -> list[str]:
    """Rows as text, to 9 digits: as exact as 32-bit numbers."""
    return [" ".join(f"{value:.9g}" for value in row) for row in rows.tolist()]


def text(*lines: str) -> bytes:
    """Lines as a file."""
    return ("\n".join(lines) + "\n").encode("ascii")


WRITERS: dict[str, Callable[[Shape], bytes]] = {
    ".ply": ply_bytes,
    ".off": off_bytes,
    ".obj": obj_bytes,
    ".stl": stl_bytes,
    ".xyz": xyz_bytes,
    ".npy": npy_bytes,
}
