"""glTF 2.0, as JSON with buffers in it or beside it, and as GLB.

trimesh parses it, after `gltf_checks` has compared every index and length with the bytes that are there: trimesh itself
allocates what an accessor without bytes announces (48 GB in one test), takes nodes within themselves, reads files by
any path, and takes integers that stand for 0…1 as they are. It is given a tree that holds only what is drawn.
Source: the glTF 2.0 specification of the Khronos Group.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.beside import Unusable, bytes_beside, check_picture
from vlcli_pointclouds.readers.content import MOST_BYTES, Content, check_bytes, check_room
from vlcli_pointclouds.readers.gltf_checks import Checks, Damage, said
from vlcli_pointclouds.readers.scenes import parse_scene, shape_of_scene
from vlcli_pointclouds.shape import Shape

MOST_JSON_BYTES = 64_000_000
MOST_PICTURE_BYTES = 50_000_000
JSON_CHUNK, BINARY_CHUNK = 0x4E4F534A, 0x004E4942
COMPRESSED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")


def read_gltf(content: Content) -> Shape:
    """The scene's triangles, or its points where it has no triangles."""
    binary = content.data.startswith(b"glTF")
    text, attached = chunks(content) if binary else (content.data, None)
    if len(text) > MOST_JSON_BYTES:
        raise VlcliError("D702", content.where, f"its JSON has {len(text):,} bytes, more than {MOST_JSON_BYTES:,}",
                         "save it as GLB")  # fmt: skip
    format = "GLB" if binary else "glTF"
    try:
        root = parsed(text)
        checks = Checks(root, [buffer_of(content, index, one, attached) for index, one in enumerate(listed(root))])
        tree = checks.tree(content.where)
    except Damage as damage:
        raise VlcliError(damage.code, content.where, damage.reason, "mend the file, or save it as PLY") from damage
    notes = [*checks.notes]
    looks = materials_of(content, root, checks, notes)
    data, files = json.dumps(tree | looks).encode(), checks.files
    try:
        scene = parse_scene(data, "gltf", files, content, skip_materials=not looks)
    except VlcliError:
        if not looks:
            raise
        notes.append("materials left out: they are damaged")
        scene = parse_scene(data, "gltf", files, content, skip_materials=True)
    return shape_of_scene(scene, content, format, tuple(notes))


def parsed(text: bytes) -> dict[str, Any]:
    """The JSON object of a file that can be read.

    Raises:
        Damage: D710 another version or compressed, D713 damaged JSON.
    """

    def no_constant(name: str) -> float:
        raise ValueError(f"{name} is no JSON number")

    try:
        root = json.loads(text.decode("utf-8-sig"), parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise Damage("D713", f"its JSON is damaged ({reason})") from error
    if not isinstance(root, dict):
        raise Damage("D713", "its JSON is not an object")
    asset = root.get("asset")
    version = asset.get("version") if isinstance(asset, dict) else None
    if not isinstance(version, str) or not version.startswith("2."):
        raise Damage("D710", f"is not glTF 2.0: its version is {said(version)}")
    required = root.get("extensionsRequired")
    for extension in COMPRESSED:
        if isinstance(required, list) and extension in required:
            raise Damage("D710", f"its triangles are compressed by {extension}, which is not read")
    return root


def listed(root: dict[str, Any]) -> list[Any]:
    """The buffers."""
    buffers = root.get("buffers", [])
    if not isinstance(buffers, list):
        raise Damage("D713", "its buffers are no list")
    return buffers


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
    found: dict[int, bytes] = {}
    place = 12
    while place + 8 <= length:
        size, kind = (int.from_bytes(data[start : start + 4], "little") for start in (place, place + 4))
        check_room(size, len(data) - place - 8, "a chunk", content.where)
        found.setdefault(kind, data[place + 8 : place + 8 + size])
        place += 8 + size
    if JSON_CHUNK not in found:
        raise VlcliError("D713", content.where, "has no JSON chunk", "the file is damaged")
    return found[JSON_CHUNK], found.get(BINARY_CHUNK)


def buffer_of(content: Content, index: int, buffer: Any, attached: bytes | None) -> bytes:
    """A buffer's bytes: the binary chunk, base64 in the JSON, or a file beside it.

    Raises:
        Damage: D703 shorter than stated, D713 damaged.
        VlcliError: D714 for an address or a path that leaves the folder, D111-D115 for the file.
    """
    stated = buffer.get("byteLength") if isinstance(buffer, dict) else None
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < 1:
        raise Damage("D713", f"buffer {index} states no length")
    uri = buffer.get("uri")
    if uri is None:
        if index or attached is None:
            raise Damage("D713", f"buffer {index} is nowhere")
        data = attached
    elif isinstance(uri, str):
        data = bytes_of_uri(content, uri, MOST_BYTES)
    else:
        raise Damage("D713", f"buffer {index} has no address that is text")
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


def materials_of(content: Content, root: dict[str, Any], checks: Checks, notes: list[str]) -> dict[str, Any]:
    """Materials, textures and pictures for trimesh, the pictures' bytes read; what can not be had is noted."""
    if not all(isinstance(root.get(name, []), list) for name in ("materials", "textures", "images")):
        return {}
    images = []
    for number, image in enumerate(root.get("images", [])[:64]):
        try:
            if not isinstance(image, dict):
                raise Damage("D713", "an image is no object")
            if "bufferView" in image:
                data, start, length, _ = checks.view(image["bufferView"])
                data = data[start : start + length]
            elif isinstance(image.get("uri"), str):
                data = bytes_of_uri(content, image["uri"], MOST_PICTURE_BYTES)
            else:
                raise Damage("D713", "an image is nowhere")
            check_picture(data)
            checks.files[f"image{number}"] = data
            images.append({"uri": f"image{number}"})
        except (Damage, Unusable, VlcliError) as error:
            reason = error.message if isinstance(error, VlcliError) else error
            notes.append(f"a picture left out: {reason}")
            images.append({})
    kept: dict[str, Any] = {"textures": root.get("textures", []), "images": images}
    if root.get("materials"):
        kept["materials"] = [
            {"pbrMetallicRoughness": one["pbrMetallicRoughness"]}
            if isinstance(one, dict) and isinstance(one.get("pbrMetallicRoughness"), dict) else {}
            for one in root["materials"]
        ]  # fmt: skip
    return kept if "materials" in kept else {}
