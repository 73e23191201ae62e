"""Small binary PLY files of the data sets' own clouds and meshes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vlcli_pointclouds.shape import Shape


def write_ply(path: Path, shape: Shape) -> None:
    """Write a shape as little-endian binary PLY: float32 places and normals, 8-bit colours, 32-bit triangles."""
    columns: list[tuple[str, str]] = [(axis, "<f4") for axis in "xyz"]
    if shape.normals is not None:
        columns += [(f"n{axis}", "<f4") for axis in "xyz"]
    if shape.vertex_colours is not None:
        columns += [(name, "u1") for name in ("red", "green", "blue")]
    rows = np.zeros(len(shape.vertices), dtype=columns)
    for axis, name in enumerate("xyz"):
        rows[name] = shape.vertices[:, axis]
        if shape.normals is not None:
            rows[f"n{name}"] = shape.normals[:, axis]
    if shape.vertex_colours is not None:
        pixels = np.rint(np.clip(shape.vertex_colours, 0, 1) * 255).astype(np.uint8)
        for channel, name in enumerate(("red", "green", "blue")):
            rows[name] = pixels[:, channel]
    words = {"<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    header += [f"property {words[kind]} {name}" for name, kind in columns]
    body = rows.tobytes()
    if shape.faces is not None:
        header += [f"element face {len(shape.faces)}", "property list uchar int vertex_indices"]
        faces = np.zeros(len(shape.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
        faces["count"], faces["corners"] = 3, shape.faces
        body += faces.tobytes()
    path.write_bytes("\n".join([*header, "end_header\n"]).encode("ascii") + body)
