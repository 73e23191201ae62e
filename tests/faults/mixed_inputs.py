"""A world of mixed inputs, one in ten hostile, in which the fate that each input deserves is known beforehand."""

# Names are bytes here, since not all of them are text; `Path` takes no bytes.
# ruff: noqa: PTH102, PTH119, PTH211

from __future__ import annotations

import hashlib
import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

Fate = Literal["embedded", "refused"]


@dataclass(frozen=True)
class Input:
    """One input as it is named on the command line.

    Attributes:
        path: as bytes, since a file name need not be text.
        kind: what is special about it.
        fate: what has to become of it.
        sha256: of its content, for what is to be embedded.
    """

    path: bytes
    kind: str
    fate: Fate
    sha256: str = ""


def make_world(folder: Path, count: int, seed: int) -> list[Input]:
    """`count` inputs below a folder: plain pictures and texts, and every hostile kind in turn for one in ten."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    root = os.fsencode(folder)
    kinds = hostile_kinds()
    hostile = count // 10
    found = []
    for number in range(count):
        place = root + b"/%03d" % (number // 100)
        Path(os.fsdecode(place)).mkdir(exist_ok=True)
        if number < hostile:
            kind, fate, make = kinds[number % len(kinds)]
            path = make(place, number, rng)
        else:
            kind, fate = "plain", "embedded"
            path = plain_picture(place, number, rng) if number % 5 else plain_text(place, number, rng)
        found.append(Input(path, kind, fate, sha_of(path) if fate == "embedded" else ""))
    rng.shuffle(found)
    return found


def sha_of(path: bytes) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: bytes, data: bytes) -> bytes:
    """Write a file, give its path."""
    with open(path, "wb") as file:
        file.write(data)
    return path


def pixels(rng: random.Random, shape: tuple[int, ...] = (24, 28, 3), kind: type = np.uint8) -> np.ndarray:
    """Random pixels."""
    high = 255 if kind is np.uint8 else 65535
    return np.random.default_rng(rng.randrange(1 << 30)).integers(0, high, shape).astype(kind)


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    """A picture file."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def plain_picture(place: bytes, number: int, rng: random.Random) -> bytes:
    """A small PNG or JPEG; one in fifty is a copy of the same picture."""
    colours = pixels(random.Random(7)) if number % 50 == 1 else pixels(rng)
    form, extension = (("PNG", b"png"), ("JPEG", b"jpg"), ("BMP", b"bmp"))[number % 3]
    return write(place + b"/%05d.%s" % (number, extension), encoded(Image.fromarray(colours), form))


def plain_text(place: bytes, number: int, rng: random.Random) -> bytes:
    """A text file of one line."""
    words = " ".join(rng.choice(("red", "blue", "circle", "square", "small", "über", "赤い")) for _ in range(5))
    return write(place + b"/%05d.txt" % number, f"{words} {number}\n".encode())


Make = Callable[[bytes, int, random.Random], bytes]


