"""`vlcli motion`: the command group; each module adds the commands of its room."""

from __future__ import annotations

import typer

from vlcli_motion.commands import caption, convert, draw, generate

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Convert, describe, generate and caption motions.",
)


@app.callback()
def group() -> None:
    """Convert, describe, generate and caption motions."""


convert.add_to(app)
draw.add_to(app)
generate.add_to(app)
caption.add_to(app)
