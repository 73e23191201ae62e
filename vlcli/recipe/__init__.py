"""Recipes: TOML files that fully determine a run."""
