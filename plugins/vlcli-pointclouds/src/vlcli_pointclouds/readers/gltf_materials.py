"""Materials of a glTF file: a base colour and its picture. What is wrong with them becomes a note."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.beside import Unusable, picture_of
from vlcli_pointclouds.readers.content import Content
from vlcli_pointclouds.readers.gltf_buffers import bytes_of_uri
from vlcli_pointclouds.readers.gltf_tree import Damage, Tree

MOST_PICTURES = 16
MOST_PICTURE_BYTES = 50_000_000


@dataclass(frozen=True, eq=False)
class Look:
    """A material: linear base colour, its picture, and which texture coordinates that uses."""

    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)
    picture: NDArray[np.uint8] | None = None
    coordinates: int = 0

    @property
    def coloured(self) -> bool:
        """Whether it is anything but plain white."""
        return self.colour != (1.0, 1.0, 1.0)


PLAIN = Look()


@dataclass(eq=False)
class Looks:
    """The materials of a file, each read once."""

    tree: Tree
    content: Content
    known: dict[int, Look] = field(default_factory=dict)
    pictures: dict[int, NDArray[np.uint8] | None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)

    def of(self, index: Any) -> Look:
        """A primitive's material; a plain one where it has none or a broken one."""
        if index is None:
            return PLAIN
        try:
            entry = self.tree.entry("materials", index)
            if index not in self.known:
                self.known[index] = self.read(entry)
            return self.known[index]
        except Damage as damage:
            self.notes[f"a material left out: {damage.reason}"] = None
            return PLAIN

    def read(self, entry: dict[str, Any]) -> Look:
        """One material."""
        surface = entry.get("pbrMetallicRoughness", {})
        if not isinstance(surface, dict):
            return PLAIN
        factor = surface.get("baseColorFactor", [1, 1, 1, 1])
        colour = (1.0, 1.0, 1.0)
        if isinstance(factor, list) and len(factor) >= 3 and all(isinstance(one, int | float) for one in factor[:3]):
            red, green, blue = (min(max(one, 0), 1) for one in factor[:3])
            colour = (float(red), float(green), float(blue))
        texture = surface.get("baseColorTexture")
        if not isinstance(texture, dict):
            return Look(colour)
        coordinates = texture.get("texCoord", 0)
        extensions = texture.get("extensions")
        if isinstance(extensions, dict) and "KHR_texture_transform" in extensions:
            self.notes["a picture's own transform left out"] = None
        return Look(colour, self.picture(texture.get("index")), coordinates if isinstance(coordinates, int) else 0)

    def picture(self, index: Any) -> NDArray[np.uint8] | None:
        """A texture's picture; None, and a note, when it can not be used."""
        try:
            source = self.tree.entry("textures", index).get("source")
            image = self.tree.entry("images", source)
            assert isinstance(source, int)
            if source not in self.pictures:
                self.pictures[source] = None
                if len(self.pictures) > MOST_PICTURES:
                    raise Unusable(f"more than {MOST_PICTURES} pictures")
                self.pictures[source] = picture_of(self.image_bytes(image))
            return self.pictures[source]
        except (Damage, Unusable, VlcliError) as error:
            reason = (
                error.reason if isinstance(error, Damage) else error.message if isinstance(error, VlcliError) else error
            )
            self.notes[f"a picture left out: {reason}"] = None
            return None

    def image_bytes(self, image: dict[str, Any]) -> bytes:
        """A picture's bytes."""
        if "bufferView" in image:
            data, start, length, _ = self.tree.view(image["bufferView"])
            return data[start : start + length]
        if not isinstance(image.get("uri"), str):
            raise Unusable("an image is nowhere")
        return bytes_of_uri(self.content, image["uri"], MOST_PICTURE_BYTES)
