"""The verbs of vlcli itself and where each lives: below the command line, as plugins are checked against it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# verb -> (typer app as "module:attribute", one line for --help), in the order of --help
CORE_COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "embed": ("vlcli.cli.embed:app", "Embed files into a store."),
        "search": ("vlcli.cli.search:app", "Search a store by text or by example."),
        "classify": ("vlcli.cli.classify:app", "Sort files into labels without training."),
        "eval": ("vlcli.cli.evaluate:app", "Measure a space on data, with confidence intervals."),
        "run": ("vlcli.cli.run:app", "Run a recipe."),
        "reproduce": ("vlcli.cli.reproduce:app", "Test the claim of a method, with seeds, baseline and intervals."),
        "report": ("vlcli.cli.report:app", "Write the HTML report of a run or a store."),
        "store": ("vlcli.cli.store:app", "List, check, repair, export and remove stores."),
        "spaces": ("vlcli.cli.spaces:app", "List and show spaces."),
        "recipes": ("vlcli.cli.recipes:app", "List, show, check and copy recipes."),
        "data": ("vlcli.cli.data:app", "List, show and preview data sets."),
        "methods": ("vlcli.cli.methods:app", "List and show methods and their evidence."),
        "plugins": ("vlcli.cli.plugins:app", "List, examine, make, install and remove plugins."),
        "cache": ("vlcli.cli.cache:app", "Show and clear the cache."),
        "config": ("vlcli.cli.config:app", "Show the settings in force."),
    }
)
