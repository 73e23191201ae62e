"""Commands that convert, describe and draw molecules."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.api import ExitCode, Source, VlcliError
from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of

if TYPE_CHECKING:
    from vlcli.registry import Registry
    from vlcli_molecules.molecule import Molecule

Inputs = Annotated[list[str], typer.Argument(help="Structures (SMILES, SELFIES, InChI), or files and tables of them.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
MOST_DRAWN = 400


def add_to(app: typer.Typer) -> None:
    """Add this module's commands to `vlcli molecules`."""
    app.command("convert", help="Write structures as canonical SMILES and SELFIES.",
                epilog='Example: vlcli molecules convert "CC(=O)[O-].[Na+]" --salts largest')(convert)  # fmt: skip
    app.command("describe", help="List formula, weight, logP and other properties.",
                epilog="Example: vlcli molecules describe CCO table.csv --json")(describe)  # fmt: skip
    app.command("draw", help="Draw structures in a grid, as PNG or SVG.",
                epilog="Example: vlcli molecules draw table.csv -o molecules.svg --top 24")(draw)  # fmt: skip


@dataclass(frozen=True)
class Read:
    """One input: a molecule, or why it was refused."""

    source: Source
    molecule: Molecule | None = None
    error: VlcliError | None = None


def read_inputs(inputs: list[str], registry: Registry, top: int | None = None) -> Iterator[Read]:
    """The molecules of structures, files and tables, at most `top` of them."""
    from itertools import islice

    from vlcli.data.inputs import InputItem, RefusedInput, expand_inputs
    from vlcli_molecules.modality import MoleculesModality

    modality = MoleculesModality()

    def every() -> Iterator[Read]:
        for text in inputs:
            if not (os.path.lexists(text) or text == "-" or text.startswith("data:")):
                yield load(Source(id=text, value=text))
                continue
            for entry in expand_inputs([text], registry, modality.name):
                if isinstance(entry, InputItem):
                    yield load(entry.source)
                elif isinstance(entry, RefusedInput):
                    refused = VlcliError(entry.code, entry.path, entry.reason)
                    yield Read(Source(id=entry.path, value=""), error=refused)

    def load(source: Source) -> Read:
        try:
            return Read(source, modality.load(source))
        except VlcliError as error:
            return Read(source, error=error)

    return islice(every(), top)


def finish(ctx: typer.Context, refused: list[VlcliError], good: int) -> None:
    """Tell the refusals on stderr, and exit as `vlcli embed` does."""
    for error in refused[:20]:
        typer.echo(str(error), err=True)
    if len(refused) > 20:
        state_of(ctx).note(f"… and {len(refused) - 20} more refused")
    if refused:
        raise typer.Exit(ExitCode.REFUSED if good else ExitCode.FAILED)


def convert(
    ctx: typer.Context,
    inputs: Inputs,
    salts: Annotated[str, typer.Option(help="keep, or largest: the largest fragment.")] = "keep",
    charges: Annotated[str, typer.Option(help="keep, or neutralise.")] = "keep",
    selfies: Annotated[
        str, typer.Option(help="If SELFIES can not write it: skip, keep-smiles, relax.")
    ] = "keep-smiles",
    as_json: AsJson = False,
) -> None:
    """Print canonical SMILES and SELFIES; what was changed is noted."""
    from vlcli_molecules.options import OPTIONS_VARIABLE, options_from

    words = f"salts={salts} charges={charges} selfies={selfies}"
    options_from(words)
    before = os.environ.get(OPTIONS_VARIABLE)
    os.environ[OPTIONS_VARIABLE] = words
    try:
        found = list(read_inputs(inputs, state_of(ctx).registry))
    finally:
        if before is None:
            del os.environ[OPTIONS_VARIABLE]
        else:
            os.environ[OPTIONS_VARIABLE] = before
    good = [(one.source, one.molecule) for one in found if one.molecule is not None]
    rows = [{"id": source.id, "smiles": mol.smiles, "selfies": mol.selfies, "notes": list(mol.notes)}
            for source, mol in good]  # fmt: skip
    if as_json:
        emit_json({"molecules": rows})
    elif rows:
        typer.echo(table(["smiles", "selfies", "notes"],
                         [(mol.smiles, mol.selfies or "-", "; ".join(mol.notes)) for _, mol in good]))  # fmt: skip
    finish(ctx, [one.error for one in found if one.error is not None], len(good))


def describe(ctx: typer.Context, inputs: Inputs, as_json: AsJson = False) -> None:
    """Print a table of properties, one row a molecule."""
    from vlcli_molecules.preview import properties

    refused: list[VlcliError] = []
    rows: list[dict[str, Any]] = []
    for one in read_inputs(inputs, state_of(ctx).registry):
        if one.molecule is not None:
            rows.append({"smiles": one.molecule.smiles, **properties(one.molecule.mol)})
        elif one.error is not None:
            refused.append(one.error)
    if as_json:
        emit_json({"molecules": rows})
    elif rows:
        typer.echo(table(list(rows[0]), [tuple(row.values()) for row in rows]))
    finish(ctx, refused, len(rows))


def draw(
    ctx: typer.Context,
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png or .svg file.")] = Path("molecules.png"),
    top: Annotated[int, typer.Option("--top", "-n", min=1, max=MOST_DRAWN, help="Draw the first of them.")] = 24,
    columns: Annotated[int, typer.Option(min=1, max=20, help="Drawings in a row.")] = 4,
    size: Annotated[int, typer.Option(min=60, max=1000, help="Pixels of a drawing's side.")] = 240,
) -> None:
    """Write the picture and print its path."""
    from vlcli.runtime.files import write_atomic
    from vlcli_molecules.preview import draw_grid

    if output.suffix.lower() not in (".png", ".svg"):
        raise VlcliError("U603", str(output), "is neither a .png nor a .svg file", "name one with --output")
    found = list(read_inputs(inputs, state_of(ctx).registry, top))
    good = [(one.source, one.molecule) for one in found if one.molecule is not None]
    if good:
        svg = output.suffix.lower() == ".svg"
        legends = [legend(source, molecule) for source, molecule in good]
        write_atomic(output, draw_grid([molecule.smiles for _, molecule in good], legends, columns=columns, size=size,
                                       svg=svg))  # fmt: skip
        typer.echo(str(output))
    finish(ctx, [one.error for one in found if one.error is not None], len(good))


def legend(source: Source, molecule: Molecule) -> str:
    """A molecule's name where its file gives one, else its SMILES."""
    columns = {str(name).lower(): value for name, value in molecule.properties.items()}
    return str(next((columns[key] for key in ("title", "name", "caption", "compound id", "id") if columns.get(key)),
                    molecule.smiles))  # fmt: skip
