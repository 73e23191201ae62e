"""Files that belong to a shape and lie beside it: materials, buffers, pictures. Nothing else is read."""

from __future__ import annotations

import io
import struct
import urllib.parse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vlcli.data.files import check_file
from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, read_content

MOST_PICTURE_PIXELS = 50_000_000
PICTURE_SIDE = 1024
"""Pictures are shrunk to this many pixels a side: 8,192 points need no more."""
PICTURE_FORMATS = ("PNG", "JPEG", "BMP")
DECODE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError,
                 AttributeError, RuntimeError, ZeroDivisionError, struct.error)  # fmt: skip
"""What Pillow raises while it reads a damaged picture."""


class Unusable(Exception):
    """Why something beside the shape is left out."""


def file_beside(content: Content, name: str) -> Path:
    """The file of this relative name in or below the shape's folder.

    Raises:
        VlcliError: D714 for an address or a path that leaves the folder, D111-D115 for the file itself.
    """
    said = ascii(name[:80])
    folder = content.path.parent.resolve()
    try:
        if "://" in name or Path(name).is_absolute() or "\\" in name:
            raise ValueError
        path = (folder / name).resolve()
        if not path.is_relative_to(folder):
            raise ValueError
    except (ValueError, OSError, RuntimeError) as error:
        raise VlcliError("D714", content.where, f"names {said}, which is not a file beside it",
                         "only files in its own folder are read") from error  # fmt: skip
    try:
        check_file(path)
    except VlcliError as error:
        raise VlcliError(error.code, content.where, f"names {said}: {error.message}", error.help) from error
    return path


def bytes_beside(content: Content, name: str, ceiling: int) -> bytes:
    """What such a file holds."""
    return read_content(file_beside(content, urllib.parse.unquote(name)), content.where, ceiling).data


def check_picture(data: bytes) -> None:
    """Refuse what is no picture, or too large a one, before any pixel is decoded.

    Raises:
        Unusable: so.
    """
    if data[:4] == b"RIFF":
        raise Unusable("a WebP picture is not read")  # its decoder allocates all pixels while it opens it
    with opened(data) as picture:
        check_size(picture)


def picture_of(data: bytes) -> NDArray[np.uint8]:
    """A picture `[H, W, 3]`, shrunk to `PICTURE_SIDE`.

    Raises:
        Unusable: when it is too large or none.
    """
    check_picture(data)
    return shrunk(opened(data))


def opened(data: bytes) -> Image.Image:
    """A picture whose header has been read."""
    try:
        return Image.open(io.BytesIO(data), formats=PICTURE_FORMATS)
    except Image.DecompressionBombError as error:
        raise Unusable("a picture is too large") from error
    except UnidentifiedImageError as error:
        raise Unusable("a picture is of an unknown kind") from error
    except DECODE_ERRORS as error:
        raise Unusable("a picture is damaged") from error


def check_size(picture: Image.Image) -> None:
    """Refuse too many pixels."""
    width, height = picture.size
    if width * height > MOST_PICTURE_PIXELS:
        raise Unusable(f"a picture of {width:,} × {height:,} pixels is too large")


def shrunk(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture's pixels `[H, W, 3]` in 0…255, at most `PICTURE_SIDE` a side; transparency is laid over white."""
    check_size(picture)
    try:
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            layer = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
        return np.asarray(picture.convert("RGB"))
    except DECODE_ERRORS as error:
        raise Unusable("a picture is damaged") from error
