"""Whether a recipe is valid, in one sentence."""

from __future__ import annotations

from vlcli.errors import VlcliError
from vlcli.registry import Registry


def recipe_problems(name: str, registry: Registry) -> str:
    """The first problem of a recipe, by name or path, or an empty string."""
    from vlcli.recipe import load_recipe

    try:
        load_recipe(name, registry)
    except VlcliError as error:
        return str(error).splitlines()[0]
    return ""
