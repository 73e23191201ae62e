"""The bytes of a glTF file: chunks of GLB, buffers in base64 and in files beside it."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.beside import bytes_beside
from vlcli_pointclouds.readers.content import MOST_BYTES, Content, check_bytes, check_room
from vlcli_pointclouds.readers.gltf_tree import Damage

JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942


def chunks(content: Content) -> tuple[bytes, bytes | None]:
    """JSON and binary chunk of a GLB file.

    Raises:
        VlcliError: D703 cut short, D710 another version, D713 without JSON.
    """
    data = content.data
    check_room(20, len(data), "a GLB header", content.where)
    version, length = int.from_bytes(data[4:8], "little"), int.from_bytes(data[8:12], "little")
    if version != 2:
        raise VlcliError("D710", content.where, f"is GLB of version {version}, not 2", "save it as version 2")
    check_room(length, len(data), "a GLB file", content.where)
    text: bytes | None = None
    attached: bytes | None = None
    place = 12
    while place + 8 <= min(length, len(data)):
        size, kind = (
            int.from_bytes(data[place : place + 4], "little"),
            int.from_bytes(data[place + 4 : place + 8], "little"),
        )
        check_room(size, len(data) - place - 8, "a chunk", content.where)
        part = data[place + 8 : place + 8 + size]
        if kind == JSON_CHUNK and text is None:
            text = part
        elif kind == BINARY_CHUNK and attached is None:
            attached = part
        place += 8 + size
    if text is None:
        raise VlcliError("D713", content.where, "has no JSON chunk", "the file is damaged")
    return text, attached


def buffer_of(content: Content, root: dict[str, Any], index: int, attached: bytes | None) -> bytes:
    """A buffer's bytes: the binary chunk, base64 in the JSON, or a file beside it.

    Raises:
        Damage: D703 shorter than stated, D713 damaged.
        VlcliError: D714 for an address or a path that leaves the folder, D111-D115 for the file.
    """
    buffer = root["buffers"][index]
    stated, uri = buffer.get("byteLength"), buffer.get("uri")
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < 1:
        raise Damage("D713", f"buffer {index} states no length")
    if uri is None:
        if index or attached is None:
            raise Damage("D713", f"buffer {index} is nowhere")
        data = attached
    elif not isinstance(uri, str):
        raise Damage("D713", f"buffer {index} has no address that is text")
    else:
        data = bytes_of_uri(content, uri, MOST_BYTES)
    if len(data) < stated:
        raise Damage("D703", f"buffer {index} states {stated:,} bytes and has {len(data):,}")
    return data


def bytes_of_uri(content: Content, uri: str, ceiling: int) -> bytes:
    """What a `data:` address or a file beside the shape holds."""
    if not uri.startswith("data:"):
        return bytes_beside(content, uri, ceiling)
    head, comma, body = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise Damage("D713", "a data: address is not base64")
    check_bytes(len(body) * 3 // 4, ceiling, content.where)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Damage("D713", f"base64 in it is damaged ({error})") from error
