"""At least twenty hostile files of every format: bytes, the code of the refusal, and a word of its reason."""

from __future__ import annotations

import struct
import zipfile
from typing import Any

import numpy as np
from shape_files import (
    CORNERS,
    FACES,
    GOOD,
    INDICES,
    POSITIONS,
    data_uri,
    glb,
    gltf,
    gltf_tree,
    npy,
    npy_header,
    npz,
    obj,
    off,
    ply,
    ply_body,
    rows,
    stl,
    stl_text,
)

Case = tuple[str, bytes, str, str]
BIG = 4_000_000_000
INFINITE, NAN = "inf 0 0\n", "nan 0 0\n"
OBJECTS = npy(np.array([{"a": 1}, "b"], dtype=object))

OFF: list[Case] = [
    ("empty", b"", "D114", "empty"),
    ("blank", b"\n\n  \n", "D701", "begin with OFF"),
    ("another kind", b"solid x\n", "D701", "begin with OFF"),
    ("html", b"<html></html>", "D701", "begin with OFF"),
    ("zeros", bytes(4096), "D701", "binary"),
    ("utf-16", "OFF\n1 1 1\n".encode("utf-16"), "D701", "UTF-16"),
    ("billions of vertices", b"OFF\n4000000000 0 0\n0 0 0\n", "D703", "4,000,000,000"),
    ("billions of faces", off(head=f"OFF\n4 {BIG} 0\n"), "D703", "4,000,000,000"),
    ("number of many digits", b"OFF\n" + b"9" * 5000 + b" 1 0\n", "D709", "not a count"),
    ("negative count", b"OFF\n-4 4 0\n" + rows(CORNERS).encode(), "D709", "negative"),
    ("count is no number", b"OFF\nfour 4 0\n", "D709", "not a count"),
    ("no counts", b"OFF\n", "D709", "missing"),
    ("one count", b"OFF\n4\n" + rows(CORNERS).encode(), "D709", "missing"),
    ("cut in the vertices", off()[:20], "D703", "announces"),
    ("cut in the faces", off()[:-9], "D703", "before face"),
    ("no vertices", b"OFF\n0 0 0\n", "D704", "no points"),
    ("nan", off(vertices=NAN + rows(CORNERS[1:])), "D705", "not finite"),
    ("infinite", off(vertices=INFINITE + rows(CORNERS[1:])), "D705", "not finite"),
    ("overflowing number", off(vertices="1e999 0 0\n" + rows(CORNERS[1:])), "D705", "not finite"),
    ("absurd coordinate", off(vertices="1e300 0 0\n" + rows(CORNERS[1:])), "D706", "1e+300"),
    ("all at one place", off(vertices="1 2 3\n" * 4), "D707", "one place"),
    ("vertex out of range", off(faces="3 0 1 2\n" * 3 + "3 0 1 4\n"), "D708", "vertex 4"),
    ("negative vertex", off(faces="3 0 1 2\n" * 3 + "3 0 1 -1\n"), "D708", "vertex -1"),
    ("word among numbers", off(vertices="0 0 zero\n" + rows(CORNERS[1:])), "D709", "'zero'"),
    ("ragged vertices", off(vertices="0 0 0\n1 0\n0 1 0\n0 0 1\n"), "D709", "3 belong"),
    ("two coordinates", off(vertices="0 0\n1 0\n0 1\n1 1\n"), "D709", "2 numbers"),
    ("more corners than named", off(faces="3 0 1 2\n" * 3 + "9 0 1 2\n"), "D709", "9 corners"),
    ("corner is no number", off(faces="3 0 1 2\n" * 3 + "3 0 1 x\n"), "D709", "'x'"),
    ("corner is a fraction", off(faces="3 0 1 2\n" * 3 + "3 0 1 1.5\n"), "D709", "'1.5'"),
    ("four dimensions", b"4OFF\n1 0 0\n0 0 0 1\n", "D710", "dimensions"),
    ("binary", b"OFF BINARY\n\0\0\0\1", "D710", "binary OFF"),
    ("endless line", b"OFF\n4 0 0\n" + b"1 " * 600_000, "D709", "longer"),
]

