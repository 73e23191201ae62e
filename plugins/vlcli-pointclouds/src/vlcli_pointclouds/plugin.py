"""Registration of the pointclouds plugin: what it offers, named lazily."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import RecipeFolderSpec, hookimpl


@hookimpl
def vlcli_recipes() -> Iterator[RecipeFolderSpec]:
    """The plugin's recipes."""
    yield RecipeFolderSpec(package="vlcli_pointclouds", folder="recipes")
