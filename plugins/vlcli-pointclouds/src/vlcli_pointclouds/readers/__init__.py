"""Readers of point and mesh files. Each checks what a header announces against the bytes there before it allocates."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from vlcli.data.files import check_file
from vlcli.data.names import printable
from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, read_content
from vlcli_pointclouds.shape import Shape

READERS = {
    ".off": "off:read_off",
    ".obj": "obj:read_obj",
    ".ply": "ply:read_ply",
    ".stl": "stl:read_stl",
    ".xyz": "tables:read_xyz",
    ".pts": "tables:read_pts",
    ".txt": "tables:read_pts",
    ".npy": "arrays:read_npy",
    ".npz": "arrays:read_npz",
    ".gltf": "gltf:read_gltf",
    ".glb": "gltf:read_gltf",
}
"""Of each ending, `"module:function"`. `.txt` is read where a data set names it (ModelNet's and ShapeNet's points)."""
MAGIC = ((b"ply", ".ply"), (b"glTF", ".glb"), (b"\x93NUMPY", ".npy"), (b"PK\x03\x04", ".npz"))
"""First bytes that decide more surely than a file's name."""


def read_shape(path: Path) -> Shape:
    """The points or the mesh in a file, `.gz` of it included.

    Raises:
        VlcliError: D111-D115 for the file itself, D701-D716 for what it holds.
    """
    check_file(path)
    where = printable(path)
    try:
        content = read_content(path, where)
        return reader_of(content)(content)
    except MemoryError as error:
        raise VlcliError(
            "D702", where, "asks for more memory than can be had", "free memory, or thin it out"
        ) from error


def reader_of(content: Content) -> Callable[[Content], Shape]:
    """The reader for a file: by its first bytes, else by its name."""
    ending = next((ending for magic, ending in MAGIC if content.data.startswith(magic)), content.ending)
    if ending not in READERS:
        raise VlcliError("D701", content.where, f"is not a point cloud or mesh: nothing reads '{content.ending}'",
                         f"known: {', '.join(READERS)}")  # fmt: skip
    module, _, name = READERS[ending].partition(":")
    reader: Callable[[Content], Shape] = getattr(import_module(f"vlcli_pointclouds.readers.{module}"), name)
    return reader
