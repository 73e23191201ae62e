"""glTF 2.0, as JSON with buffers in it or beside it, and as GLB.

The whole scene becomes one shape. Every index, length and count is checked before it is used.
Source: the glTF 2.0 specification of the Khronos Group.
"""

from __future__ import annotations

import json
from typing import Any

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content
from vlcli_pointclouds.readers.gltf_buffers import buffer_of, chunks
from vlcli_pointclouds.readers.gltf_scene import shape_of_scene
from vlcli_pointclouds.readers.gltf_tree import Damage, Tree, said
from vlcli_pointclouds.shape import Shape

MOST_JSON_BYTES = 64_000_000
COMPRESSED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression")


def read_gltf(content: Content) -> Shape:
    """The scene's triangles, or its points where it has no triangles."""
    binary = content.data.startswith(b"glTF")
    text, attached = chunks(content) if binary else (content.data, None)
    if len(text) > MOST_JSON_BYTES:
        raise VlcliError("D702", content.where, f"its JSON has {len(text):,} bytes, more than {MOST_JSON_BYTES:,}",
                         "save it as GLB")  # fmt: skip
    try:
        root = parsed(text)
        asset = root.get("asset")
        version = asset.get("version") if isinstance(asset, dict) else None
        if not isinstance(version, str) or not version.startswith("2."):
            raise Damage("D710", f"is not glTF 2.0: its version is {said(version)}")
        required = root.get("extensionsRequired") or []
        for extension in COMPRESSED:
            if isinstance(required, list) and extension in required:
                raise Damage("D710", f"its triangles are compressed by {extension}, which is not read")
        tree = Tree(root, lambda index: buffer_of(content, root, index, attached))
        return shape_of_scene(tree, content, "GLB" if binary else "glTF")
    except Damage as damage:
        raise VlcliError(damage.code, content.where, damage.reason, "mend the file, or save it as PLY") from damage


def parsed(text: bytes) -> dict[str, Any]:
    """The JSON object."""

    def no_constant(name: str) -> float:
        raise ValueError(f"{name} is no JSON number")

    try:
        root = json.loads(text.decode("utf-8-sig"), parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise Damage("D713", f"its JSON is damaged ({reason})") from error
    if not isinstance(root, dict):
        raise Damage("D713", "its JSON is not an object")
    return root
