"""Thumbnails through the modalities' own previews, and contact sheets."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vlcli.api import Modality, Source, View, Viewable
from vlcli.data.names import real_path
from vlcli.errors import VlcliError
from vlcli.report.page import data_uri

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

    from vlcli.registry import Registry

QUALITY = 82
MOST_VIEWS = 100
"""A page with the data of more views than this is slow to open; further items have their picture alone."""


@dataclass(frozen=True)
class Preview:
    """A thumbnail as a data URI, or the reason why there is none; and the item's view, where its modality has one."""

    image: str = ""
    missing: str = ""
    view: View | None = None


@dataclass
class Previews:
    """Makes thumbnails and remembers them, so that an item shown six times is read once.

    Attributes:
        size: pixels of the longer side.
    """

    registry: Registry
    size: int = 256
    readers: dict[str, Modality] = field(default_factory=dict)
    made: dict[tuple[str, str], Preview] = field(default_factory=dict)

    def png(self, modality: str, source: Source) -> bytes:
        """The modality's PNG preview.

        Raises:
            VlcliError: when the item can no longer be read.
        """
        if modality not in self.readers:
            self.readers[modality] = self.registry.load(self.registry.find("modality", modality))()
        return self.readers[modality].preview(source, self.size)

    def view(self, modality: str, source: Source) -> View | None:
        """The item's view, where its modality has one and the page has not too many already.

        Raises:
            VlcliError: when the item can no longer be read.
        """
        reader = self.readers[modality]
        if not isinstance(reader, Viewable) or sum(made.view is not None for made in self.made.values()) >= MOST_VIEWS:
            return None
        return reader.view(source)

    def of(self, modality: str, source: Source) -> Preview:
        """The thumbnail of a source; an item that is gone or damaged gives the reason instead."""
        key = (modality, source.id)
        if key not in self.made:
            try:
                image = compact(self.png(modality, source))
                self.made[key] = Preview(image, view=self.view(modality, source))
            except VlcliError as error:
                self.made[key] = Preview(missing=error.message)
            except OSError as error:
                self.made[key] = Preview(missing=f"can not be read ({error.strerror or error})")
        return self.made[key]

    def of_stored(
        self, modality: str, id: str, path: str | None, text: str | None,
        metadata: Mapping[str, Any] = MappingProxyType({}),
    ) -> Preview:  # fmt: skip
        """The thumbnail of an item that a store knows by its path, or by its text and what its columns say of it."""
        source = stored_source(id, path, text, metadata)
        return Preview(missing="the store holds neither a file nor a text") if source is None else self.of(
            modality, source)  # fmt: skip


def stored_source(
    id: str, path: str | None, text: str | None, metadata: Mapping[str, Any] = MappingProxyType({})
) -> Source | None:
    """The source of a stored item, or None when only its vector was kept."""
    if path is not None:
        return Source(id=id, path=real_path(path), metadata=metadata)
    return Source(id=id, value=text, metadata=metadata) if text is not None else None


def compact(png: bytes) -> str:
    """A PNG as the smallest data URI that looks the same: WebP for photographs, the PNG itself for flat drawings."""
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.save(buffer, "WEBP", quality=QUALITY)
    webp = buffer.getvalue()
    return data_uri(webp, "image/webp") if len(webp) < len(png) else data_uri(png, "image/png")


@cache
def font(size: int) -> FreeTypeFont:
    """DejaVu Sans (it comes with matplotlib), which has Latin, Greek, Cyrillic, Arabic and many symbols."""
    from pathlib import Path

    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def contact_sheet(
    pictures: Sequence[bytes], labels: Sequence[str], *, columns: int = 6, size: int = 160, title: str = ""
) -> bytes:
    """A PNG that shows pictures in a grid, each with its label below.

    Args:
        pictures: PNG bytes, of any size.
        labels: one text per picture; cut to the cell's width.
        columns: at most this many in a row.
        size: pixels of a cell's side.
        title: a line above the grid.

    Raises:
        VlcliError: E501 when there is no picture.
    """
    from PIL import Image, ImageDraw

    if not pictures:
        raise VlcliError("E501", "", "a contact sheet needs a picture", "choose data that hold some")
    gap, line = 10, 20
    across = min(columns, len(pictures))
    down = -(-len(pictures) // across)
    head = 40 if title else gap
    sheet = Image.new("RGB", (across * (size + gap) + gap, head + down * (size + line + gap) + gap // 2), "#fbfaf8")
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((gap, 11), fitted(title, font(18), sheet.width - 2 * gap), fill="#1d1c1a", font=font(18))
    for index, (data, label) in enumerate(zip(pictures, labels, strict=True)):
        left = gap + (index % across) * (size + gap)
        top = head + (index // across) * (size + line + gap)
        draw.rectangle((left, top, left + size - 1, top + size - 1), fill="#f1efeb")
        with Image.open(io.BytesIO(data)) as opened:
            paste_centred(sheet, opened, left, top, size)
        draw.text((left, top + size + 3), fitted(label, font(12), size), fill="#1d1c1a", font=font(12))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def paste_centred(sheet: Image, picture: Any, left: int, top: int, size: int) -> None:
    """Draw a picture into a square cell, shrunk to fit, transparency kept."""
    drawn = picture.convert("RGBA")
    drawn.thumbnail((size, size))
    place = (left + (size - drawn.width) // 2, top + (size - drawn.height) // 2)
    sheet.paste(drawn, place, drawn)


def fitted(text: str, typeface: FreeTypeFont, width: int) -> str:
    """The text on one line, cut with an ellipsis where it is wider than `width` pixels."""
    line = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    if typeface.getlength(line) <= width:
        return line
    while line and typeface.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
