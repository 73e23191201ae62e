"""Recipes: schema, loading, `extends`, overrides, provenance. Reading one needs no torch and runs no code of it."""

from vlcli.recipe.find import RecipeFile, shipped_recipes
from vlcli.recipe.load import ResolvedRecipe, changed_keys, load_recipe
from vlcli.recipe.problems import Origin, Problem, RecipeError
from vlcli.recipe.render import render_recipe, render_toml

__all__ = [
    "Origin", "Problem", "RecipeError", "RecipeFile", "ResolvedRecipe", "changed_keys", "load_recipe", "render_recipe",
    "render_toml", "shipped_recipes",
]  # fmt: skip