OBJ: list[Case] = [
    ("empty", b"", "D114", "empty"),
    ("comments only", b"# nothing\n", "D704", "no vertices"),
    ("groups only", b"o a\ng b\n", "D704", "no vertices"),
    ("faces only", b"f 1 2 3\n", "D704", "no vertices"),
    ("html", b"<html>\n", "D709", "<html>"),
    ("zeros", bytes(4096), "D701", "binary"),
    ("picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "D709", "belong"),
    ("utf-16", "v 0 0 0\n".encode("utf-16"), "D701", "UTF-16"),
    ("object file of a compiler", b"\x7fELF\x02\x01\x01\0\0\0\0", "D701", "binary"),
    ("two coordinates", b"v 0 0\n" + obj(), "D709", "2 numbers"),
    ("nine coordinates", b"v" + b" 1" * 9 + b"\n" + obj(), "D709", "9 numbers"),
    ("word among numbers", b"v 0 0 zero\n" + obj(), "D709", "'zero'"),
    ("nan", b"v nan 0 0\n" + obj(), "D705", "not finite"),
    ("infinite", b"v 0 -inf 0\n" + obj(), "D705", "not finite"),
    ("overflowing number", b"v 0 0 1e400\n" + obj(), "D705", "not finite"),
    ("absurd coordinate", b"v 1e30 0 0\n" + obj(), "D706", "1e+30"),
    ("one place", b"v 1 1 1\n" * 5, "D707", "one place"),
    ("one vertex", b"v 1 1 1\n", "D707", "one place"),
    ("vertex out of range", obj() + b"f 1 2 5\n", "D708", "vertex 4"),
    ("vertex far out of range", obj() + b"f 1 2 999999999999\n", "D708", "999,999,999,998"),
    ("vertex 0", obj() + b"f 0 1 2\n", "D709", "counted from 1"),
    ("too far back", obj() + b"f -1 -2 -5\n", "D709", "-5"),
    ("vertex of many digits", obj() + b"f 1 2 " + b"9" * 5000 + b"\n", "D709", "not a vertex"),
    ("vertex is a fraction", obj() + b"f 1 2 2.5\n", "D709", "'2.5'"),
    ("empty reference", obj() + b"f 1 2 /3\n", "D709", "not a vertex"),
    ("texture vertex 0", obj() + b"f 1/0 2/0 3/0\n", "D709", "texture vertex 0"),
    ("texture vertex is a word", obj() + b"f 1/a 2/a 3/a\n", "D709", "'a'"),
    ("normal of two numbers", b"vn 0 1\n" + obj(), "D709", "2 numbers"),
    ("unknown statement", obj() + b"import os\n", "D709", "'import'"),
    ("endless line", b"f " + b"1 " * 600_000, "D709", "longer"),
]

PLY: list[Case] = [
    ("empty", b"", "D114", "empty"),
    ("115 bytes that ask for 22 GiB", b"ply\nformat ascii 1.0\nelement vertex 2000000000\nproperty float x\n"
     b"property float y\nproperty float z\nend_header\n0 0 0\n", "D703", "2,000,000,000"),
    ("billions of binary vertices", ply("<", vertices=BIG), "D703", "4,000,000,000"),
    ("billions of binary faces", ply(">", faces=BIG), "D703", "4,000,000,000"),
    ("billions of something else", ply(extra=f"element edge {BIG}\nproperty int a\n"), "D703", "4,000,000,000"),
    ("no magic", b"plyx\nformat ascii 1.0\n", "D701", "begin with ply"),
    ("header alone", b"ply\n", "D703", "end_header"),
    ("endless header", b"ply\nformat ascii 1.0\n" + b"comment x\n" * 20_000 + ply()[4:], "D703", "end_header"),
    ("no format", b"ply\nelement vertex 1\nproperty float x\nend_header\n1\n", "D703", "no format"),
    ("unknown format", ply().replace(b"ascii 1.0", b"ascii 2.0"), "D710", "unknown"),
    ("middle endian", ply("<").replace(b"little", b"middle"), "D710", "unknown"),
    ("unknown type", ply().replace(b"property float x", b"property quad x"), "D709", "no property"),
    ("list counted in floats", ply().replace(b"list uchar", b"list float"), "D709", "no property"),
    ("property before element", b"ply\nformat ascii 1.0\nproperty float x\nend_header\n", "D709", "belong"),
    ("unknown statement", ply(extra="exec rm\n"), "D709", "belong"),
    ("negative count", ply(vertices=-4), "D709", "negative"),
    ("count is a word", ply().replace(b"vertex 4", b"vertex four"), "D709", "number of rows"),
    ("count of many digits", ply().replace(b"vertex 4", b"vertex " + b"9" * 5000), "D709", "number of rows"),
    ("thousands of properties", ply(extra="element a 0\n" + "property int a\n" * 2000), "D709", "properties"),
    ("no vertices", b"ply\nformat ascii 1.0\nelement face 0\nproperty list uchar int vertex_indices\nend_header\n",
     "D704", "no vertices"),
    ("zero vertices", ply(vertices=0, faces=0, body=b""), "D704", "no points"),
    ("no z", ply().replace(b"property float z\n", b"property float w\n"), "D704", "x, y and z"),
    ("a list for x", ply().replace(b"property float x", b"property list uchar float x"), "D709", "belong"),
    ("cut text", ply()[:-9], "D703", "ends before row"),
    ("cut vertices", ply("<")[:-70], "D703", "announces"),
    ("cut faces", ply("<")[:-5], "D703", "ends before"),
    ("list longer than the file", ply("<", body=ply_body("<")[:48] + b"\xff" * 52), "D703", "255 values"),
    ("negative length of a list", ply("<", body=ply_body("<")[:48] + b"\xff" * 52).replace(b"list uchar", b"list char"),
     "D703", "-1 values"),
    ("ragged text", ply(body=b"0 0 0\n1 0\n0 1 0\n0 0 1\n" + ply_body("")[24:]), "D709", "belong"),
    ("word among numbers", ply().replace(b"\n2 0 0\n", b"\n2 zero 0\n"), "D709", "'zero'"),
    ("nan", ply().replace(b"\n2 0 0\n", b"\nnan 0 0\n"), "D705", "not finite"),
    ("binary infinity", ply("<", body=b"\0\0\x80\x7f" + ply_body("<")[4:]), "D705", "not finite"),
    ("absurd coordinate", ply().replace(b"\n2 0 0\n", b"\n2e20 0 0\n"), "D706", "2e+20"),
    ("one place", ply("<", body=bytes(48) + ply_body("<")[48:]), "D707", "one place"),
    ("vertex out of range", ply().replace(b"3 1 2 3", b"3 1 2 9"), "D708", "vertex 9"),
    ("negative vertex", ply().replace(b"3 1 2 3", b"3 1 2 -3"), "D708", "vertex -3"),
    ("vertex that is not a number", ply().replace(b"3 1 2 3", b"3 1 2 nan").replace(b"uchar int", b"uchar float"),
     "D708", "vertex nan"),
    ("too many numbers", ply().replace(b"3 1 2 3", b"3 1 2 3 4"), "D709", "too many"),
]  # fmt: skip

STL: list[Case] = [
    ("empty", b"", "D114", "empty"),
    ("one byte", b"s", "D703", "header"),
    ("less than a header", b"x" * 83, "D703", "header"),
    ("header alone", b"x".ljust(80) + bytes(4), "D704", "neither"),
    ("billions of triangles", stl(count=0xFFFFFFFF), "D703", "4,294,967,295"),
    ("one triangle too many", stl(count=5), "D703", "5 triangles"),
    ("cut", stl()[:-1], "D703", "4 triangles"),
    ("zeros", bytes(1000), "D704", "neither"),
    ("ones", b"\xff" * 1000, "D703", "4,294,967,295"),
    ("spaces", b" " * 1000, "D703", "announces"),
    ("a page", b"<html>".ljust(200, b"x"), "D703", "announces"),
    ("nan", stl(corners=np.full((1, 3, 3), np.nan)), "D705", "not finite"),
    ("infinite", stl(corners=np.full((1, 3, 3), np.inf)), "D705", "not finite"),
    ("absurd coordinate", stl(corners=CORNERS[FACES] * 1e30), "D706", "2e+30"),
    ("one place", stl(corners=np.ones((4, 3, 3))), "D707", "one place"),
    ("text: nothing in it", b"solid x\nendsolid x\n", "D704", "no triangles"),
    ("text: cut", stl_text()[:-16], "D703", "endsolid"),
    ("text: name alone", b"solid", "D703", "endsolid"),
    (
        "text: four vertices in a loop",
        stl_text().replace(b"endloop", b"vertex 0 0 0\nendloop", 1),
        "D709",
        "4 vertices",
    ),
    ("text: two vertices in a loop", stl_text().replace(b"vertex 0 0 0\n", b"", 1), "D709", "2 vertices"),
    ("text: two coordinates", stl_text().replace(b"vertex 0 0 0", b"vertex 0 0", 1), "D709", "three numbers"),
    ("text: word among numbers", stl_text().replace(b"vertex 0 0 0", b"vertex 0 zero 0", 1), "D709", "zero"),
    ("text: unknown statement", stl_text().replace(b"outer loop", b"system rm", 1), "D709", "'system'"),
    ("text: nan", stl_text().replace(b"vertex 0 0 0", b"vertex 0 nan 0", 1), "D705", "not finite"),
    ("text: absurd coordinate", stl_text().replace(b"vertex 2", b"vertex 2e55"), "D706", "2e+55"),
    ("text: binary data", b"solid x\nfacet \0\n", "D701", "binary"),
    ("text: endless line", b"solid x\n" + b"vertex " * 200_000, "D709", "longer"),
    ("text: one place", stl_text().replace(b"2", b"0"), "D707", "one place"),
]


def tables(ending: str) -> list[Case]:
    """XYZ and PTS."""
    good = rows(CORNERS).encode()
    return [
        ("empty", b"", "D114", "empty"),
        ("blank", b"\n\n", "D704", "no points"),
        ("comments only", b"# a\n# b\n", "D704", "no points"),
        ("zeros", bytes(4096), "D701", "binary"),
        ("utf-16", "0 0 0\n1 1 1\n".encode("utf-16"), "D701", "UTF-16"),
        ("html", b"0 0 0\n<html>\n", "D709", "from 3 to 1"),
        ("word among numbers", good + b"0 zero 0\n", "D709", "'zero'"),
        ("ragged", good + b"0 0\n", "D709", "from 3 to 2"),
        ("ragged the other way", good + b"0 0 0 0\n", "D709", "from 3 to 4"),
        ("two columns", b"0 0\n1 1\n", "D709", "2 numbers"),
        ("nan", good + b"nan 0 0\n", "D705", "not finite"),
        ("infinite", good + b"0 inf 0\n", "D705", "not finite"),
        ("overflowing number", good + b"0 0 -1e999\n", "D705", "not finite"),
        ("absurd coordinate", good + b"1e16 0 0\n", "D706", "1e+16"),
        ("one point", b"1 2 3\n", "D707", "one place"),
        ("one place", b"1 2 3\n" * 9, "D707", "one place"),
        ("one place within rounding", b"1000000.0001 0 0\n1000000.0002 0 0\n", "D707", "one place"),
        ("endless line", b"1 " * 600_000, "D709", "longer"),
        ("hundreds of columns", b"1 " * 600, "D709", "600 numbers"),
        ("picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "D709",
         "missing" if ending == ".pts" else "convert"),
        ("hexadecimal", good + b"0x10 0 0\n", "D709", "'0x10'"),
        ("comma for a point", b"1,5 2,5 3,5\n1,0 2,0\n", "D709", "from 6 to 4"),
    ]  # fmt: skip


XYZ = [
    *tables(".xyz"),
    ("a molecule", b"3\nwater\nO 0 0 0\nH 1 0 0\nH 0 1 0\n", "D701", "molecules"),
    ("elements", b"O 0 0 0\nH 1 0 0\n", "D709", "'O'"),
    ("a head line in the middle", rows(CORNERS).encode() + b"x y z\n", "D709", "'x'"),
]
PTS = [
    *tables(".pts"),
    ("billions of points", b"4000000000\n0 0 0\n", "D703", "4,000,000,000"),
    ("more than announced", b"3\n" + rows(CORNERS).encode(), "D703", "holds 4"),
    ("fewer than announced", b"5\n" + rows(CORNERS).encode(), "D703", "5 points"),
    ("count of many digits", b"9" * 5000 + b"\n0 0 0\n", "D709", "missing"),
    ("negative count", b"-4\n" + rows(CORNERS).encode(), "D709", "missing"),
    ("two scans", (b"4\n" + rows(CORNERS).encode()) * 2, "D709", "from 3 to 1"),
]
HEAD = "{{'descr': {0}, 'fortran_order': {1}, 'shape': {2}}}"


def header(kind: str = "'<f4'", fortran: str = "False", shape: str = "(4, 3)", body: bytes = bytes(48)) -> bytes:
    """An NPY file whose header says so."""
    return npy_header(HEAD.format(kind, fortran, shape), body)


NPY: list[Case] = [
    ("empty", b"", "D114", "empty"),
    ("no magic", b"NUMPY", "D701", "NumPy"),
    ("magic alone", b"\x93NUMPY", "D710", "version none"),
    ("unknown version", npy_header("{}", version=b"\x09\0"), "D710", "version 9.0"),
    ("header cut", npy(CORNERS)[:40], "D701", "header"),
    ("pickled objects", OBJECTS, "D710", "never unpickled"),
    ("header says objects", header("'|O'"), "D710", "never unpickled"),
    ("objects in a record", header("[('a', 'O'), ('b', '<f4')]"), "D710", "never unpickled"),
    ("a call in the header", npy_header("__import__('os').system('true')"), "D701", "header"),
    ("header of brackets", npy_header("(" * 9000), "D701", "header"),
    ("header is a number", npy_header("12"), "D701", "header"),
    ("header without a shape", npy_header("{'descr': '<f4', 'fortran_order': False}"), "D701", "header"),
    ("22 GiB announced", header(shape="(2000000000, 3)"), "D703", "2,000,000,000"),
    ("shape that overflows", header(shape="(9999999999999, 9999999999999)"), "D703", "9,999,999,999,999"),
    ("negative shape", header(shape="(-4, -3)"), "D701", "impossible shape"),
    ("shape of words", header(shape="('4', '3')"), "D701", "header"),
    ("one byte short", npy(CORNERS)[:-1], "D703", "holds 95"),
    ("texts", npy(np.array([["a", "b", "c"]])), "D710", "plain numbers"),
    ("complex numbers", npy(CORNERS + 1j), "D710", "complex128"),
    ("dates", npy(np.zeros((4, 3), "M8[s]")), "D710", "plain numbers"),
    ("truth values", npy(CORNERS > 0), "D710", "bool"),
    ("records", npy(np.zeros(4, [("x", "f4"), ("y", "f4")])), "D710", "plain numbers"),
    ("one dimension", npy(np.arange(12.0)), "D710", "[12]"),
    ("no dimension", npy(np.array(1.0)), "D710", "[]"),
    ("three dimensions", npy(np.zeros((2, 4, 3))), "D710", "[2, 4, 3]"),
    ("columns", npy(np.ascontiguousarray(np.random.default_rng(0).normal(size=(3, 100)))), "D710", "transpose"),
    ("two columns", npy(CORNERS[:, :2]), "D710", "[4, 2]"),
    ("no rows", npy(np.zeros((0, 3))), "D704", "no points"),
    ("no width", header(shape="(1000000000000, 0)"), "D710", "1,000,000,000,000"),
    ("nan", npy(CORNERS * np.nan), "D705", "not finite"),
    ("absurd coordinate", npy(CORNERS * 1e300), "D706", "2e+300"),
    ("one place", npy(np.ones((5, 3))), "D707", "one place"),
]


def npz_names(count: int) -> bytes:
    """A zip of so many small arrays."""
    return npz(**{f"a{number}": b"" for number in range(count)})


def lying_npz() -> bytes:
    """A zip whose directory says that a member has 4 GB."""
    data = bytearray(npz(points=npy(CORNERS)))
    at = data.rindex(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", BIG)
    return bytes(data)


NPZ: list[Case] = [
    ("empty", b"", "D114", "empty"),
    ("no zip", b"PK\3\4" + bytes(50), "D712", "zip"),
    ("text", b"points: 0 0 0", "D712", "zip"),
    ("cut", GOOD[".npz"][:-30], "D712", "zip"),
    ("damaged member", GOOD[".npz"].replace(b"NUMPY", b"numpy"), "D712", "zip"),
    ("no member", npz(), "D710", "nothing"),
    ("no points", npz(a=npy(CORNERS), b=npy(CORNERS)), "D710", "no array named points"),
    ("a bomb", npz(zipfile.ZIP_DEFLATED, points=bytes(600_000_000 // 100) * 1), "D701", "NumPy"),
    ("directory lies", lying_npz(), "D702", "4,000,000,000"),
    ("thousands of members", npz_names(1500), "D702", "1,500"),
    ("pickled objects", npz(points=OBJECTS), "D710", "never unpickled"),
    ("a single member of objects", npz(other=OBJECTS), "D710", "never unpickled"),
    ("objects as normals", npz(points=npy(CORNERS), normals=OBJECTS), "D710", "never unpickled"),
    ("member is no array", npz(points=b"0 0 0"), "D701", "NumPy"),
    ("member announces 22 GiB", npz(points=header(shape="(2000000000, 3)")), "D703", "2,000,000,000"),
    ("nan", npz(points=npy(CORNERS * np.nan)), "D705", "not finite"),
    ("absurd coordinate", npz(xyz=npy(CORNERS * 1e40)), "D706", "2e+40"),
    ("one place", npz(points=npy(np.ones((9, 3)))), "D707", "one place"),
    ("no rows", npz(points=npy(np.zeros((0, 3)))), "D704", "no points"),
    ("two columns", npz(points=npy(CORNERS[:, :2])), "D710", "[4, 2]"),
    ("faces out of range", npz(vertices=npy(CORNERS), faces=npy(FACES + 1)), "D708", "vertex 4"),
    ("faces beyond all numbers", npz(vertices=npy(CORNERS), faces=npy(np.full((1, 3), 2**63, "u8"))), "D708", "vertex"),
    ("faces of floats", npz(vertices=npy(CORNERS), faces=npy(FACES + 0.5)), "D710", "integers"),
    ("faces of four corners", npz(vertices=npy(CORNERS), faces=npy(np.zeros((2, 4), int))), "D710", "[2, 4]"),
    ("encrypted", GOOD[".npz"].replace(b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0").replace(
        b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"), "D712", "zip"),
]  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    """The JSON of a good glTF file, one value in it changed: `accessors.0.count`."""
    tree = gltf_tree()
    place: Any = tree
    *steps, last = path.split(".")
    for step in steps:
        place = place[int(step)] if step.isdigit() else place[step]
    place[int(last) if last.isdigit() else last] = value
    return tree


TREES: list[tuple[str, dict[str, Any], str, str]] = [
    ("no version", gltf_tree(asset={}), "D710", "version"),
    ("version 1", gltf_tree(asset={"version": "1.0"}), "D710", "version"),
    ("draco", gltf_tree(extensionsRequired=["KHR_draco_mesh_compression"]), "D710", "draco"),
    ("nothing in it", gltf_tree(meshes=None, nodes=None, scenes=None), "D704", "neither"),
    ("empty scene", gltf_tree(scenes=[{"nodes": []}]), "D704", "neither"),
    ("scene that is not there", gltf_tree(scene=7), "D713", "scenes"),
    ("scene of a negative number", gltf_tree(scene=-1), "D713", "scenes"),
    ("node that is not there", gltf_tree(scenes=[{"nodes": [3]}]), "D713", "nodes"),
    ("node within itself", gltf_tree(nodes=[{"mesh": 0, "children": [0]}]), "D713", "twice"),
    ("nodes in a ring", gltf_tree(nodes=[{"children": [1]}, {"children": [0], "mesh": 0}]), "D713", "twice"),
    ("children that are no list", gltf_tree(nodes=[{"mesh": 0, "children": 5}]), "D713", "children"),
    ("matrix of three numbers", gltf_tree(nodes=[{"mesh": 0, "matrix": [1, 2, 3]}]), "D713", "matrix"),
    ("scale of words", gltf_tree(nodes=[{"mesh": 0, "scale": ["a", "b", "c"]}]), "D713", "scale"),
    ("endless number", gltf_tree(nodes=[{"mesh": 0, "scale": [10**400, 1, 1]}]), "D713", "not finite"),
    ("rotation of zeros", gltf_tree(nodes=[{"mesh": 0, "rotation": [0, 0, 0, 0]}]), "D713", "quaternion"),
    ("scale of zeros", gltf_tree(nodes=[{"mesh": 0, "scale": [0, 0, 0]}]), "D707", "one place"),
    ("absurd scale", gltf_tree(nodes=[{"mesh": 0, "scale": [1e200, 1, 1]}]), "D706", "2e+200"),
    ("scales that overflow", gltf_tree(nodes=[{"children": [1], "scale": [1e200] * 3},
                                              {"mesh": 0, "scale": [1e200] * 3}]), "D705", "not finite"),
    ("mesh that is not there", gltf_tree(nodes=[{"mesh": 4}]), "D713", "meshes"),
    ("mesh without primitives", gltf_tree(meshes=[{}]), "D713", "primitives"),
    ("no positions", gltf_tree(meshes=[{"primitives": [{"attributes": {}}]}]), "D704", "neither"),
    ("lines only", changed("meshes.0.primitives.0.mode", 1), "D704", "neither"),
    ("accessor that is not there", changed("meshes.0.primitives.0.attributes.POSITION", 9), "D713", "accessors"),
    ("accessor that is true", changed("meshes.0.primitives.0.indices", True), "D713", "accessors"),
    ("billions of positions", changed("accessors.0.count", BIG), "D702", "4,000,000,000"),
    ("more positions than bytes", changed("accessors.0.count", 1000), "D703", "1,000 values"),
    ("billions of zeros", changed("accessors.0", {"componentType": 5126, "count": BIG, "type": "VEC3", "sparse": {}}),
     "D702", "4,000,000,000"),
    ("many zeros", changed("accessors.0", {"componentType": 5126, "count": 99_999, "type": "VEC3", "sparse": {}}),
     "D710", "sparse"),
    ("numbers that are nowhere", changed("accessors.0", {"componentType": 5126, "count": 9, "type": "VEC3"}),
     "D710", "view"),
    ("negative count", changed("accessors.0.count", -4), "D713", "count"),
    ("count is a fraction", changed("accessors.0.count", 1.5), "D713", "count"),
    ("unknown type of number", changed("accessors.0.componentType", 9999), "D713", "9999"),
    ("type of number is a list", changed("accessors.0.componentType", [5126]), "D713", "a list"),
    ("positions in a plane", changed("accessors.0.type", "VEC2"), "D713", "VEC2"),
    ("indices of floats", changed("accessors.1.componentType", 5126), "D703", "12 values"),
    ("view that is not there", changed("accessors.0.bufferView", 8), "D713", "bufferViews"),
    ("view beyond its buffer", changed("bufferViews.0.byteLength", 9999), "D703", "9,999"),
    ("values that overlap", changed("bufferViews.0.byteStride", 4), "D713", "overlap"),
    ("buffer shorter than stated", changed("buffers.0.byteLength", 9999), "D703", "9,999"),
    ("buffer without a length", gltf_tree(buffers=[{"uri": data_uri(POSITIONS)}]), "D713", "length"),
    ("damaged base64", changed("buffers.0.uri", "data:;base64,!!!!"), "D713", "base64"),
    ("data that is not base64", changed("buffers.0.uri", "data:text/plain,hello"), "D713", "base64"),
    ("address on the network", changed("buffers.0.uri", "https://example.com/a.bin"), "D714", "https"),
    ("file address", changed("buffers.0.uri", "file:///etc/passwd"), "D714", "file:"),
    ("path out of the folder", changed("buffers.0.uri", "../../../../etc/passwd"), "D714", "etc"),
    ("escaped path out of the folder", changed("buffers.0.uri", "%2e%2e/%2e%2e/etc/passwd"), "D714", ".."),
    ("absolute path", changed("buffers.0.uri", "/etc/passwd"), "D714", "/etc"),
    ("buffer that is not there", changed("buffers.0.uri", "missing.bin"), "D111", "no such file"),
    ("name too long", changed("buffers.0.uri", "a" * 5000), "D113", "aaa"),
    ("index out of range", gltf_tree(buffers=[{"byteLength": 72, "uri": data_uri(POSITIONS + b"\xff\0" * 12)}]), "D708",
     "vertex 255"),
    ("nan", gltf_tree(buffers=[{"byteLength": 72, "uri": data_uri(b"\xff" * 48 + INDICES)}]), "D705", "not finite"),
]  # fmt: skip

GLTF: list[Case] = [
    ("empty", b"", "D114", "empty"),
    ("no JSON", b"{", "D713", "JSON"),
    ("a list", b"[]", "D713", "object"),
    ("a thousand brackets", b"[" * 100_000, "D713", "JSON"),
    ("not UTF-8", b'{"asset": "\xff\xfe"}', "D713", "JSON"),
    ("NaN", b'{"asset": NaN}', "D713", "NaN"),
    ("number of many digits", b'{"asset": ' + b"9" * 5000 + b"}", "D713", "JSON"),
    *((name, gltf(**{**dict.fromkeys(gltf_tree()), **tree}), code, word) for name, tree, code, word in TREES),
]
GLB: list[Case] = [
    ("empty", b"", "D114", "empty"),
    ("magic alone", b"glTF", "D703", "header"),
    ("container of version 1", glb(version=1), "D710", "version 1"),
    ("longer than the file", glb(length=BIG), "D703", "4,000,000,000"),
    ("cut", glb()[:-10], "D703", "announces"),
    ("no chunk", b"glTF" + struct.pack("<II", 2, 20) + bytes(8), "D713", "JSON chunk"),
    ("chunk longer than the file", glb()[:12] + struct.pack("<I", 0xFFFFFFF0) + glb()[16:], "D703", "chunk"),
    ("damaged JSON", glb(text=b"{{{{"), "D713", "JSON"),
    ("no binary chunk", glb(gltf_tree(buffers=[{"byteLength": 72}]), binary=b""), "D713", "nowhere"),
    ("binary chunk too short", glb(gltf_tree(buffers=[{"byteLength": 9999}])), "D703", "9,999"),
    ("second buffer nowhere", glb(gltf_tree(buffers=[{"byteLength": 72}, {"byteLength": 9}],
                                            bufferViews=[{"buffer": 1, "byteLength": 9}] * 2)), "D713", "nowhere"),
    *((name, glb(tree, binary=b""), code, word) for name, tree, code, word in TREES),
]  # fmt: skip

HOSTILE = {".off": OFF, ".obj": OBJ, ".ply": PLY, ".stl": STL, ".xyz": XYZ, ".pts": PTS, ".npy": NPY, ".npz": NPZ,
           ".gltf": GLTF, ".glb": GLB}  # fmt: skip
