"""A folder of sample files with a table of captions, for trying things out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlcli.cli.output import emit_json

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli pointclouds`."""
    app.command("samples", help="Write sample meshes (PLY, OBJ, OFF, GLB, STL) with a captions.csv.",
                epilog="Example: vlcli pointclouds samples -o shapes --n 60")(samples)  # fmt: skip


def samples(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder; a new or an empty one.")],
    n: Annotated[int, typer.Option("--n", min=1, max=100_000, help="How many files.")] = 60,
    categories: Annotated[
        list[str] | None, typer.Option("--category", help="Only of this category; may be repeated.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives other objects.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Write objects of the data set `pointclouds/shapes` as files that other programs open."""
    from vlcli_pointclouds.data.sample_files import write_samples

    written = write_samples(output, n, tuple(categories or ()), seed)
    if as_json:
        emit_json({"folder": str(output), "files": written, "captions": str(output / "captions.csv")})
        return
    typer.echo(f"{len(written):,} files and captions.csv in {output}")
    typer.echo(f"next: vlcli pointclouds info {output / written[0]}")
    typer.echo(f"      vlcli run align-pointclouds --set 'data.use=\"{output}\"' --out runs/shapes")
