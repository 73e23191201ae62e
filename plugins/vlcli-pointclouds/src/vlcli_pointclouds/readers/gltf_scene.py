"""The scene of a glTF file as one shape: nodes placed, primitives joined, materials as colours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.content import Content, check_count
from vlcli_pointclouds.readers.gltf_materials import Look, Looks
from vlcli_pointclouds.readers.gltf_tree import Damage, Tree, decimals
from vlcli_pointclouds.shape import Floats, Integers, Shape, Texture

POINTS, TRIANGLES, STRIP, FAN = 0, 4, 5, 6
MOST_NODES = 100_000


@dataclass(eq=False)
class Part:
    """A primitive of a mesh, placed in the scene."""

    vertices: Floats
    faces: Integers
    colours: Floats | None
    look: Look
    uv: Floats | None


@dataclass
class Gathered:
    """What was found so far."""

    parts: list[Part] = field(default_factory=list)
    points: int = 0
    faces: int = 0
    notes: dict[str, None] = field(default_factory=dict)


def shape_of_scene(tree: Tree, content: Content, format: str) -> Shape:
    """All meshes of the scene.

    Raises:
        Damage: D703, D708, D710, D713 for what is wrong with the file.
        VlcliError: D702 too much of it, D704 nothing to see.
    """
    gathered = Gathered()
    looks = Looks(tree, content)
    for mesh, matrix in placed_meshes(tree):
        entry = tree.entry("meshes", mesh)
        primitives = entry.get("primitives")
        if not isinstance(primitives, list):
            raise Damage("D713", f"meshes {mesh} has no primitives")
        for primitive in primitives:
            if not isinstance(primitive, dict):
                raise Damage("D713", f"meshes {mesh} has a primitive that is no object")
            add_primitive(tree, primitive, matrix, looks, gathered, content)
    if tree.table("skins"):
        gathered.notes["skins left out: the mesh stands as it was modelled"] = None
    parts = gathered.parts
    solid = [part for part in parts if len(part.faces)]
    if solid and len(solid) < len(parts):
        gathered.notes["points beside the triangles left out"] = None
    parts = solid or parts
    if not parts:
        raise VlcliError("D704", content.where, "its scene holds neither triangles nor points")
    return joined(parts, format, (*gathered.notes, *looks.notes))


def placed_meshes(tree: Tree) -> Iterator[tuple[Any, Floats]]:
    """Each mesh in the scene with its matrix `[4, 4]`; all meshes where there is no scene."""
    if not tree.table("nodes"):
        yield from ((index, np.eye(4)) for index in range(len(tree.table("meshes"))))
        return
    if tree.table("scenes"):
        roots = tree.entry("scenes", tree.root.get("scene", 0)).get("nodes", [])
    else:
        children = {child for node in tree.table("nodes") if isinstance(node, dict) for child in child_list(node)}
        roots = [index for index in range(len(tree.table("nodes"))) if index not in children]
    if not isinstance(roots, list):
        raise Damage("D713", "the scene's nodes are no list")
    seen: set[int] = set()
    waiting: list[tuple[Any, Floats]] = [(root, np.eye(4)) for root in reversed(roots)]
    while waiting:
        index, above = waiting.pop()
        node = tree.entry("nodes", index)
        if index in seen or len(seen) >= MOST_NODES:
            raise Damage("D713", f"nodes {index} stands in the scene twice, or within itself" if index in seen
                         else f"has more than {MOST_NODES:,} nodes")  # fmt: skip
        seen.add(index)
        with np.errstate(over="ignore", invalid="ignore"):
            matrix = above @ matrix_of(node, index)
        if "mesh" in node:
            yield node["mesh"], matrix
        waiting += [(child, matrix) for child in reversed(child_list(node))]


def child_list(node: dict[str, Any]) -> list[int]:
    """A node's children."""
    children = node.get("children", [])
    if not isinstance(children, list) or not all(isinstance(child, int) for child in children):
        raise Damage("D713", "a node's children are no list of nodes")
    return children


def matrix_of(node: dict[str, Any], index: int) -> Floats:
    """A node's own matrix, or its translation, rotation and scale."""
    where = f"nodes {index}: its"
    if "matrix" in node:
        return np.array(decimals(node["matrix"], 16, f"{where} matrix")).reshape(4, 4).T
    matrix = np.eye(4)
    scale = decimals(node.get("scale", [1, 1, 1]), 3, f"{where} scale")
    turn = decimals(node.get("rotation", [0, 0, 0, 1]), 4, f"{where} rotation")
    if not 1e-6 < sum(value * value for value in turn) < 1e12:
        raise Damage("D713", f"{where} rotation is no quaternion")
    matrix[:3, :3] = Rotation.from_quat(turn).as_matrix() * scale
    matrix[:3, 3] = decimals(node.get("translation", [0, 0, 0]), 3, f"{where} translation")
    return matrix


