"""Files that belong to a shape and lie beside it: materials, buffers, pictures. Nothing else is read."""

from __future__ import annotations

import io
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
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


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


def picture_of(data: bytes) -> NDArray[np.uint8]:
    """A picture `[H, W, 3]` in 0…255, shrunk to `PICTURE_SIDE`; transparency is laid over white.

    Raises:
        Unusable: when it is too large or none.
    """
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=PICTURE_FORMATS)
        width, height = picture.size
        if width * height > MOST_PICTURE_PIXELS:
            raise Unusable(f"a picture of {width:,} × {height:,} pixels is too large")
        picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            layer = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
        return np.asarray(picture.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise Unusable("a picture is too large") from error
    except UnidentifiedImageError as error:
        raise Unusable("a picture is of an unknown kind") from error
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, AttributeError,
            RuntimeError, ZeroDivisionError) as error:  # fmt: skip
        raise Unusable("a picture is damaged") from error
