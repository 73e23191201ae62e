"""Hostile files: each is refused with its own reason, costs no memory, and nothing but a refusal ever escapes."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest
from hostile_shapes import HOSTILE
from hypothesis import given, settings
from hypothesis import strategies as st
from shape_files import GOOD, gltf_tree, obj, off, ply, stl_text
from vlcli_pointclouds.modality import PointcloudsModality

from vlcli.api import Source
from vlcli.errors import VlcliError

MODALITY = PointcloudsModality()
MOST_ALLOCATED = 24_000_000
"""Bytes that a refusal may take besides the file's own; the files here ask for up to 22 GiB."""


def source_of(path: Path) -> Source:
    (source,) = MODALITY.expand(path)
    return source


@pytest.fixture(autouse=True, scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Modules are imported before allocations are counted."""
    folder = tmp_path_factory.mktemp("warm")
    for ending, data in GOOD.items():
        (folder / f"good{ending}").write_bytes(data)
        MODALITY.load(source_of(folder / f"good{ending}"))


@pytest.mark.parametrize("ending", HOSTILE)
def test_twenty_of_each_format(ending: str) -> None:
    names = [name for name, *_ in HOSTILE[ending]]
    assert len(names) == len(set(names)) >= 20
    assert len({code for _, _, code, _ in HOSTILE[ending]}) >= 5


@pytest.mark.parametrize(
    ("ending", "data", "code", "word"),
    [(ending, data, code, word) for ending, cases in HOSTILE.items() for _, data, code, word in cases],
    ids=[f"{ending[1:]}: {name}" for ending, cases in HOSTILE.items() for name, *_ in cases],
)
def test_refused_with_its_reason(tmp_path: Path, ending: str, data: bytes, code: str, word: str) -> None:
    path = tmp_path / f"shape{ending}"
    path.write_bytes(data)
    source = source_of(path)
    tracemalloc.start()
    try:
        with pytest.raises(VlcliError) as caught:
            MODALITY.load(source)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.code == code, str(caught.value)
    assert word in str(caught.value)
    assert caught.value.where.endswith(path.name)
    assert len(str(caught.value)) < 600
    str(caught.value).encode("utf-8")
    assert peak < MOST_ALLOCATED + 3 * len(data)
    for shown in (MODALITY.preview, MODALITY.view):
        with pytest.raises(VlcliError):
            shown(source)


def test_gzip(tmp_path: Path) -> None:
    """Bombs, cuts and damage inside of gzip."""
    path = tmp_path / "shape.ply.gz"
    for data, code in (
        (gzip.compress(ply())[:-20], "D711"),
        (ply(), "D711"),
        (gzip.compress(ply())[:30] + b"xxxx" + gzip.compress(ply())[34:], "D711"),
        (gzip.compress(b""), "D701"),
        (gzip.compress(bytes(600_000_000), 9), "D702"),
    ):
        path.write_bytes(data)
        with pytest.raises(VlcliError) as caught:
            MODALITY.load(source_of(path))
        assert caught.value.code == code
    path.write_bytes(gzip.compress(ply()[:100]) + gzip.compress(ply()[100:]))
    assert MODALITY.load(source_of(path)).format == "PLY text"


def test_npz_bomb(tmp_path: Path) -> None:
    """A zip that honestly says that it unpacks to more than is read."""
    import zipfile

    path = tmp_path / "shape.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("points.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(60):
            member.write(bytes(10_000_000))
    tracemalloc.start()
    with pytest.raises(VlcliError) as caught:
        MODALITY.load(source_of(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.code == "D702" and peak < MOST_ALLOCATED


def test_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ceiling of the environment holds, and that of elements."""
    from vlcli_pointclouds.readers import content

    for ending, data in GOOD.items():
        (tmp_path / f"shape{ending}").write_bytes(data)
    monkeypatch.setenv("VLCLI_MAX_FILE_SIZE", "10")
    for ending in GOOD:
        with pytest.raises(VlcliError, match="D115"):
            MODALITY.load(source_of(tmp_path / f"shape{ending}"))
    monkeypatch.delenv("VLCLI_MAX_FILE_SIZE")
    monkeypatch.setattr(content, "MOST_ELEMENTS", 3)
    for ending in (".off", ".obj", ".ply", ".stl", ".xyz", ".pts", ".gltf", ".glb"):
        with pytest.raises(VlcliError, match="D702"):
            MODALITY.load(source_of(tmp_path / f"shape{ending}"))


def test_not_a_file(tmp_path: Path) -> None:
    """Texts, folders, links to nothing, pipes."""
    import os

    with pytest.raises(VlcliError, match="D715"):
        MODALITY.load(Source(id="a", value="0 0 0"))
    (tmp_path / "folder.ply").mkdir()
    (tmp_path / "link.ply").symlink_to(tmp_path / "missing.ply")
    os.mkfifo(tmp_path / "pipe.ply")
    for name, code in (("folder", "D112"), ("link", "D111"), ("pipe", "D112"), ("missing", "D111")):
        with pytest.raises(VlcliError) as caught:
            MODALITY.load(source_of(tmp_path / f"{name}.ply"))
        assert caught.value.code == code
    (tmp_path / "shape.xcf").write_bytes(b"what is it?")
    with pytest.raises(VlcliError, match="D701"):
        MODALITY.load(source_of(tmp_path / "shape.xcf"))


def test_buffers_and_materials_beside(tmp_path: Path) -> None:
    """A link that leads out of the folder, a pipe and a folder in place of a buffer; broken materials cost no shape."""
    import json
    import os

    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(72))
    folder = tmp_path / "shapes"
    folder.mkdir()
    (folder / "link.bin").symlink_to(secret)
    os.mkfifo(folder / "pipe.bin")
    for name, code in (("link.bin", "D714"), ("pipe.bin", "D112"), (".", "D112")):
        (folder / "shape.gltf").write_text(json.dumps(gltf_tree(buffers=[{"byteLength": 72, "uri": name}])))
        with pytest.raises(VlcliError) as caught:
            MODALITY.load(source_of(folder / "shape.gltf"))
        assert caught.value.code == code
    text = obj().replace(b"f 1", b"usemtl red\nf 1", 1)
    for library in (
        b"missing.mtl",
        b"../secret.bin",
        b"/etc/passwd",
        b"https://example.com/a.mtl",
        b"pipe.bin",
        b"bad.mtl",
        b"",
    ):
        (folder / "bad.mtl").write_bytes(b"newmtl red\nKd x y z\nmap_Kd ../secret.bin\nmap_Kd bad.mtl\n\0\n")
        (folder / "shape.obj").write_bytes(b"mtllib " + library + b"\n" + text)
        cloud = MODALITY.load(source_of(folder / "shape.obj"))
        assert len(cloud) == 8192 and cloud.notes


