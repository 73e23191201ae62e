"""Material libraries of OBJ files (`.mtl`): a colour and a picture of each material."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.beside import Unusable, bytes_beside, picture_of
from vlcli_pointclouds.readers.content import Content, text_lines
from vlcli_pointclouds.readers.gather import is_number

MOST_LIBRARIES, MOST_MATERIALS, MOST_PICTURES = 8, 10_000, 32
MOST_LIBRARY_BYTES, MOST_PICTURE_BYTES = 10_000_000, 50_000_000


@dataclass(frozen=True, eq=False)
class Material:
    """Its diffuse colour in 0…1, and its picture."""

    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    picture: NDArray[np.uint8] | None = None


@dataclass(eq=False)
class Materials:
    """Materials by name, and what could not be read of them."""

    known: dict[bytes, Material] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_materials(content: Content, libraries: list[str]) -> Materials:
    """The libraries beside an OBJ file. Whatever is wrong with them becomes a note."""
    found = Materials()
    for library in dict.fromkeys(libraries[:MOST_LIBRARIES]):
        try:
            data = bytes_beside(content, library, MOST_LIBRARY_BYTES)
            read_library(replace(content, data=data, ending=".mtl"), found)
        except VlcliError as error:
            found.notes.append(f"materials left out: {error.message}")
    return found


def read_library(content: Content, found: Materials) -> None:
    """Add the materials of one library."""
    name: bytes | None = None
    pictures = 0
    for _, line in text_lines(content):
        words = line.split()
        match words[0].lower():
            case b"newmtl":
                name = b" ".join(words[1:])
                if len(found.known) < MOST_MATERIALS:
                    found.known[name] = Material()
            case b"kd" if name in found.known and len(words) >= 4 and all(map(is_number, words[1:4])):
                red, green, blue = (float(np.clip(np.nan_to_num(float(word)), 0, 1)) for word in words[1:4])
                found.known[name] = replace(found.known[name], colour=(red, green, blue))
            case b"map_kd" if name in found.known and pictures < MOST_PICTURES and len(words) > 1:
                pictures += 1
                try:
                    picture = picture_of(
                        bytes_beside(content, words[-1].decode("utf-8", "replace"), MOST_PICTURE_BYTES)
                    )
                except (VlcliError, Unusable) as error:
                    reason = error.message if isinstance(error, VlcliError) else error
                    found.notes.append(f"a material's picture left out: {reason}")
                    continue
                found.known[name] = replace(found.known[name], picture=picture)
