"""Commands that draw molecules and list their properties."""

from __future__ import annotations

from typing import Annotated

import typer

from vlcli.cli.output import emit_json


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli molecules`."""
    app.command("convert", help="Write a structure as SMILES and SELFIES.")(convert)


def convert(
    structure: Annotated[str, typer.Argument(help="A structure as SMILES, SELFIES or InChI.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the canonical SMILES and the SELFIES of a structure."""
    from vlcli.api import Source
    from vlcli_molecules.modality import MoleculesModality

    molecule = MoleculesModality().load(Source(id=structure, value=structure))
    if json:
        emit_json({"smiles": molecule.smiles, "selfies": molecule.selfies})
    else:
        typer.echo(f"smiles   {molecule.smiles}\nselfies  {molecule.selfies or '-'}")
