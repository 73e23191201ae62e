"""`vlcli report`: the HTML page of a run or of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlcli.cli.output import emit_json
from vlcli.cli.state import state_of

app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})

EXAMPLES = """Examples:

  vlcli report runs/quickstart-20260101-120000

  vlcli report photos -o photos.html
"""


@app.command(help="Write the HTML report of a run or a store.", epilog=EXAMPLES)
def report(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(help="The folder of a run, or a store (path or name).")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write the page.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the page's path as JSON.")] = False,
) -> None:
    """Print where the page is. A run's page goes into its folder, a store's page into the current folder."""
    from vlcli.errors import VlcliError
    from vlcli.report.folders import is_run, write_run_report, write_store_report
    from vlcli.runtime.paths import store_path
    from vlcli.store import open_store

    state = state_of(ctx)
    folder = Path(target).expanduser()
    stored = store_path(target)
    if is_run(folder):
        page = write_run_report(output or folder / "report.html", folder)
    elif stored.is_dir():
        with open_store(stored, state.registry) as store:
            page = write_store_report(output or Path(f"{stored.name}-report.html"), store, state.registry)
    else:
        raise VlcliError("U311", target, "is neither the folder of a run nor a store",
                         "see `vlcli store list`, or look under ./runs")  # fmt: skip
    if json:
        emit_json({"report": str(page)})
    else:
        typer.echo(str(page))
