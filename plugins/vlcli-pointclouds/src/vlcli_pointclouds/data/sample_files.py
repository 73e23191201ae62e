"""Objects of the shapes world as files in five formats, with a table of captions."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from vlcli.api import VlcliError
from vlcli.data.names import printable
from vlcli.runtime.files import write_atomic
from vlcli_pointclouds.data.shapes import COLOURS, Thing, article, build, choose_kinds, things_of
from vlcli_pointclouds.shape import Shape
from vlcli_pointclouds.writers import write_shape

ENDINGS = (".ply", ".obj", ".off", ".glb", ".stl")
"""One after the other; STL has no colours."""
COLUMNS = ("path", "caption", "description", "label")


def write_samples(folder: Path, count: int, categories: tuple[str, ...] = (), seed: int = 0) -> list[str]:
    """Write `count` meshes into sub-folders called after their category, and `captions.csv` beside them.

    Returns:
        The files' paths relative to the folder.

    Raises:
        VlcliError: U750 when the folder holds something already or can not be made; D750 for an unknown category.
    """
    kinds = choose_kinds(categories)
    make_empty(folder)
    each = [count // len(kinds) + (number < count % len(kinds)) for number in range(len(kinds))]
    lists = [things_of(kind, most, tuple(COLOURS), seed) for kind, most in zip(kinds, each, strict=True)]
    # Round by round, so that every category has every format.
    things = [members[turn] for turn in range(max(each)) for members in lists if turn < len(members)]
    rows = []
    for number, thing in enumerate(things):
        ending = ENDINGS[number % len(ENDINGS)]
        name = f"{slug(thing.kind.name)}/{slug(thing.subtype)}_{thing.number:04d}{ending}"
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        write(path, build(thing))
        rows.append((name, *texts(thing, coloured=ending != ".stl"), thing.kind.name))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_atomic(folder / "captions.csv", table.getvalue())
    return [row[0] for row in rows]


def make_empty(folder: Path) -> None:
    """Make a folder, or take one that holds nothing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = next(folder.iterdir(), None)
    except OSError as error:
        raise VlcliError(
            "U750", printable(folder), f"can not be made ({error.strerror})", "name another folder"
        ) from error
    if held is not None:
        raise VlcliError(
            "U750", printable(folder), f"is not empty: it holds {printable(held.name)}", "name a new folder"
        )


def texts(thing: Thing, coloured: bool) -> tuple[str, str]:
    """Caption and description; without the colour where the file has none."""
    if coloured:
        return thing.caption, thing.description
    plain = f"{article(thing.size)} {thing.size} {thing.subtype}"
    return plain, thing.description.replace(thing.caption, plain, 1)


def write(path: Path, shape: Shape) -> None:
    """Write a mesh in the format of the file's ending."""
    if path.suffix != ".glb":
        write_shape(path, shape)
        return
    import trimesh

    assert shape.faces is not None
    assert shape.vertex_colours is not None
    colours = np.rint(shape.vertex_colours * 255).astype(np.uint8)
    mesh = trimesh.Trimesh(shape.vertices, shape.faces, vertex_colors=colours, process=False)
    exported = mesh.export(file_type="glb")
    write_atomic(path, bytes(exported))


def slug(name: str) -> str:
    """`round table` as `round_table`."""
    return name.replace(" ", "_")