def test_broken_pictures_cost_no_shape(tmp_path: Path) -> None:
    """Pictures of a glTF material that are nowhere, damaged, outside or huge."""
    import json

    from shape_files import data_uri

    huge = b"\x89PNG\r\n\x1a\n" + bytes.fromhex("0000000d49484452000186a0000186a008020000009c5d5a0d")
    material = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    uris = ["missing.png", "../x.png", 5, data_uri(b"no picture"), data_uri(huge)]
    for image in ({}, {"bufferView": 77}, *({"uri": uri} for uri in uris)):
        tree = gltf_tree(materials=[material], textures=[{"source": 0}], images=[image])
        tree["meshes"][0]["primitives"][0]["material"] = 0
        (tmp_path / "shape.gltf").write_text(json.dumps(tree))
        cloud = MODALITY.load(source_of(tmp_path / "shape.gltf"))
        assert len(cloud) == 8192 and any("picture left out" in note for note in cloud.notes), image


GIVEN = [
    *GOOD.items(),
    (".ply", ply("<")),
    (".ply", ply(">")),
    (".stl", stl_text()),
    (".off", off(head="COFF\n4 4 0\n")),
]


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_bytes(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever happens to the bytes of a file, it is a cloud or it is refused."""
    ending, good = data.draw(st.sampled_from(GIVEN))
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(0, len(damaged) - 1)))
        act = data.draw(st.sampled_from(["set", "cut", "insert", "repeat", "end"]))
        if act == "set" and damaged:
            damaged[place] = data.draw(st.integers(0, 255))
        elif act == "cut":
            del damaged[place : place + data.draw(st.integers(1, 16))]
        elif act == "insert":
            piece = data.draw(
                st.sampled_from([b"-", b"9999999999", b" ", b"\n", b"nan", b"\0", b"\xff\xff\xff\xff", b"[", b"1e308"])
            )
            damaged[place:place] = piece
        elif act == "repeat":
            damaged[place:place] = damaged[place : place + 40]
        else:
            del damaged[place:]
    path = tmp_path_factory.mktemp("damaged") / f"shape{ending}"
    path.write_bytes(damaged)
    source = source_of(path)
    try:
        cloud = MODALITY.load(source)
    except VlcliError as error:
        assert error.code.startswith("D") and error.message
        return
    assert cloud.points.shape == (len(cloud), 3)
    assert MODALITY.preview(source, 64) and MODALITY.view(source).data
