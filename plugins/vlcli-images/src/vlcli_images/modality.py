"""The modality `images`: a file becomes an 8-bit RGB `PIL.Image`, upright, or is refused with a reason.

Headers are read before pixels, so a decompression bomb costs nothing; see `vlcli.data.limits` for the ceilings.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from vlcli.api import Source
from vlcli.data.collate import pad_and_stack
from vlcli.data.files import check_file
from vlcli.data.limits import MAX_PIXELS_VARIABLE, max_pixels
from vlcli.data.names import printable
from vlcli.errors import VlcliError

# The formats that are decoded. A file's content decides, not its name: a PNG named .jpg is a usable picture.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "MPO", "HEIF")
# What Pillow raises while it reads a damaged file; its parsers are many and do not share one exception.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError,
                 struct.error, ZeroDivisionError, AttributeError, RuntimeError)  # fmt: skip
ORIENTATION_TAG = 0x0112
# The decoder's own shrinking is coarser than a resize; what is left for the resize hides that. Smallest cosine of
# embeddings to those of full decoding on photographs: 0.992 at a margin of 1, 0.998 at 1.5 and above.
DRAFT_MARGIN = 1.5

# Pillow warns above a ceiling of its own; here `max_pixels()` rules, and it refuses before anything is decoded.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# A damaged file is refused with its reason; Pillow's remarks on broken tags would only clutter the terminal.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class ImagesModality:
    """Pictures in files. Canonical form: `PIL.Image` in mode RGB, size `(width, height)` as a viewer shows it."""

    name = "images"

    def expand(self, path: Path) -> Iterator[Source]:
        """The one picture that the file holds; of an animation or a multi-page file, the first."""
        yield Source(id=printable(path), path=path)

    def load(self, source: Source, min_side: int | None = None) -> Image.Image:
        """The picture in RGB: EXIF orientation applied, transparency over white, more than 8 bits scaled to 8.

        Args:
            source: a picture file.
            min_side: the caller will shrink the picture to a shorter side of this many pixels. A large JPEG is then
                decoded at 1/2, 1/4 or 1/8 of its size (never below `DRAFT_MARGIN * min_side`), several times faster.

        Raises:
            VlcliError: D111-D115 for the file itself, D301 too many pixels, D302 not a picture, D303 truncated or
                damaged, D304 an inline value that is not a path, D305 a file that asks for more memory than can be had.
        """
        if source.path is None:
            raise VlcliError("D304", source.id, "is a text, not a picture file", "give paths of picture files")
        return open_picture(source.path, min_side)

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Stack the tensors of preprocessed pictures."""
        return pad_and_stack(inputs)

    def preview(self, source: Source, size: int = 256) -> bytes:
        """A PNG of the picture, at most `size` pixels a side."""
        picture = self.load(source, min_side=size)
        picture.thumbnail((size, size), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()


def open_picture(path: Path, min_side: int | None = None) -> Image.Image:
    """Read one picture file; see `ImagesModality.load`."""
    check_file(path)
    where = printable(path)
    try:
        file = path.open("rb")
    except OSError as error:
        raise VlcliError("D113", where, f"can not be read ({error.strerror})", "check its permissions") from error
    with file:
        check_pixels(webp_size(file.read(32)), where)
        file.seek(0)
        picture = open_header(file, where)
        check_pixels(picture.size, where)
        try:
            shrink_on_decode(picture, min_side)
            picture.load()
            return to_rgb(upright(picture))
        except MemoryError as error:
            raise too_much_memory(where) from error
        except DECODE_ERRORS as error:
            raise VlcliError(
                "D303", where, f"the {picture.format} file is truncated or damaged ({one_line(error)})",
                "replace the file by a good copy",
            ) from error  # fmt: skip


def open_header(file: io.BufferedReader, where: str) -> Image.Image:
    """Let Pillow read the header only."""
    ceiling = max_pixels()
    if Image.MAX_IMAGE_PIXELS is not None and ceiling > Image.MAX_IMAGE_PIXELS:
        # Pillow refuses above twice its own ceiling, which must not be below the one that the user has set.
        Image.MAX_IMAGE_PIXELS = ceiling
    known = [name for name in FORMATS if name in supported_formats()]
    try:
        return Image.open(file, formats=known)
    except MemoryError as error:
        raise too_much_memory(where) from error
    except Image.DecompressionBombError as error:
        raise too_many_pixels(where, "") from error
    except UnidentifiedImageError as error:
        raise VlcliError(
            "D302", where, f"is not a picture that can be read ({describe_start(file)})",
            "supported: JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF",
        ) from error  # fmt: skip
    except DECODE_ERRORS as error:
        raise VlcliError("D303", where, f"its header is damaged ({one_line(error)})",
                         "replace the file by a good copy") from error  # fmt: skip


def supported_formats() -> set[str]:
    """Names of the formats that this Pillow, with its plugins, can open."""
    Image.init()
    return set(Image.OPEN)


def describe_start(file: io.BufferedReader) -> str:
    """What the first bytes of an unknown file look like, in a few words."""
    file.seek(0)
    start = file.read(16)
    if start.startswith((b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")):
        return "it begins like a picture, but its header is damaged"
    if start.startswith(b"%PDF"):
        return "it is a PDF"
    if start.lstrip().lower().startswith((b"<svg", b"<?xml", b"<!doc", b"<html")):
        return "it is SVG, XML or HTML text"
    return "its content is of another kind"


def check_pixels(size: tuple[int, int] | None, where: str) -> None:
    """Refuse a picture whose header announces more pixels than allowed, or none."""
    if size is None:
        return
    width, height = size
    if width * height > max_pixels():
        raise too_many_pixels(where, f"{width:,} × {height:,} ")
    if width < 1 or height < 1:
        raise VlcliError("D303", where, f"its header says {width} × {height} pixels", "replace the file")


def too_many_pixels(where: str, size: str) -> VlcliError:
    """The refusal of a picture above the ceiling."""
    return VlcliError(
        "D301", where, f"its {size}pixels are more than the limit of {max_pixels():,}",
        f"raise --max-pixels or {MAX_PIXELS_VARIABLE}",
    )  # fmt: skip


def too_much_memory(where: str) -> VlcliError:
    """The refusal of a file that asks for more memory than can be had: mostly a damaged length in its header."""
    return VlcliError("D305", where, "asks for more memory than can be had", "replace the file, or free memory")


def webp_size(start: bytes) -> tuple[int, int] | None:
    """Width and height from the header of a WebP file (its library allocates the canvas while opening), else None.

    Source: RFC 9649, sections 2.5-2.7.
    """
    if len(start) < 30 or start[:4] != b"RIFF" or start[8:12] != b"WEBP":
        return None
    chunk = start[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", start[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def shrink_on_decode(picture: Image.Image, min_side: int | None) -> None:
    """Ask the JPEG decoder for a smaller picture whose shorter side is still at least `DRAFT_MARGIN * min_side`."""
    shorter = min(picture.size)
    if picture.format not in ("JPEG", "MPO") or min_side is None:
        return
    wanted = math.ceil(DRAFT_MARGIN * min_side)
    if shorter < 2 * wanted:
        return
    width, height = picture.size
    picture.draft(None, (-(-width * wanted // shorter), -(-height * wanted // shorter)))


def upright(picture: Image.Image) -> Image.Image:
    """Apply the EXIF orientation; metadata that can not be parsed leaves the picture as it is stored."""
    try:
        orientation = picture.getexif().get(ORIENTATION_TAG, 1)
    except DECODE_ERRORS:
        return picture
    if orientation not in range(2, 9):
        return picture
    transposed: Image.Image = ImageOps.exif_transpose(picture)
    return transposed


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any Pillow mode to 8-bit RGB; transparency is laid over white."""
    mode = picture.mode
    if mode.startswith(("I", "F")):
        return scale_to_8_bits(picture).convert("RGB")
    if mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, lab, rgb, outputMode="RGB")
        if converted is None:
            raise ValueError("the L*a*b* colours can not be converted")
        return converted
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, layer).convert("RGB")
    return picture.convert("RGB")


def scale_to_8_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 bits, 32 bits or floats to 8 bits.

    16 bits are scaled by their full range. 32-bit integers and floats carry no range: floats within 0..1 are scaled by
    it, integers within 0..65535 as 16 bits, anything else from its minimum to its maximum. NaN becomes black.

    Raises:
        ValueError: when no pixel has a finite value.
    """
    values = np.asarray(picture).astype(np.float64)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("no pixel has a finite value")
    low, high = float(finite.min()), float(finite.max())
    if picture.mode.startswith("I;16") or (picture.mode == "I" and low >= 0 and 255 < high <= 65535):
        low, high = 0.0, 65535.0
    elif picture.mode == "I" and low >= 0 and high <= 255:
        low, high = 0.0, 255.0
    elif picture.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = (np.nan_to_num(values, nan=low, posinf=high, neginf=low) - low) * (255.0 / max(high - low, 1e-30))
    return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def one_line(error: BaseException) -> str:
    """An exception's message without line breaks, or its type when it has none."""
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
