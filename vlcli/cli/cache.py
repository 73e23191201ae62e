"""`vlcli cache`: what the cache holds, and removing it. All of it can be made again."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from vlcli.cli.output import emit_json, table
from vlcli.cli.state import state_of
from vlcli.errors import VlcliError, did_you_mean

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Show and clear the cache.")

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
UNITS = ("B", "kB", "MB", "GB", "TB")


@app.command("show", epilog="Example: vlcli cache show --json")
def show(as_json: Json = False) -> None:
    """Show what the cache holds, part by part."""
    root = cache_root()
    parts = [(path.name, *measure(path)) for path in parts_of(root)]
    if as_json:
        listed = [{"name": name, "files": files, "bytes": size} for name, files, size in parts]
        emit_json({"folder": str(root), "bytes": sum(size for _, _, size in parts), "parts": listed})
        return
    typer.echo(str(root))
    typer.echo(table(("PART", "FILES", "SIZE"), [(name, files, human(size)) for name, files, size in parts]))
    typer.echo(f"{human(sum(size for _, _, size in parts))} in all")


@app.command("clear", epilog="Examples: vlcli cache clear  ·  vlcli cache clear features --yes")
def clear(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[PART]...", help="Parts; default: all.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove the cache, or some parts of it. Stores and runs are not touched."""
    root = cache_root()
    known = {path.name: path for path in parts_of(root)}
    for name in names or []:
        if name not in known:
            hint = did_you_mean(name, list(known)) or "see `vlcli cache show`"
            raise VlcliError("U161", str(root), f"has no part '{name}'", hint)
    chosen = [known[name] for name in dict.fromkeys(names or known)]
    size = sum(measure(path)[1] for path in chosen)
    if chosen and not yes:
        if not sys.stdin.isatty():
            raise VlcliError("U162", str(root), "is only cleared after a yes", "add --yes")
        typer.confirm(f"Remove {human(size)} from {root}?", abort=True)
    for path in chosen:
        # A link is removed, never what it points at.
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if as_json:
        emit_json({"folder": str(root), "removed": [path.name for path in chosen], "bytes": size})
        return
    state_of(ctx).note(f"removed {human(size)} from {root}" if chosen else f"{root} is empty")


def cache_root() -> Path:
    """The cache's folder; it may not exist."""
    from vlcli.runtime.paths import home

    return home() / "cache"


def parts_of(root: Path) -> list[Path]:
    """What lies directly in the cache, sorted."""
    return sorted(root.iterdir()) if root.is_dir() else []


def measure(path: Path) -> tuple[int, int]:
    """(files, bytes) at or below a path; links count as themselves, files that vanish meanwhile not at all."""
    files = size = 0
    for file in walk(path):
        try:
            size += file.lstat().st_size
        except FileNotFoundError:
            continue
        files += 1
    return files, size


def walk(path: Path) -> Iterator[Path]:
    """The files at or below a path, without following links."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for folder, _, names in os.walk(path):
        for name in names:
            yield Path(folder, name)


def human(size: float) -> str:
    """A number of bytes for people, in powers of 1000."""
    unit = UNITS[0]
    for unit in UNITS:
        if size < 1000 or unit == UNITS[-1]:
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
