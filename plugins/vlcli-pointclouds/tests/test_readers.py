"""Readers: every format gives the same shape, and what other programs write is read as they read it."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from shape_files import CORNERS, FACES, GOOD, data_uri, gltf_tree, npy, npz, obj, off, ply, rows, stl_text
from vlcli_pointclouds.cloud import from_shape, normalise
from vlcli_pointclouds.options import CloudOptions, options_from
from vlcli_pointclouds.readers import read_shape
from vlcli_pointclouds.shape import Shape
from vlcli_pointclouds.turning import turn_up
from vlcli_pointclouds.writers import WRITERS, write_shape

from vlcli.errors import VlcliError

MESHES = (".off", ".obj", ".ply", ".stl", ".gltf", ".glb")


def read(folder: Path, name: str, data: bytes) -> Shape:
    (folder / name).write_bytes(data)
    return read_shape(folder / name)


def corners_of(shape: Shape) -> np.ndarray:
    """Corners of all triangles, `[F, 3, 3]`."""
    assert shape.faces is not None
    return shape.vertices[shape.faces]


@pytest.mark.parametrize("ending", GOOD)
def test_one_shape_in_every_format(tmp_path: Path, ending: str) -> None:
    shape = read(tmp_path, f"a{ending}", GOOD[ending])
    assert not shape.notes and shape.format
    if ending in MESHES:
        assert np.array_equal(corners_of(shape), CORNERS[FACES])
    else:
        assert shape.faces is None and np.array_equal(shape.vertices, CORNERS)
    if ending not in (".npz", ".gltf", ".glb"):
        packed = read(tmp_path, f"a{ending}.gz", gzip.compress(GOOD[ending]))
        assert np.array_equal(packed.vertices, shape.vertices)


@pytest.mark.parametrize("data", [ply("<"), ply(">"), stl_text()])
def test_other_kinds_of_ply_and_stl(tmp_path: Path, data: bytes) -> None:
    name = "a.stl" if data.startswith(b"solid") else "a.ply"
    assert np.array_equal(corners_of(read(tmp_path, name, data)), CORNERS[FACES])


def test_content_goes_before_the_name(tmp_path: Path) -> None:
    assert read(tmp_path, "a.off", ply("<")).format == "binary PLY"
    assert read(tmp_path, "a.ply", GOOD[".glb"]).format == "GLB"
    assert read(tmp_path, "a.xyz", GOOD[".npy"]).format == "NPY"


@pytest.mark.parametrize("encoding", ["binary", "ascii"])
@pytest.mark.parametrize("colours", [True, False])
def test_meshes_that_trimesh_writes(tmp_path: Path, encoding: str, colours: bool) -> None:
    mesh = trimesh.creation.torus(1, 0.3, major_sections=12, minor_sections=8)
    if colours:
        mesh.visual.vertex_colors = np.random.default_rng(0).integers(0, 256, (len(mesh.vertices), 4), dtype=np.uint8)
    binary = encoding == "binary"
    mesh.export(tmp_path / "a.ply", encoding=encoding)
    mesh.export(tmp_path / "a.stl", file_type="stl" if binary else "stl_ascii")
    mesh.export(tmp_path / "a.obj")
    mesh.export(tmp_path / "a.off")
    mesh.export(tmp_path / "a.glb")
    for name in ("a.ply", "a.stl", "a.obj", "a.off", "a.glb"):
        shape = read_shape(tmp_path / name)
        assert np.allclose(corners_of(shape), mesh.triangles, atol=1e-5), name
        if colours and name == "a.ply":
            assert shape.vertex_colours is not None
            assert np.allclose(shape.vertex_colours, mesh.visual.vertex_colors[:, :3] / 255)
        assert not colours or name in ("a.stl", "a.off") or shape.vertex_colours is not None


def test_ply_as_it_is_found(tmp_path: Path) -> None:
    """Polygons of several sizes, several lists, other tables, normals, colours of faces, comments that mislead."""
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 1.5, 0]])
    polygons = [[0, 1, 2, 3], [3, 2, 4], [0, 1]]
    head = (
        "ply\nformat {} 1.0\ncomment made by a test\ncomment element vertex 9\nobj_info nothing\nelement edge 2\n"
        "property int vertex1\nproperty int vertex2\nelement vertex 5\nproperty double x\nproperty double y\n"
        "property double z\nproperty float nx\nproperty float ny\nproperty float nz\nproperty uchar red\n"
        "property uchar green\nproperty uchar blue\nproperty short quality\nelement face 3\nproperty uchar flags\n"
        "property list uchar int vertex_index\nproperty list ushort float texcoord\nproperty uchar red\n"
        "property uchar green\nproperty uchar blue\nend_header\n"
    )
    for kind, order in (("ascii", ""), ("binary_little_endian", "<"), ("binary_big_endian", ">")):

        def put(code: str, *values: float, order: str = order) -> bytes:
            return struct.pack(order + code, *values) if order else b"".join(b"%g " % value for value in values)

        line = b"" if order else b"\n"
        body = put("ii", 0, 1) + line + put("ii", 1, 2) + line
        for point in points:
            body += put("ddd", *point) + put("fff", 0, 0, 1) + put("BBB", 255, 0, 0) + put("h", -3) + line
        for number, polygon in enumerate(polygons):
            body += put("B", 7) + put("B", len(polygon)) + put(f"{len(polygon)}i", *polygon)
            body += put("H", 2 * len(polygon)) + put(f"{2 * len(polygon)}f", *range(2 * len(polygon)))
            body += put("BBB", 0, 255 * number // 2, 0) + line
        shape = read(tmp_path, "a.ply", head.format(kind).encode() + body)
        assert np.array_equal(shape.vertices, points)
        assert np.array_equal(shape.faces, [[0, 1, 2], [0, 2, 3], [3, 2, 4]])
        assert shape.normals is not None and np.array_equal(shape.normals, np.tile([0, 0, 1], (5, 1)))
        assert shape.vertex_colours is not None and np.array_equal(shape.vertex_colours, np.tile([1, 0, 0], (5, 1)))
        assert shape.face_colours is not None
        assert np.allclose(shape.face_colours[:, 1], [0, 0, 127 / 255])
        assert shape.notes == ("1 faces of fewer than three corners left out",)


def test_off_as_it_is_found(tmp_path: Path) -> None:
    """Counts glued to the keyword, comments, polygons, colours of vertices and of faces, carriage returns."""
    glued = off(head="OFF4 4 0\n")
    assert np.array_equal(corners_of(read(tmp_path, "a.off", glued)), CORNERS[FACES])
    assert read(tmp_path, "b.off", b"# one\nOFF # two\n\n4 4 6 # three\n" + off(head="")).faces is not None
    assert read(tmp_path, "c.off", off().replace(b"\n", b"\r\n")).faces is not None
    assert read(tmp_path, "d.off", off().replace(b"\n", b"\r")).faces is not None
    square = read(tmp_path, "e.off", b"COFF\n4 2 0\n0 0 0 255 0 0 255\n1 0 0 0 255 0 255\n1 1 0 0 0 255 255\n"
                  b"0 1 0 0 0 0 255\n4 0 1 2 3 0 0 255\n3 0 1 2 255 0 0\n")  # fmt: skip
    assert np.array_equal(square.faces, [[0, 1, 2], [0, 2, 3], [0, 1, 2]])
    assert square.vertex_colours is not None and np.array_equal(square.vertex_colours[:3], np.eye(3))
    assert square.face_colours is not None
    assert np.array_equal(square.face_colours, [[0, 0, 1], [0, 0, 1], [1, 0, 0]])
    normals = read(
        tmp_path, "f.off", b"NOFF\n3 1 0\n" + b"".join(b"%d %d 0 0 0 1\n" % (n, n * n) for n in range(3)) + b"3 0 1 2\n"
    )
    assert normals.normals is not None and np.array_equal(normals.normals, np.tile([0, 0, 1], (3, 1)))
    assert read(tmp_path, "g.off", b"OFF\n2 1 0\n0 0 0\n1 1 1\n2 0 1\n").notes


def test_obj_as_it_is_found(tmp_path: Path) -> None:
    """References from the end, texture vertices, normals, groups, continued lines, colours, points alone."""
    text = (b"\xef\xbb\xbfo thing\nv 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 1 1 0 0 0 1\nv 0 1 0 1 1 1\nvt 0 0\nvn 0 0 1\n"
            b"g side\nf 1/1/1 2/1/1 \\\n3/1/1 4/1/1\ns off\nf -4//-1 -3//-1 -1//-1\nl 1 2\n")  # fmt: skip
    shape = read(tmp_path, "a.obj", text)
    assert np.array_equal(shape.faces, [[0, 1, 2], [0, 2, 3], [0, 1, 3]])
    assert shape.vertex_colours is not None and np.array_equal(shape.vertex_colours[0], [1, 0, 0])
    assert shape.notes == ("1 lines, points, curves and surfaces left out",)
    cloud = read(tmp_path, "b.obj", b"v 0 0 0\nv 1 2 3\nvn 0 0 1\nvn 0 1 0\n")
    assert cloud.faces is None and cloud.normals is not None


def test_obj_materials(tmp_path: Path) -> None:
    """Colours of materials, and a picture: its upper half is red, its lower half blue."""
    from PIL import Image

    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4, :, 0], picture[4:, :, 2] = 255, 255
    Image.fromarray(picture).save(tmp_path / "a picture.png")
    Image.fromarray(picture).save(tmp_path / "paint.png")
    (tmp_path / "a.mtl").write_text("newmtl leaf\nKd 0 0.5 0\nnewmtl paint\nKd 1 1 1\nmap_Kd -s 1 1 1 paint.png\n")
    text = obj().decode().replace("f ", "usemtl leaf\nf ", 1)
    text += "vt 0.5 0.1\nvt 0.5 0.9\nusemtl paint\nf 1/1 2/1 3/1\nf 1/2 2/2 3/2\nusemtl other\nf 1 2 3\n"
    shape = read(tmp_path, "a.obj", b"mtllib a.mtl\n" + text.encode())
    assert not shape.notes and shape.face_colours is not None
    assert np.array_equal(shape.face_colours[0], [0, 0.5, 0])
    from vlcli_pointclouds.sampling import colours_at

    found = colours_at(shape, np.arange(7), np.full((1, 3), 1 / 3))
    assert found is not None
    assert np.allclose(found, [[0, 0.5, 0]] * 4 + [[0, 0, 1], [1, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("text", "normals", "colours", "notes"),
    [
        ("0 0 0\n1 2 3\n", None, None, 0),
        ("0, 0, 0\n1, 2, 3\n", None, None, 0),
        ("x;y;z\n0;0;0\n1;2;3\n", None, None, 0),
        ("0 0 0 17\n1 2 3 18\n", None, None, 1),
        ("0 0 0 0 0 1\n1 2 3 0 -1 0\n", [[0, 0, 1], [0, -1, 0]], None, 0),
        ("0 0 0 255 0 0\n1 2 3 0 51 0\n", None, [[1, 0, 0], [0, 0.2, 0]], 0),
        ("0 0 0 1 0.5 0.5\n1 2 3 0 0.2 0\n", None, [[1, 0.5, 0.5], [0, 0.2, 0]], 0),
        ("0 0 0 65535 0 0\n1 2 3 0 13107 0\n", None, [[1, 0, 0], [0, 0.2, 0]], 0),
        ("0 0 0 9 255 0 0\n1 2 3 9 0 51 0\n", None, [[1, 0, 0], [0, 0.2, 0]], 1),
        ("0 0 0 0 0 1 255 0 0\n1 2 3 0 1 0 0 51 0\n", [[0, 0, 1], [0, 1, 0]], [[1, 0, 0], [0, 0.2, 0]], 0),
        ("0 0 0 255 0 0 0 0 1\n1 2 3 0 51 0 0 1 0\n", [[0, 0, 1], [0, 1, 0]], [[1, 0, 0], [0, 0.2, 0]], 0),
        ("0 0 0 -5 7 90000\n1 2 3 4 5 6\n", None, None, 1),
        ("0 0 0 0 0 1 255 0 0 4 4\n1 2 3 0 1 0 0 51 0 4 4\n", [[0, 0, 1], [0, 1, 0]], [[1, 0, 0], [0, 0.2, 0]], 1),
    ],
)
def test_columns(
    tmp_path: Path, text: str, normals: list[list[float]] | None, colours: list[list[float]] | None, notes: int
) -> None:
    for name, data in (("a.xyz", text), ("a.pts", text if text[0] != "x" else text[6:])):
        shape = read(tmp_path, name, data.encode())
        assert np.array_equal(shape.vertices, [[0, 0, 0], [1, 2, 3]])
        for found, wanted in ((shape.normals, normals), (shape.vertex_colours, colours)):
            assert (found is None) == (wanted is None)
            assert wanted is None or (found is not None and np.allclose(found, wanted))
        assert len(shape.notes) == notes
    if text[0] != "x":
        array = np.array([[float(word) for word in line.replace(",", " ").split()] for line in text.splitlines()])
        shape = read(tmp_path, "a.npy", npy(array))
        assert (shape.normals is None, shape.vertex_colours is None) == (normals is None, colours is None)


def test_npy_and_npz(tmp_path: Path) -> None:
    """Orders, sizes and ends of numbers; names of arrays; faces, normals, colours."""
    for kind in ("<f4", ">f8", "<i2", ">u4", "|u1", "<f2"):
        assert np.array_equal(read(tmp_path, "a.npy", npy(CORNERS.astype(kind))).vertices, CORNERS)
    assert np.array_equal(read(tmp_path, "a.npy", npy(np.asfortranarray(CORNERS))).vertices, CORNERS)
    for name in ("points", "xyz", "pos", "arr_0", "anything"):
        assert len(read(tmp_path, "a.npz", npz(**{name: npy(CORNERS)})).vertices) == 4
    whole = npz(zipfile.ZIP_DEFLATED, Vertices=npy(CORNERS), faces=npy(FACES), colors=npy(np.full((4, 3), 51, "u1")),
                normals=npy(np.tile([0.0, 0, 1], (4, 1))), label=npy(np.array(["x"])))  # fmt: skip
    shape = read(tmp_path, "a.npz", whole)
    assert np.array_equal(corners_of(shape), CORNERS[FACES])
    assert shape.vertex_colours is not None and np.allclose(shape.vertex_colours, 0.2)
    assert shape.normals is not None
    dark = read(
        tmp_path, "a.npz", npz(points=npy(CORNERS), rgb=npy(np.ones((4, 3), np.uint8)), normals=npy(CORNERS[:2]))
    )
    assert dark.vertex_colours is not None and np.allclose(dark.vertex_colours, 1 / 255)
    assert len(dark.notes) == 1


def test_gltf_scene(tmp_path: Path) -> None:
    """Nodes in nodes, matrices, a mesh used twice, and a mirror that turns the triangles."""
    move = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 10, 0, 0, 1]
    nodes = [{"children": [1, 2], "scale": [2, 2, 2]}, {"mesh": 0, "matrix": move},
             {"mesh": 0, "translation": [0, 5, 0], "rotation": [0, 0, 0.7071067811865476, 0.7071067811865476],
              "scale": [-1, 1, 1]}]  # fmt: skip
    shape = read(tmp_path, "a.gltf", json.dumps(gltf_tree(nodes=nodes)).encode())
    turned = np.stack([-CORNERS[:, 1], -CORNERS[:, 0] + 5, CORNERS[:, 2]], axis=1)
    wanted = 2 * np.concatenate([CORNERS[FACES] + [10, 0, 0], turned[FACES[:, ::-1]]])
    found = corners_of(shape)
    assert all(np.isclose(found, one).all(axis=(1, 2)).sum() == 1 for one in wanted) and len(found) == len(wanted)
    (tmp_path / "scene.gltf").write_bytes((tmp_path / "a.gltf").read_bytes())
    mesh = trimesh.load(tmp_path / "scene.gltf", force="mesh", process=False)
    assert np.isclose(mesh.area, trimesh.Trimesh(shape.vertices, shape.faces, process=False).area)


def test_gltf_strips_points_and_buffers_beside(tmp_path: Path) -> None:
    from shape_files import INDICES, POSITIONS

    (tmp_path / "part one.bin").write_bytes(POSITIONS + INDICES)
    beside = [{"byteLength": 72, "uri": "part%20one.bin"}]
    shape = read(tmp_path, "a.gltf", json.dumps(gltf_tree(buffers=beside)).encode())
    assert np.array_equal(corners_of(shape), CORNERS[FACES])
    strip = {"attributes": {"POSITION": 0}, "mode": 5}
    shape = read(tmp_path, "a.gltf", json.dumps(gltf_tree(meshes=[{"primitives": [strip]}])).encode())
    assert shape.faces is not None and {frozenset(face) for face in shape.faces.tolist()} == {
        frozenset((0, 1, 2)), frozenset((1, 2, 3))}  # fmt: skip
    fan = gltf_tree(meshes=[{"primitives": [strip, {"attributes": {"POSITION": 0}, "mode": 6}]}])
    assert any("fans" in note for note in read(tmp_path, "a.gltf", json.dumps(fan).encode()).notes)
    points = gltf_tree(meshes=[{"primitives": [{"attributes": {"POSITION": 0}, "mode": 0}]}])
    shape = read(tmp_path, "a.gltf", json.dumps(points).encode())
    assert shape.faces is None and np.array_equal(shape.vertices, CORNERS)


def test_gltf_colours(tmp_path: Path) -> None:
    """Base colours, colours of vertices as bytes, an embedded picture."""
    import io

    from PIL import Image
    from shape_files import INDICES, POSITIONS
    from vlcli_pointclouds.sampling import colours_at

    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (255, 0, 0)).save(stream, "PNG")
    uv = np.full((4, 2), 0.5, "<f4").tobytes()
    data = POSITIONS + INDICES + uv + bytes([0, 255, 0, 255] * 4)
    views = [{"buffer": 0, "byteOffset": start, "byteLength": length}
             for start, length in ((0, 48), (48, 24), (72, 32), (104, 16))]  # fmt: skip
    accessors = gltf_tree()["accessors"]
    accessors += [{"bufferView": 2, "componentType": 5126, "count": 4, "type": "VEC2"},
                  {"bufferView": 3, "componentType": 5121, "count": 4, "type": "VEC4", "normalized": True}]  # fmt: skip
    picture = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    blue = {"pbrMetallicRoughness": {"baseColorFactor": [0, 0, 1, 1]}}
    both = [{"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 0},
            {"attributes": {"POSITION": 0, "TEXCOORD_0": 2}, "indices": 1, "material": 1},
            {"attributes": {"POSITION": 0, "COLOR_0": 3}, "indices": 1}]  # fmt: skip
    tree = gltf_tree(buffers=[{"byteLength": len(data), "uri": data_uri(data)}], bufferViews=views, accessors=accessors,
                     meshes=[{"primitives": both}], materials=[picture, blue], textures=[{"source": 0}],
                     images=[{"uri": data_uri(stream.getvalue())}])  # fmt: skip
    shape = read(tmp_path, "a.gltf", json.dumps(tree).encode())
    assert not shape.notes
    found = colours_at(shape, np.arange(12), np.full((1, 3), 1 / 3))
    assert found is not None
    assert np.allclose(found, [[1, 0, 0]] * 4 + [[0, 0, 1]] * 4 + [[0, 1, 0]] * 4)
    cloud = from_shape(shape)
    assert cloud.colours is not None and {tuple(row) for row in np.rint(cloud.colours)} == {
        (1, 0, 0),
        (0, 0, 1),
        (0, 1, 0),
    }


@pytest.mark.parametrize("ending", WRITERS)
def test_written_and_read(tmp_path: Path, ending: str) -> None:
    random = np.random.default_rng(0)
    mesh = Shape(
        random.normal(size=(30, 3)) * 7, random.integers(0, 30, (50, 3)), vertex_colours=random.random((30, 3))
    )
    cloud = Shape(mesh.vertices, normals=np.tile([0.6, 0, -0.8], (30, 1)), vertex_colours=mesh.vertex_colours)
    for shape in (mesh, cloud):
        if ending == ".stl" and shape.faces is None:
            with pytest.raises(VlcliError, match="U703"):
                write_shape(tmp_path / "a.stl", shape)
            continue
        write_shape(tmp_path / f"a{ending}", shape)
        found = read_shape(tmp_path / f"a{ending}")
        if ending == ".stl":
            assert np.allclose(corners_of(found), corners_of(shape), rtol=1e-6)
            continue
        assert np.allclose(found.vertices, shape.vertices, rtol=1e-6)
        if ending in MESHES:
            assert (found.faces is None) == (shape.faces is None)
            assert shape.faces is None or np.array_equal(found.faces, shape.faces)
        assert found.vertex_colours is not None and np.allclose(found.vertex_colours, shape.vertex_colours, atol=0.003)
        if shape.normals is not None and ending not in (".off",):
            assert found.normals is not None and np.allclose(found.normals, shape.normals, atol=1e-6)
    with pytest.raises(VlcliError, match="U702"):
        write_shape(tmp_path / "a.foo", mesh)


def test_sampling_is_uniform_and_of_the_content(tmp_path: Path) -> None:
    """A small and a large square: points by area, on the surface; the same in another format."""
    large = np.array([[0.0, 0, 0], [3, 0, 0], [3, 3, 0], [0, 3, 0]])
    vertices = np.concatenate([large, large / 3 + [10, 0, 0]])
    shape = Shape(vertices, np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]]))
    cloud = from_shape(shape, points=20_000)
    points = cloud.points * cloud.scale + np.array(cloud.centre)
    assert abs((points[:, 0] > 5).mean() - 0.1) < 0.01
    inside = points[points[:, 0] < 5]
    assert np.allclose(inside.mean(axis=0), [1.5, 1.5, 0], atol=0.05)
    assert np.allclose(inside.var(axis=0), [0.75, 0.75, 0], atol=0.03)
    assert np.abs(points[:, 2]).max() < 1e-5
    assert cloud.normals is not None and np.allclose(np.abs(cloud.normals), [0, 0, 1])
    first, second = points[:2000, 0], points[-2000:, 0]
    assert abs(first.mean() - second.mean()) < 0.3  # any part of the points is a sample of all
    write_shape(tmp_path / "a.off", shape)
    write_shape(tmp_path / "a.ply", shape)
    clouds = [from_shape(read_shape(tmp_path / name)) for name in ("a.off", "a.ply")]
    assert clouds[0].digest() == clouds[1].digest() == from_shape(shape).digest()
    assert repr(clouds[0]).startswith("PointCloud(8,192 points, 4 triangles, normals, ")


def test_clouds_are_centred_and_scaled() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(20_000, 3)) * 3 + [500_000, 4_000_000, 12]
    cloud = from_shape(Shape(values), points=1024)
    assert len(cloud) == 1024 and cloud.faces is None
    assert np.allclose(cloud.points.mean(axis=0), 0, atol=1e-6)
    assert np.isclose(np.linalg.norm(cloud.points, axis=1).max(), 1)
    back = cloud.points * cloud.scale + np.array(cloud.centre)
    assert np.abs(back[:, None] - values[None, :64]).sum(axis=2).min(axis=0).min() < 1e-3
    centred = values - values.mean(axis=0)
    assert np.allclose(normalise(values), centred / np.linalg.norm(centred, axis=1).max(), atol=1e-6)
    few = from_shape(Shape(values[:5]))
    assert len(few) == 5
    line = from_shape(Shape(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]])))
    assert line.faces is None and len(line) == 3 and "no area" in line.notes[0]
    flat = from_shape(Shape(values[:9], normals=np.zeros((9, 3))))
    assert flat.normals is None and "normals" in flat.notes[0]
    tiny, huge = np.eye(3) * 1e-100, np.eye(3) * 1e14
    for scaled in (tiny, huge):
        assert np.isclose(np.linalg.norm(from_shape(Shape(scaled, np.array([[0, 1, 2]]))).points, axis=1).max(), 1)


def test_axes_and_options() -> None:
    point = Shape(np.array([[1.0, 2, 3], [0, 0, 0]]), normals=np.array([[0, 0, 1.0], [1, 0, 0]]))
    turned = turn_up(point, "z")
    assert np.array_equal(turned.vertices[0], [1, 3, -2])
    assert turned.normals is not None and np.array_equal(turned.normals[0], [0, 1, 0])
    assert np.array_equal(turn_up(point, "x").vertices[0], [-2, 1, 3])
    assert turn_up(point, "y") is point
    assert options_from("up=z points=4096") == CloudOptions("z", 4096)
    assert options_from("") == CloudOptions("y", 8192)
    for text in ("up=w", "points=0", "points=many", "points=99999999999999", "size=3", "up", "pionts=4"):
        with pytest.raises(VlcliError, match="U701"):
            options_from(text)


def shared() -> Path:
    folder = os.environ.get("VLCLI_SHARED")
    if not folder:
        pytest.skip("VLCLI_SHARED names no folder of real data")
    return Path(folder) / "data" / "point_clouds"


@pytest.mark.shared
def test_real_files() -> None:
    """All OBJ models of common-3d-test-models and OFF meshes of ModelNet10 load; their areas are trimesh's."""
    paths = [*sorted(shared().glob("common3d/*.obj")), *sorted(shared().glob("ModelNet10/**/*.off"))]
    assert len(paths) == 16
    for path in paths:
        shape = read_shape(path)
        cloud = from_shape(shape)
        assert len(cloud) == 8192 and cloud.normals is not None and cloud.faces is not None
    for path in (paths[-4], paths[0]):
        shape = read_shape(path)
        wanted = trimesh.load(path, force="mesh", process=False, skip_materials=True)
        ours = trimesh.Trimesh(shape.vertices, shape.faces, process=False)
        assert np.isclose(ours.area, wanted.area, rtol=1e-6)


@pytest.mark.shared
def test_real_shapes_in_a_zip(tmp_path: Path) -> None:
    """40 classes of geometric shapes, some of them flat."""
    with zipfile.ZipFile(shared() / "geometric_shapes_raw.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".off") and "/train/" in name]
        assert len(names) == 40
        for name in names:
            cloud = from_shape(read(tmp_path, "a.off", archive.read(name)), name)
            assert np.isfinite(cloud.points).all() and len(cloud) in (8192, len(cloud.points))


def test_rows_are_shortest() -> None:
    """The least bytes that a header check counts with are indeed least."""
    assert len(rows(np.zeros((1, 3)))) == 6
