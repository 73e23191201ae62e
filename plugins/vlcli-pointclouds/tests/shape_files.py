"""Files of shapes for tests: one good tetrahedron in every format, and how such files are made."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

CORNERS = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 2]], dtype=np.float64)
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
POSITIONS = CORNERS.astype("<f4").tobytes()
INDICES = FACES.astype("<u2").tobytes()


def off(vertices: str = "", faces: str = "", head: str = "OFF\n4 4 0\n") -> bytes:
    """An OFF text."""
    return (head + (vertices or rows(CORNERS)) + (faces or "".join(f"3 {a} {b} {c}\n" for a, b, c in FACES))).encode()


def rows(values: np.ndarray) -> str:
    """Numbers, a row a line."""
    return "".join(" ".join(f"{value:g}" for value in row) + "\n" for row in values)


def obj() -> bytes:
    """An OBJ text."""
    text = "".join(f"v {x:g} {y:g} {z:g}\n" for x, y, z in CORNERS)
    return (text + "".join(f"f {a} {b} {c}\n" for a, b, c in FACES + 1)).encode()


def ply(order: str = "", *, vertices: int = 4, faces: int = 4, extra: str = "", body: bytes | None = None) -> bytes:
    """A PLY file: text, or binary of an order (`<` or `>`)."""
    kind = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[order]
    head = (f"ply\nformat {kind} 1.0\n{extra}element vertex {vertices}\n"
            f"property float x\nproperty float y\nproperty float z\n"
            f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n")  # fmt: skip
    if body is None:
        body = ply_body(order)
    return head.encode() + body


def ply_body(order: str) -> bytes:
    """The rows of the tetrahedron."""
    if not order:
        return (rows(CORNERS) + "".join(f"3 {a} {b} {c}\n" for a, b, c in FACES)).encode()
    return CORNERS.astype(f"{order}f4").tobytes() + b"".join(
        b"\3" + face.astype(f"{order}i4").tobytes() for face in FACES
    )


def stl(count: int | None = None, corners: np.ndarray | None = None) -> bytes:
    """A binary STL file."""
    corners = CORNERS[FACES] if corners is None else corners
    triangles = b"".join(np.zeros(3, "<f4").tobytes() + one.astype("<f4").tobytes() + b"\0\0" for one in corners)
    return b"made by a test".ljust(80) + struct.pack("<I", len(corners) if count is None else count) + triangles


def stl_text() -> bytes:
    """An STL text."""
    text = "solid shape\n"
    for face in FACES:
        text += "facet normal 0 0 0\nouter loop\n" + "".join(
            f"vertex {row}" for row in rows(CORNERS[face]).splitlines(True)
        )
        text += "endloop\nendfacet\n"
    return (text + "endsolid shape\n").encode()


def npy(values: np.ndarray) -> bytes:
    """An NPY file."""
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


def npy_header(text: str, body: bytes = b"", version: bytes = b"\1\0") -> bytes:
    """An NPY file whose header says so."""
    return b"\x93NUMPY" + version + struct.pack("<H", len(text) + 1) + text.encode("latin-1") + b"\n" + body


def npz(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """A zip of NPY files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


def gltf_tree(**changes: Any) -> dict[str, Any]:
    """The JSON of a glTF file; top-level entries as changed, None: left out."""
    data = POSITIONS + INDICES
    tree: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "buffers": [{"byteLength": len(data), "uri": data_uri(data)}],
        "bufferViews": [{"buffer": 0, "byteLength": len(POSITIONS)},
                        {"buffer": 0, "byteOffset": len(POSITIONS), "byteLength": len(INDICES)}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
                      {"bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR"}],
    }  # fmt: skip
    tree.update(changes)
    return {key: value for key, value in tree.items() if value is not None}


def data_uri(data: bytes) -> str:
    """Bytes as an address."""
    return "data:application/octet-stream;base64," + base64.b64encode(data).decode()


def gltf(**changes: Any) -> bytes:
    """A glTF file."""
    return json.dumps(gltf_tree(**changes)).encode()


def glb(
    tree: Mapping[str, Any] | None = None,
    *,
    version: int = 2,
    length: int | None = None,
    text: bytes | None = None,
    binary: bytes | None = None,
) -> bytes:
    """A GLB file."""
    data = POSITIONS + INDICES if binary is None else binary
    if text is None:
        text = json.dumps(
            gltf_tree(buffers=[{"byteLength": len(POSITIONS + INDICES)}]) if tree is None else tree
        ).encode()
    text += b" " * (-len(text) % 4)
    data += b"\0" * (-len(data) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    if data:
        chunks += struct.pack("<II", len(data), 0x004E4942) + data
    return b"glTF" + struct.pack("<II", version, 12 + len(chunks) if length is None else length) + chunks


GOOD = {
    ".off": off(),
    ".obj": obj(),
    ".ply": ply(),
    ".stl": stl(),
    ".xyz": rows(CORNERS).encode(),
    ".pts": ("4\n" + rows(CORNERS)).encode(),
    ".npy": npy(CORNERS),
    ".npz": npz(points=npy(CORNERS)),
    ".gltf": gltf(),
    ".glb": glb(),
}
