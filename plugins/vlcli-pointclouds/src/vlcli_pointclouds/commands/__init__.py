"""`vlcli pointclouds`: the command group; each module adds the commands of its room."""

from __future__ import annotations

import typer

from vlcli_pointclouds.commands import caption, files, samples

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Look at point clouds and meshes, draw and convert them.",
)


@app.callback()
def group() -> None:
    """Look at point clouds and meshes, draw and convert them."""


files.add_to(app)
samples.add_to(app)
caption.add_to(app)
