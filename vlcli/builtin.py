"""The built-in plugin `core`: what the core itself registers, through the same hooks as everybody else."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import RecipeFolderSpec, hookimpl


@hookimpl
def vlcli_recipes() -> Iterator[RecipeFolderSpec]:
    yield RecipeFolderSpec(package="vlcli", folder="recipes")