def hostile_kinds() -> list[tuple[str, Fate, Make]]:
    """Kind, fate, and what makes it."""
    colour = Image.fromarray

    def file(extension: bytes, content: Callable[[random.Random], bytes]) -> Make:
        return lambda place, number, rng: write(place + b"/%05d%s" % (number, extension), content(rng))

    def png(rng: random.Random) -> bytes:
        return encoded(colour(pixels(rng)), "PNG")

    def jpg(rng: random.Random) -> bytes:
        return encoded(colour(pixels(rng, (64, 64, 3))), "JPEG")

    def rotated(rng: random.Random) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = rng.randint(1, 8)
        return encoded(colour(pixels(rng)), "JPEG", exif=exif)

    def animated(rng: random.Random) -> bytes:
        frames = [colour(pixels(rng)).convert("P") for _ in range(3)]
        return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])

    def nan(rng: random.Random) -> bytes:
        return encoded(colour(np.full((8, 8), np.nan, dtype=np.float32)), "TIFF")

    def named(name: Callable[[int], bytes]) -> Make:
        return lambda place, number, rng: write(place + b"/" + name(number), png(rng))

    return [
        ("truncated JPEG", "refused", file(b".jpg", lambda rng: jpg(rng)[:300])),
        ("truncated PNG", "refused", file(b".png", lambda rng: png(rng)[:-200])),
        ("zero bytes", "refused", file(b".png", lambda rng: b"")),
        ("text named .jpg", "refused", file(b".jpg", lambda rng: b"not a picture %d" % rng.random().__hash__())),
        ("PNG named .jpg", "embedded", file(b".jpg", png)),
        ("random bytes named .webp", "refused", file(b".webp", lambda rng: rng.randbytes(400))),
        ("symlink loop", "refused", symlink_loop),
        ("symlink to nothing", "refused", symlink_to_nothing),
        ("folder named .jpg", "refused", folder_named_jpg),
        ("named pipe", "refused", named_pipe),
        ("socket", "refused", named_socket),
        ("missing", "refused", lambda place, number, rng: place + b"/%05d-missing.png" % number),
        ("CMYK", "embedded", file(b".jpg", lambda rng: encoded(colour(pixels(rng)).convert("CMYK"), "JPEG"))),
        ("16 bits", "embedded", file(b".png", lambda rng: encoded(colour(pixels(rng, (20, 20), np.uint16)), "PNG"))),
        ("transparent", "embedded", file(b".png", lambda rng: encoded(colour(pixels(rng, (9, 9, 4))), "PNG"))),
        ("animated", "embedded", file(b".gif", animated)),
        ("rotated by EXIF", "embedded", file(b".jpg", rotated)),
        ("one pixel", "embedded", file(b".png", lambda rng: encoded(colour(pixels(rng, (1, 1, 3))), "PNG"))),
        ("a line of pixels", "embedded", file(b".png", lambda rng: encoded(colour(pixels(rng, (1, 3000, 3))), "PNG"))),
        ("decompression bomb", "refused", file(b".png", lambda rng: bomb(60_000 + rng.randrange(99), 60_000))),
        ("bomb of no height", "refused", file(b".png", lambda rng: bomb(rng.randrange(1, 99), 0))),
        ("NaN pixels", "refused", file(b".tiff", nan)),
        ("name that is not UTF-8", "embedded", named(lambda number: b"caf\xe9-%05d-\xff.png" % number)),
        ("name of 255 bytes", "embedded", named(lambda number: b"%05d" % number + b"x" * 246 + b".png")),
        ("name with a newline", "embedded", named(lambda number: b"two\nlines %05d.png" % number)),
        ("path beyond the limit", "refused", lambda place, number, rng: place + b"/%d" % number + 3000 * b"/x"),
        ("text that is not UTF-8", "refused", file(b".txt", lambda rng: b"caf\xe9 \xff\xfe %d" % rng.randrange(10**9))),
        ("text of spaces", "refused", file(b".txt", lambda rng: b" \t\n" * rng.randrange(1, 50))),
        ("unreadable", "refused", unreadable),
    ]  # fmt: skip


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces width x height pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def symlink_loop(place: bytes, number: int, rng: random.Random) -> bytes:
    """Two links that name each other."""
    one, two = place + b"/%05d-a.png" % number, place + b"/%05d-b.png" % number
    os.symlink(two, one)
    os.symlink(one, two)
    return one


def symlink_to_nothing(place: bytes, number: int, rng: random.Random) -> bytes:
    """A link to a file that is not there."""
    path = place + b"/%05d-link.png" % number
    os.symlink(b"nowhere-%d" % rng.randrange(10**9), path)
    return path


def folder_named_jpg(place: bytes, number: int, rng: random.Random) -> bytes:
    """An empty folder with the name of a picture."""
    path = place + b"/%05d-folder.jpg" % number
    os.mkdir(path)
    return path


def named_pipe(place: bytes, number: int, rng: random.Random) -> bytes:
    """A pipe that nobody writes to: whoever opens it waits forever."""
    path = place + b"/%05d-pipe.png" % number
    os.mkfifo(path)
    return path


def named_socket(place: bytes, number: int, rng: random.Random) -> bytes:
    """A socket in the file system."""
    path = place + b"/%05d.png" % number
    here = os.getcwd()
    # The name in a socket's address may be 107 bytes long.
    os.chdir(place)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.basename(path))
    finally:
        os.chdir(here)
    return path


def unreadable(place: bytes, number: int, rng: random.Random) -> bytes:
    """A picture without permissions; for root, who may read anything, a directory entry that can not be followed."""
    path = place + b"/%05d-locked.png" % number
    if os.geteuid() == 0:
        os.symlink(b"/proc/self/mem/%d" % number, path)
        return path
    write(path, encoded(Image.fromarray(pixels(rng)), "PNG"))
    os.chmod(path, 0)
    return path
