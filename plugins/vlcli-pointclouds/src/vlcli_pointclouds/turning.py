"""Shapes turned so that y points up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vlcli_pointclouds.shape import Floats, Shape

TURNS = {
    "y": np.eye(3),
    "z": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "x": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}
"""Rotations, applied to column vectors, that bring an axis to y."""


def turn_up(shape: Shape, up: str) -> Shape:
    """The shape with its axis `up` (x, y or z) turned to y."""
    if up == "y":
        return shape
    return replace(shape, vertices=turned(shape.vertices, up),
                   normals=None if shape.normals is None else turned(shape.normals, up))  # fmt: skip


def turned(values: Floats, up: str) -> Floats:
    """Rows `[N, 3]` turned."""
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is refused later, with its reason
        found: Floats = values @ TURNS[up].T
    return found
