"""What trimesh has parsed as a `Shape`. Readers check a file before trimesh sees it; here its answer is taken over."""

from __future__ import annotations

import io
import logging
from typing import Any

import numpy as np
import trimesh
from trimesh.visual.texture import TextureVisuals

from vlcli.errors import VlcliError
from vlcli_pointclouds.readers.beside import Unusable, shrunk
from vlcli_pointclouds.readers.content import Content, check_count, first_line
from vlcli_pointclouds.shape import Floats, Shape, Texture

MOST_PICTURES = 16

logging.getLogger("trimesh").addHandler(logging.NullHandler())  # its remarks on damaged files go to no terminal


class Files(trimesh.resolvers.Resolver):  # type: ignore[misc]
    """The only files that trimesh may ask for, by name."""

    def __init__(self, held: dict[str, bytes]) -> None:
        self.held = held

    def get(self, key: str) -> bytes:
        """A file's bytes; `KeyError` for any other."""
        return self.held[key]

    def write(self, name: str, data: Any) -> None:
        """Nothing is written."""
        raise OSError("these files are only read")

    def namespaced(self, namespace: str) -> Files:
        """There are no folders."""
        return self

    def keys(self) -> list[str]:
        """Names of the files."""
        return list(self.held)


def parse_scene(data: bytes, kind: str, files: dict[str, bytes], content: Content, **options: Any) -> trimesh.Scene:
    """What trimesh reads.

    Raises:
        VlcliError: D716 with its reason when it does not.
    """
    try:
        with np.errstate(all="ignore"):
            return trimesh.load_scene(io.BytesIO(data), file_type=kind, resolver=Files(files), allow_remote=False,
                                      process=False, maintain_order=True, **options)  # fmt: skip
    except MemoryError:
        raise
    except Exception as error:  # its parsers raise whatever numpy, json and they themselves come upon
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise VlcliError(
            "D716", content.where, f"can not be read ({reason})", "mend the file, or replace it"
        ) from error


def shape_of_scene(scene: trimesh.Scene, content: Content, format: str, notes: tuple[str, ...] = ()) -> Shape:
    """All triangles of a scene, each mesh where its nodes place it; its points where it has no triangles.

    Raises:
        VlcliError: D702 too many of them, D704 none.
    """
    placed: list[tuple[Any, Floats]] = []
    left: dict[str, None] = dict.fromkeys(notes)
    with np.errstate(all="ignore"):
        for node in scene.graph.nodes_geometry:
            matrix, name = scene.graph[node]
            placed.append((scene.geometry[name], matrix))
    solid = [(one, matrix) for one, matrix in placed if isinstance(one, trimesh.Trimesh) and len(one.faces)]
    points = [(one, matrix) for one, matrix in placed if isinstance(one, trimesh.PointCloud)]
    chosen = solid or points
    if len(chosen) < len(placed):
        left["points, lines and empty meshes beside it left out"] = None
    if not chosen:
        raise VlcliError("D704", content.where, "holds neither triangles nor points")
    check_count(sum(len(one.vertices) for one, _ in chosen), "vertices", content.where)
    check_count(sum(len(one.faces) for one, _ in solid), "triangles", content.where)
    return joined(chosen, bool(solid), format, left)


def joined(placed: list[tuple[Any, Floats]], solid: bool, format: str, notes: dict[str, None]) -> Shape:
    """Geometries as one shape."""
    starts = np.cumsum([0, *(len(one.vertices) for one, _ in placed)])
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused later, with its reason
        vertices = np.concatenate([one.vertices @ matrix[:3, :3].T + matrix[:3, 3] for one, matrix in placed])
    looks = [colours_of_visual(one) for one, _ in placed]
    coloured = any(vertex is not None or face is not None or covered for vertex, face, covered in looks)
    of_vertices = np.concatenate([np.ones((len(one.vertices), 3)) if vertex is None else vertex
                                  for (one, _), (vertex, _, _) in zip(placed, looks, strict=True)])  # fmt: skip
    if not solid:
        return Shape(vertices, vertex_colours=of_vertices if coloured else None, format=format, notes=tuple(notes))
    faces = []
    for (one, matrix), start in zip(placed, starts, strict=False):
        mirrored = np.isfinite(matrix).all() and np.linalg.det(matrix[:3, :3]) < 0
        faces.append((one.faces[:, ::-1] if mirrored else one.faces) + start)
    of_faces = np.concatenate([np.ones((len(one.faces), 3)) if face is None else face
                               for (one, _), (_, face, _) in zip(placed, looks, strict=True)])  # fmt: skip
    return Shape(
        vertices, np.concatenate(faces).astype(np.int64),
        vertex_colours=of_vertices if coloured else None, face_colours=of_faces if coloured else None,
        textures=textures_of(placed, notes), format=format, notes=tuple(notes),
    )  # fmt: skip


def colours_of_visual(geometry: Any) -> tuple[Floats | None, Floats | None, bool]:
    """Colours of vertices and of faces in 0…1, None for white, and whether a picture lies over it."""
    if isinstance(geometry, trimesh.PointCloud):
        return (None if not len(geometry.colors) else geometry.colors[:, :3] / 255.0), None, False
    visual = geometry.visual
    if not isinstance(visual, TextureVisuals):
        stated = visual.defined and visual.kind in ("vertex", "face")
        if not stated:
            return None, None, False
        if visual.kind == "face":
            return None, visual.face_colors[:, :3] / 255.0, False
        return to_srgb(visual.vertex_colors[:, :3] / 255.0), None, False
    vertex = visual.vertex_attributes.get("color")
    if vertex is not None:
        vertex = to_srgb(trimesh.visual.color.to_float(vertex)[:, :3])
    factor = getattr(visual.material, "baseColorFactor", None)
    main = None if factor is None else trimesh.visual.color.to_float(factor)[:3]
    face = None if main is None or (main == 1).all() else np.broadcast_to(to_srgb(main), (len(geometry.faces), 3))
    return vertex, face, picture_of_visual(geometry) is not None


def to_srgb(values: Floats) -> Floats:
    """Linear light, as glTF states colours, in the numbers of a screen."""
    values = np.clip(np.nan_to_num(np.asarray(values, dtype=np.float64)), 0, 1)
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)


def picture_of_visual(geometry: Any) -> Any:
    """The picture that lies over a mesh, not decoded yet, or None."""
    visual = geometry.visual
    if not isinstance(visual, TextureVisuals) or visual.uv is None or len(visual.uv) != len(geometry.vertices):
        return None
    return getattr(visual.material, "baseColorTexture", None)


def textures_of(placed: list[tuple[Any, Floats]], notes: dict[str, None]) -> tuple[Texture, ...]:
    """The pictures over the joined faces."""
    count = sum(len(one.faces) for one, _ in placed)
    uv: Floats | None = None
    pictures: dict[int, Any] = {}
    covered: dict[int, np.ndarray] = {}
    start = 0
    for one, _ in placed:
        end = start + len(one.faces)
        picture = picture_of_visual(one)
        if picture is not None and len(pictures) < MOST_PICTURES:
            uv = np.zeros((count, 3, 2)) if uv is None else uv
            uv[start:end] = one.visual.uv[one.faces] * [1, -1] + [0, 1]
            pictures[id(picture)] = picture
            covered.setdefault(id(picture), np.zeros(count, dtype=bool))[start:end] = True
        start = end
    found = []
    for key, picture in pictures.items():
        try:
            assert uv is not None
            found.append(Texture(uv, shrunk(picture), covered[key]))
        except Unusable as error:
            notes[f"a picture left out: {error}"] = None
    return tuple(found)
