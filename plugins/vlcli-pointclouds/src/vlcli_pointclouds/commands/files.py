"""Commands on single files: what they hold, pictures of them, other formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.api import VlcliError
from vlcli.cli.output import emit_json

if TYPE_CHECKING:
    from vlcli_pointclouds.cloud import PointCloud
    from vlcli_pointclouds.options import CloudOptions
    from vlcli_pointclouds.shape import Shape

File = Annotated[Path, typer.Argument(help="A file of points or of a mesh.")]
Up = Annotated[str | None, typer.Option(help="The file's axis that points up: x, y or z.")]
POINT_ENDINGS = (".xyz", ".npy")


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli pointclouds`."""
    app.command("info", help="Tell what a file holds and how it is read.",
                epilog="Example: vlcli pointclouds info chair.off")(info)  # fmt: skip
    app.command("render", help="Draw a shape as PNG, from one side or several.",
                epilog="Example: vlcli pointclouds render chair.off -o chair.png --views 4")(render)  # fmt: skip
    app.command("convert", help="Write a shape in another format.",
                epilog="Example: vlcli pointclouds convert chair.obj -o chair.ply --keep-scale")(convert)  # fmt: skip


def info(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    up: Up = None,
) -> None:
    """Print counts, bounds and notes."""
    from vlcli_pointclouds.cloud import from_shape

    shape, options = read(file, up)
    told = facts(file, shape, from_shape(shape, str(file), options.points))
    if as_json:
        emit_json(told)
        return
    for name, value in told.items():
        if name == "notes":
            for note in value:
                typer.echo(f"note: {note}")
        elif isinstance(value, list):
            typer.echo(f"{name}: {'  '.join(f'{one:.6g}' for one in value)}")
        else:
            typer.echo(f"{name.replace('_', ' ')}: {told_value(value)}")


def told_value(value: Any) -> str:
    """A fact as text."""
    if isinstance(value, bool):
        return "yes" if value else "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)


def facts(file: Path, shape: Shape, cloud: PointCloud) -> dict[str, Any]:
    """What there is to say of a shape and of the cloud that is made of it."""
    return {
        "file": str(file),
        "format": shape.format,
        "vertices": len(shape.vertices),
        "triangles": 0 if shape.faces is None else len(shape.faces),
        "lowest": shape.vertices.min(axis=0).tolist(),
        "highest": shape.vertices.max(axis=0).tolist(),
        "normals": "of the triangles" if cloud.faces is not None else cloud.normals is not None,
        "colours": cloud.colours is not None,
        "sampled_points": len(cloud),
        "centre": list(cloud.centre),
        "radius": cloud.scale,
        "notes": list(cloud.notes),
    }


def render(
    file: File,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png file.")],
    views: Annotated[int, typer.Option(min=1, max=36, help="Sides around the shape; 1: one large and four small.")] = 1,
    size: Annotated[int, typer.Option(min=32, max=2048, help="Pixels of a view's side.")] = 512,
    up: Up = None,
) -> None:
    """Write the picture and print its path."""
    from vlcli.runtime.files import write_atomic
    from vlcli_pointclouds.cloud import from_shape
    from vlcli_pointclouds.preview import preview_png, views_png

    if output.suffix.lower() != ".png":
        raise VlcliError("U704", str(output), "is not a .png file", "name one with --output")
    shape, options = read(file, up)
    cloud = from_shape(shape, str(file), options.points)
    write_atomic(output, preview_png(cloud, size) if views == 1 else views_png(cloud, views, size))
    typer.echo(str(output))


def convert(
    file: File,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .ply, .off, .obj, .stl, .xyz or .npy file.")],
    keep_scale: Annotated[bool, typer.Option("--keep-scale", help="Keep the file's place and units.")] = False,
    points: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Sample so many points.")] = None,
    up: Up = None,
) -> None:
    """Write the shape, by default moved and scaled into the unit sphere, and print the path.

    A mesh stays a mesh, unless points are asked for or the format (.xyz, .npy) holds points alone.
    """
    from vlcli_pointclouds.cloud import from_shape
    from vlcli_pointclouds.writers import WRITERS, write_shape

    if output.suffix.lower() not in WRITERS:
        raise VlcliError("U702", str(output), f"'{output.suffix}' files are not written", f"use {', '.join(WRITERS)}")
    shape, options = read(file, up)
    cloud = from_shape(shape, str(file), points or options.points)
    if points is not None or output.suffix.lower() in POINT_ENDINGS or cloud.faces is None:
        written = sampled_shape(cloud, keep_scale)
    elif keep_scale:
        written = shape
    else:
        written = replace(shape, vertices=(shape.vertices - cloud.centre) / cloud.scale)
    write_shape(output, written)
    typer.echo(str(output))


def sampled_shape(cloud: PointCloud, keep_scale: bool) -> Shape:
    """The sampled points as a shape of their own."""
    import numpy as np

    from vlcli_pointclouds.shape import Shape

    def floats(values: Any) -> Any:
        return None if values is None else values.astype(np.float64)

    points = floats(cloud.points)
    if keep_scale:
        points = points * cloud.scale + np.array(cloud.centre)
    return Shape(points, normals=floats(cloud.normals), vertex_colours=floats(cloud.colours))


def read(file: Path, up: str | None) -> tuple[Shape, CloudOptions]:
    """A file's shape, turned as the command or the environment says."""
    from vlcli_pointclouds.options import environment_options, options_from
    from vlcli_pointclouds.readers import read_shape
    from vlcli_pointclouds.turning import turn_up

    options = environment_options()
    if up is not None:
        options = replace(options, up=options_from(f"up={up}").up)
    return turn_up(read_shape(file), options.up), options
