"""The images modality against good, odd and hostile files, all made here."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vlcli_images.modality import ImagesModality, open_picture

from vlcli.api import Modality, Source
from vlcli.errors import VlcliError

IMAGES = ImagesModality()


def source(path: Path) -> Source:
    return Source(id=str(path), path=path)


def refused(path: Path) -> VlcliError:
    with pytest.raises(VlcliError) as caught:
        IMAGES.load(source(path))
    return caught.value


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    x = np.linspace(0, 255, width)[None, :].repeat(height, 0)
    y = np.linspace(0, 255, height)[:, None].repeat(width, 1)
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def close(one: Image.Image, other: Image.Image, tolerance: float) -> bool:
    difference = np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float))
    return one.size == other.size and float(difference.mean()) < tolerance


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that announces a size and holds almost nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def test_it_is_a_modality() -> None:
    assert isinstance(IMAGES, Modality)
    path = Path("a.png")
    assert list(IMAGES.expand(path)) == [Source(id="a.png", path=path)]


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [("a.jpg", {"quality": 95}, 3.0), ("a.jpeg", {"quality": 95}, 3.0), ("a.png", {}, 0.0001),
     ("a.webp", {"lossless": True}, 0.0001), ("a.bmp", {}, 0.0001), ("a.tiff", {}, 0.0001),
     ("a.avif", {"quality": 95}, 3.0)],
)  # fmt: skip
def test_formats(tmp_path: Path, name: str, options: dict, tolerance: float) -> None:
    picture = gradient()
    picture.save(tmp_path / name, **options)
    loaded = IMAGES.load(source(tmp_path / name))
    assert loaded.mode == "RGB"
    assert close(loaded, picture, tolerance)


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    gradient().save(tmp_path / "really.png")
    (tmp_path / "really.png").rename(tmp_path / "named.jpg")
    assert close(IMAGES.load(source(tmp_path / "named.jpg")), gradient(), 0.0001)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    picture = gradient(40, 20)
    # how a camera stores what is to be seen as `picture`
    undo = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}
    stored = picture
    for operation in undo.get(orientation, []):
        stored = stored.transpose(Image.Transpose(operation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "turned.png", exif=exif)
    assert close(IMAGES.load(source(tmp_path / "turned.png")), picture, 0.0001)


def test_broken_exif_leaves_the_picture_as_stored(tmp_path: Path) -> None:
    gradient().save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert IMAGES.load(source(tmp_path / "a.png")).size == (64, 48)


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    assert np.allclose(IMAGES.load(source(tmp_path / "red.jpg")).getpixel((4, 4)), (255, 0, 0), atol=8)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 65535, 256).astype(np.uint16)[None, :].repeat(4, 0)
    path = tmp_path / f"deep.{suffix}"
    Image.fromarray(values).save(path)
    loaded = np.asarray(IMAGES.load(source(path)))[0, :, 0].astype(int)
    assert np.abs(loaded - np.arange(256)).max() <= 1


def test_big_endian_sixteen_bits(tmp_path: Path) -> None:
    values = np.array([[0, 32768, 65535]], dtype=np.uint16)
    path = tmp_path / "big.tiff"
    picture = Image.frombytes("I;16B", (3, 1), values.astype(">u2").tobytes())
    picture.save(path)
    assert [IMAGES.load(source(path)).getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]


def test_floats_with_nan(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)).save(tmp_path / "float.tiff")
    loaded = IMAGES.load(source(tmp_path / "float.tiff"))
    assert [loaded.getpixel((x, 0))[0] for x in range(4)] == [0, 128, 255, 0]


def test_lab_colours(tmp_path: Path) -> None:
    Image.new("LAB", (4, 4), (255, 128, 128)).save(tmp_path / "white.tiff")
    assert min(IMAGES.load(source(tmp_path / "white.tiff")).getpixel((0, 0))) > 245


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert IMAGES.load(source(tmp_path / "clear.png")).getpixel((0, 0)) == (255, 255, 255)
    Image.new("LA", (4, 4), (0, 128)).save(tmp_path / "half.png")
    assert IMAGES.load(source(tmp_path / "half.png")).getpixel((0, 0)) == (127, 127, 127)


def test_palette_with_transparency(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([10, 20, 30, 200, 0, 0] + [0] * 750)
    picture.putpixel((1, 1), 1)
    picture.save(tmp_path / "palette.png", transparency=0)
    loaded = IMAGES.load(source(tmp_path / "palette.png"))
    assert loaded.getpixel((0, 0)) == (255, 255, 255)
    assert loaded.getpixel((1, 1)) == (200, 0, 0)


def test_colour_key_transparency(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "key.png", transparency=(1, 2, 3))
    assert IMAGES.load(source(tmp_path / "key.png")).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("suffix", ["gif", "webp", "tiff"])
def test_the_first_frame_of_an_animation(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"moving.{suffix}"
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert np.allclose(IMAGES.load(source(path)).getpixel((3, 3)), (255, 0, 0), atol=8)


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(60_000, 60_000))
    error = refused(path)
    assert error.code == "D301"
    assert "60,000 × 60,000" in error.message or "more than the limit" in error.message
    assert "--max-pixels" in error.help


def test_the_pixel_limit_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient(100, 50).save(tmp_path / "a.png")
    monkeypatch.setenv("VLCLI_MAX_PIXELS", "5000")
    assert IMAGES.load(source(tmp_path / "a.png")).size == (100, 50)
    monkeypatch.setenv("VLCLI_MAX_PIXELS", "4999")
    assert refused(tmp_path / "a.png").code == "D301"


@pytest.mark.parametrize("chunk", [b"VP8X", b"VP8L", b"VP8 "])
def test_a_large_webp_is_refused_before_its_canvas_is_made(tmp_path: Path, chunk: bytes) -> None:
    size = 16_383
    body = {
        b"VP8X": b"\x0a\0\0\0\0\0\0\0" + (size - 1).to_bytes(3, "little") * 2,
        b"VP8L": b"\x0a\0\0\0\x2f" + ((size - 1) | (size - 1) << 14).to_bytes(4, "little") + bytes(5),
        b"VP8 ": b"\x0a\0\0\0\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", size, size),
    }[chunk]
    path = tmp_path / "large.webp"
    path.write_bytes(b"RIFF" + struct.pack("<I", 100) + b"WEBP" + chunk + body + bytes(64))
    assert refused(path).code == "D301"


def test_webp_sizes_are_read_as_pillow_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLCLI_MAX_PIXELS", "5999")
    for name, options in (
        ("lossy.webp", {}),
        ("lossless.webp", {"lossless": True}),
        ("exif.webp", {"exif": b"Exif\0\0"}),
    ):
        gradient(100, 60).save(tmp_path / name, **options)
        assert refused(tmp_path / name).message.startswith("its 100 × 60 pixels")


def test_the_file_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient().save(tmp_path / "a.bmp")
    monkeypatch.setenv("VLCLI_MAX_FILE_SIZE", "1k")
    error = refused(tmp_path / "a.bmp")
    assert error.code == "D115"
    assert "1,000" in error.message


def test_each_kind_of_bad_file_has_its_code(tmp_path: Path) -> None:
    picture = io.BytesIO()
    gradient(200, 200).save(picture, "JPEG")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("hello, this is no picture")
    (tmp_path / "page.png").write_text("<!DOCTYPE html><html></html>")
    (tmp_path / "paper.jpg").write_bytes(b"%PDF-1.7 something")
    (tmp_path / "cut.jpg").write_bytes(picture.getvalue()[:1500])
    (tmp_path / "start.jpg").write_bytes(picture.getvalue()[:12])
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    codes = {name: refused(tmp_path / name).code for name in
             ("missing.jpg", "dangling.jpg", "folder.jpg", "pipe.jpg", "empty.jpg", "text.jpg", "page.png", "paper.jpg",
              "start.jpg", "cut.jpg")}  # fmt: skip
    assert codes == {
        "missing.jpg": "D111", "dangling.jpg": "D111", "folder.jpg": "D112", "pipe.jpg": "D112", "empty.jpg": "D114",
        "text.jpg": "D302", "page.png": "D302", "paper.jpg": "D302", "start.jpg": codes["start.jpg"], "cut.jpg": "D303",
    }  # fmt: skip
    assert codes["start.jpg"] in ("D302", "D303")
    assert "PDF" in refused(tmp_path / "paper.jpg").message
    assert "link" in refused(tmp_path / "dangling.jpg").message


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient().save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    if os.geteuid() == 0:  # root may read everything
        monkeypatch.setattr("vlcli.data.files.os.access", lambda path, mode: False)
    error = refused(tmp_path / "a.png")
    assert error.code == "D113"
    assert "permission" in error.message


def test_an_inline_value_is_refused() -> None:
    with pytest.raises(VlcliError, match="D304"):
        IMAGES.load(Source(id="x#1", value="a sentence"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF"])
def test_damaged_files_are_read_or_refused_never_worse(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    gradient().save(buffer, kind)
    good = buffer.getvalue()
    chance = random.Random(kind)
    refusals = 0
    for trial in range(60):
        data = bytearray(good)
        for _ in range(chance.randint(1, 12)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if trial % 3 == 0:
            data = data[: chance.randrange(1, len(data))]
        path = tmp_path / "damaged.bin"
        path.write_bytes(bytes(data))
        try:
            assert open_picture(path).mode == "RGB"
        except VlcliError as error:
            refusals += 1
            assert error.code in ("D301", "D302", "D303")
    assert refusals > 0


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    gradient().save(path)
    (found,) = IMAGES.expand(path)
    assert found.id.endswith("caf\\xe9.png")
    assert IMAGES.load(found).size == (64, 48)


def test_a_large_jpeg_is_decoded_smaller_but_with_a_margin_above_min_side(tmp_path: Path) -> None:
    gradient(1600, 1200).save(tmp_path / "large.jpg", quality=95)
    full = IMAGES.load(source(tmp_path / "large.jpg"))
    assert full.size == (1600, 1200)
    small = IMAGES.load(source(tmp_path / "large.jpg"), min_side=200)
    assert small.size == (400, 300)
    assert IMAGES.load(source(tmp_path / "large.jpg"), min_side=224).size == (800, 600)
    assert IMAGES.load(source(tmp_path / "large.jpg"), min_side=401).size == (1600, 1200)
    assert close(small, full.resize(small.size, Image.Resampling.BOX), 2.0)
    assert IMAGES.load(source(tmp_path / "large.jpg"), min_side=700).size == (1600, 1200)


def test_min_side_keeps_the_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient(1600, 1200).save(tmp_path / "turned.jpg", exif=exif)
    assert IMAGES.load(source(tmp_path / "turned.jpg"), min_side=200).size == (300, 400)


def test_preview_is_a_small_png(tmp_path: Path) -> None:
    gradient(1000, 500).save(tmp_path / "wide.jpg")
    preview = Image.open(io.BytesIO(IMAGES.preview(source(tmp_path / "wide.jpg"), 128)))
    assert preview.format == "PNG"
    assert preview.size == (128, 64)


def test_a_file_that_asks_for_too_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged length in a header makes Pillow ask for memory that is not there; that is the file's fault."""
    path = tmp_path / "greedy.png"
    Image.new("RGB", (4, 4)).save(path)

    def greedy(*arguments: object, **options: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched, pytest.raises(VlcliError, match="D305"):
        patched.setattr("PIL.PngImagePlugin.PngImageFile.load", greedy)
        ImagesModality().load(Source(id="greedy", path=path))
    with monkeypatch.context() as patched, pytest.raises(VlcliError, match="D305"):
        patched.setattr("PIL.Image.open", greedy)
        ImagesModality().load(Source(id="greedy", path=path))
    assert ImagesModality().load(Source(id="greedy", path=path)).size == (4, 4)
