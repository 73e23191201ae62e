"""`vlcli molecules`: the command group; each module adds the commands of its room."""

from __future__ import annotations

import typer

from vlcli_molecules.commands import drawing, language, properties

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Draw, describe and predict molecules.",
)


@app.callback()
def group() -> None:
    """Draw, describe and predict molecules."""


drawing.add_to(app)
properties.add_to(app)
language.add_to(app)
