"""`vlcli recipes`: list, show, check and copy recipes. Nothing here needs torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of
from vlcli.errors import ExitCode, VlcliError

if TYPE_CHECKING:
    from vlcli.recipe import RecipeFile
    from vlcli.registry import Registry

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="List, show, check and copy recipes.",
    epilog="A recipe is a name (images/contrastive, or demo while that is unique) or a path that ends in .toml.",
)  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; TOML syntax.")]
Unsets = Annotated[list[str] | None, typer.Option("--unset", metavar="KEY", help="Take a key or table out.")]
Name = Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe's name or file.")]


@app.command("list", epilog="Example: vlcli recipes list --json")
def list_recipes(ctx: typer.Context, as_json: Json = False) -> None:
    """List the recipes that installed packages ship."""
    from vlcli.recipe import shipped_recipes

    rows = [describe(name, file) for name, file in shipped_recipes(state_of(ctx).registry).items()]
    if as_json:
        emit_json({"recipes": rows})
        return
    typer.echo(table(("NAME", "DOES", "SUMMARY"), [(r["name"], r["does"], r["error"] or r["summary"]) for r in rows]))


def describe(name: str, file: RecipeFile) -> dict[str, Any]:
    """One recipe for the list, from its own file alone; a broken one is listed with its first problem."""
    from vlcli.recipe.document import read_document
    from vlcli.recipe.problems import RecipeError

    row = {"name": name, "plugin": name.partition("/")[0], "summary": "", "does": "", "file": str(file.path),
           "error": ""}  # fmt: skip
    try:
        values = read_document(file.path, file.label).values
    except RecipeError as error:
        row["error"] = str(error.problems[0])
        return row
    row["summary"] = str(values.get("summary", ""))
    steps = values.get("steps")
    parts = ["train"] if "method" in values or "objective" in values else []
    for step in steps.values() if isinstance(steps, dict) else ():
        if isinstance(step, dict):
            parts.append(str(step.get("use", "?")))
    row["does"] = " → ".join(dict.fromkeys(parts))
    return row


@app.command("show", epilog="Examples: vlcli recipes show demo  ·  vlcli recipes show demo --resolved --set seed=3")
def show_recipe(
    ctx: typer.Context, recipe: Name, sets: Sets = None, unsets: Unsets = None,
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Merged with all that it extends, each key with the place it was set.")
    ] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show a recipe as it is written, or resolved."""
    from vlcli.recipe import load_recipe, render_recipe
    from vlcli.recipe.find import locate
    from vlcli.recipe.problems import show_key

    registry = state_of(ctx).registry
    if not (resolved or as_json or sets or unsets):
        from vlcli.recipe.document import read_text

        file = locate(recipe, registry)
        typer.echo(read_text(file.path, file.label), nl=False)
        return
    found = load_recipe(recipe, registry, sets or (), unsets or ())
    if as_json:
        places = {show_key(path): str(origin) for path, origin in found.provenance.items() if path}
        emit_json({"name": found.name, "files": [str(file.path) for file in found.files], "recipe": found.values,
                   "provenance": places, "hash": found.hash})  # fmt: skip
        return
    typer.echo(render_recipe(found), nl=False)


@app.command("check", epilog="Examples: vlcli recipes check clip.toml --set optim.lr=1e-3  ·  vlcli recipes check demo")
def check_recipes(
    ctx: typer.Context,
    recipes: Annotated[list[str], typer.Argument(metavar="RECIPE...", help="Names or files.")],
    sets: Sets = None, unsets: Unsets = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Check recipes without running them: every problem with its file and line. Exit code 2 when there is one."""
    from vlcli.recipe import RecipeError

    registry = state_of(ctx).registry
    results, errors = [], []
    for recipe in recipes:
        try:
            check_one(recipe, registry, sets or [], unsets or [])
            results.append({"recipe": recipe, "ok": True, "problems": []})
            if not as_json:
                typer.echo(f"{recipe}: ok")
        except RecipeError as error:
            errors.append(error)
            problems = [problem.as_json() for problem in error.problems]
            results.append({"recipe": recipe, "ok": False, "problems": problems})
            if not as_json:
                typer.echo(str(error), err=True)
    if as_json:
        emit_json({"recipes": results, "ok": not errors})
    if errors:
        raise typer.Exit(max(int(error.exit_code) for error in errors) if len(errors) == 1 else ExitCode.USAGE)


def check_one(recipe: str, registry: Registry, sets: list[str], unsets: list[str]) -> None:
    """Load one recipe with all checks, and drop it."""
    from vlcli.recipe import load_recipe

    load_recipe(recipe, registry, sets, unsets)


@app.command("copy", epilog="Example: vlcli recipes copy search-my-pictures mine.toml")
def copy_recipe(
    ctx: typer.Context, recipe: Name,
    destination: Annotated[Path | None, typer.Argument(metavar="[DEST]", help="File or folder; default: here.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:  # fmt: skip
    """Copy a recipe to edit it. One that is laid over files beside it is written out in full."""
    from vlcli.recipe import load_recipe, render_recipe
    from vlcli.recipe.document import parse_document, read_text
    from vlcli.recipe.find import locate
    from vlcli.runtime.files import write_atomic

    registry = state_of(ctx).registry
    file = locate(recipe, registry)
    target = Path(f"{file.name}.toml") if destination is None else destination
    if target.is_dir():
        target = target / f"{file.name}.toml"
    if target.exists() and not force:
        raise VlcliError("U151", str(target), "is there already", "name another file, or replace it with --force")
    text = read_text(file.path, file.label)
    extends = parse_document(text, file.label).values.get("extends", [])
    if any(not str(base).startswith("@") for base in extends):
        text = render_recipe(load_recipe(recipe, registry))
    write_atomic(target, text)
    typer.echo(f"{target}")
