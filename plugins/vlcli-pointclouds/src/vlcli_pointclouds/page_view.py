"""What a page needs to let a reader turn a shape: its triangles when they are few, else shaded discs on its points."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from vlcli.api import View
from vlcli_pointclouds.cloud import PointCloud

SCRIPT = "vlcli_pointclouds:viewer.js"
MOST_TRIANGLES = 3000
MOST_MESH_BYTES = 42_000
MOST_POINTS, MOST_COLOURED_POINTS = 4096, 3300
"""Bytes of a card stay below 60 kB with either."""
STEPS = 32_000
"""A coordinate of 1 in 16-bit integers; coordinates beyond 1.02 are cut off."""


def view_of(cloud: PointCloud) -> View:
    """The cloud's view; see `viewer.js` for its data."""
    return View(SCRIPT, mesh_data(cloud) or point_data(cloud))


def mesh_data(cloud: PointCloud) -> dict[str, Any] | None:
    """Vertices (int16), triangles (uint16) and their colours (uint8); None for a cloud or too large a mesh."""
    if cloud.vertices is None or cloud.faces is None or len(cloud.faces) > MOST_TRIANGLES:
        return None
    largest = max(1.0, float(np.abs(cloud.vertices[np.unique(cloud.faces)]).max()))
    corners = quantised(cloud.vertices[cloud.faces.ravel()] / largest)
    vertices, faces = np.unique(corners, axis=0, return_inverse=True)
    faces = faces.reshape(-1, 3)
    solid = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    size = vertices.nbytes + 6 * int(solid.sum()) + (0 if cloud.face_colours is None else 3 * int(solid.sum()))
    if size > MOST_MESH_BYTES or not solid.any():
        return None
    data = {"vertices": packed(vertices), "faces": packed(faces[solid].astype("<u2"))}
    if cloud.face_colours is not None:
        data["colours"] = packed(bytes_of(cloud.face_colours[solid]))
    return data


def point_data(cloud: PointCloud) -> dict[str, Any]:
    """Points (int16), normals (int8), colours (uint8), and the radius of a disc that closes the surface."""
    count = min(len(cloud), MOST_POINTS if cloud.colours is None else MOST_COLOURED_POINTS)
    points = cloud.points[:count]
    data: dict[str, Any] = {"points": packed(quantised(points)), "radius": round(disc_radius(points), 4)}
    if cloud.normals is not None:
        data["normals"] = packed(np.rint(cloud.normals[:count] * 127).astype("i1"))
    if cloud.colours is not None:
        data["colours"] = packed(bytes_of(cloud.colours[:count]))
    return data


def disc_radius(points: np.ndarray) -> float:
    """Of discs that close the surface: thrice the typical distance of a point to its nearest neighbour, 0.01…0.08."""
    from scipy.spatial import cKDTree

    near, _ = cKDTree(points).query(points, k=2)
    return float(np.clip(3.0 * np.median(near[:, -1]), 0.01, 0.08))


def quantised(values: np.ndarray) -> np.ndarray:
    """Coordinates as 16-bit integers."""
    steps: np.ndarray = np.rint(np.clip(values, -1.02, 1.02) * STEPS).astype("<i2")
    return steps


def bytes_of(colours: np.ndarray) -> np.ndarray:
    """Colours in 0…1 as 0…255."""
    parts: np.ndarray = np.rint(colours * 255).astype(np.uint8)
    return parts


def packed(values: np.ndarray) -> str:
    """Base64 of an array's bytes."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
