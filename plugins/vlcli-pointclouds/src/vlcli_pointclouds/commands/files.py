"""Commands on single files: what they hold, pictures of them, other formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json

if TYPE_CHECKING:
    from vlcli_pointclouds.cloud import PointCloud

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli pointclouds`."""
    app.command("info", help="Tell what a file holds and how it is read.",
                epilog="Example: vlcli pointclouds info chair.off")(info)  # fmt: skip


def info(
    file: Annotated[Path, typer.Argument(help="A file of points or of a mesh.")],
    as_json: AsJson = False,
) -> None:
    """Print counts, bounds and notes."""
    from vlcli_pointclouds.loading import load_cloud

    told = facts(load_cloud(file))
    if as_json:
        emit_json(told)
        return
    for name, value in told.items():
        typer.echo(f"{name.replace('_', ' ')}: {value}")


def facts(cloud: PointCloud) -> dict[str, Any]:
    """What there is to say of a cloud."""
    return {"format": cloud.format, "points": len(cloud.points), "notes": list(cloud.notes)}