def add_primitive(
    tree: Tree, primitive: dict[str, Any], matrix: Floats, looks: Looks, gathered: Gathered, content: Content
) -> None:
    """Place one primitive."""
    attributes = primitive.get("attributes")
    if not isinstance(attributes, dict) or "POSITION" not in attributes:
        gathered.notes["a primitive without positions left out"] = None
        return
    mode = primitive.get("mode", TRIANGLES)
    if mode not in (POINTS, TRIANGLES, STRIP, FAN):
        gathered.notes["lines left out"] = None
        return
    positions = tree.accessor(attributes["POSITION"], ("VEC3",))
    count = len(positions)
    gathered.points += count
    check_count(gathered.points, "vertices", content.where)
    indices = None
    if "indices" in primitive:
        indices = tree.accessor(primitive["indices"], ("SCALAR",))
        if indices.dtype.kind != "u":
            raise Damage("D713", "indices of a primitive are not whole numbers")
        if len(indices) and indices.max() >= count:
            raise Damage("D708", f"a face names vertex {int(indices.max()):,} (counted from 0) of {count:,}")
    order = np.arange(count) if indices is None else indices.astype(np.int64)
    faces = faces_of(order, mode)
    gathered.faces += len(faces)
    check_count(gathered.faces, "triangles", content.where)
    with np.errstate(over="ignore", invalid="ignore"):
        vertices = positions.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    if mode == POINTS:
        used, colours = np.unique(order), vertex_colours(tree, attributes, count)
        gathered.parts.append(Part(vertices[used], faces, None if colours is None else colours[used],
                                   looks.of(primitive.get("material")), None))  # fmt: skip
        return
    if np.isfinite(matrix).all() and np.linalg.det(matrix[:3, :3]) < 0:
        faces = faces[:, ::-1]
    look = looks.of(primitive.get("material"))
    gathered.parts.append(Part(vertices, faces, vertex_colours(tree, attributes, count), look,
                               uv_of(tree, attributes, look, count)))  # fmt: skip


def faces_of(order: Integers, mode: int) -> Integers:
    """Triangles `[F, 3]` of a list, strip or fan."""
    if mode == POINTS or len(order) < 3:
        return np.empty((0, 3), dtype=np.int64)
    if mode == TRIANGLES:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    if mode == FAN:
        return np.column_stack([np.full(len(order) - 2, order[0]), order[1:-1], order[2:]])
    strip = np.column_stack([order[:-2], order[1:-1], order[2:]])
    strip[1::2] = strip[1::2, ::-1]
    return strip


def vertex_colours(tree: Tree, attributes: dict[str, Any], count: int) -> Floats | None:
    """`COLOR_0`, in sRGB."""
    if "COLOR_0" not in attributes:
        return None
    values = tree.accessor(attributes["COLOR_0"], ("VEC3", "VEC4"))
    if len(values) != count:
        raise Damage("D713", f"a primitive has {count:,} positions and {len(values):,} colours")
    return to_srgb(values[:, :3].astype(np.float64))


def to_srgb(values: Floats) -> Floats:
    """Linear light as glTF states colours, in the numbers of a screen."""
    values = np.clip(np.nan_to_num(values), 0, 1)
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def uv_of(tree: Tree, attributes: dict[str, Any], look: Look, count: int) -> Floats | None:
    """Where the vertices lie in the material's picture."""
    name = f"TEXCOORD_{look.coordinates}"
    if look.picture is None or name not in attributes:
        return None
    values = tree.accessor(attributes[name], ("VEC2",))
    return values.astype(np.float64) if len(values) == count else None


def joined(parts: list[Part], format: str, notes: tuple[str, ...]) -> Shape:
    """Parts as one shape."""
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
    coloured = any(part.colours is not None or part.look.coloured or part.uv is not None for part in parts)
    of_faces = np.concatenate(
        [np.broadcast_to(to_srgb(np.array(part.look.colour)), (len(part.faces), 3)) for part in parts]
    )
    of_vertices = np.concatenate([np.ones((len(part.vertices), 3)) if part.colours is None else part.colours
                                  for part in parts])  # fmt: skip
    if coloured and not len(faces):
        of_vertices = of_vertices * np.concatenate(
            [np.broadcast_to(to_srgb(np.array(part.look.colour)), (len(part.vertices), 3)) for part in parts]
        )
    return Shape(
        np.concatenate([part.vertices for part in parts]),
        faces if len(faces) else None,
        vertex_colours=of_vertices if coloured else None,
        face_colours=of_faces if coloured and len(faces) else None,
        textures=tuple(textures_of(parts, len(faces))) if len(faces) else (),
        format=format,
        notes=notes,
    )


def textures_of(parts: list[Part], count: int) -> Iterator[Texture]:
    """The pictures over the joined faces."""
    uv = np.zeros((count, 3, 2)) if any(part.uv is not None for part in parts) else None
    covered: dict[int, np.ndarray] = {}
    pictures = {id(part.look.picture): part.look.picture for part in parts}
    start = 0
    for part in parts:
        end = start + len(part.faces)
        if uv is not None and part.uv is not None:
            uv[start:end] = part.uv[part.faces]
            mask = covered.setdefault(id(part.look.picture), np.zeros(count, dtype=bool))
            mask[start:end] = True
        start = end
    for key, mask in covered.items():
        picture = pictures[key]
        if uv is not None and picture is not None:
            yield Texture(uv, picture, mask)
