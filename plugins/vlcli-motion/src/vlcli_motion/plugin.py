"""Registration of the motion plugin: what it offers, named lazily."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import DatasetSpec, RecipeFolderSpec, hookimpl


@hookimpl
def vlcli_recipes() -> Iterator[RecipeFolderSpec]:
    """The plugin's recipes."""
    yield RecipeFolderSpec(package="vlcli_motion", folder="recipes")


@hookimpl
def vlcli_datasets() -> Iterator[DatasetSpec]:
    """Motions that are made here, and loaders for files that the user brings."""
    yield DatasetSpec(
        name="procedural",
        summary="Captioned motions made by a kinematic generator: gaits, turns, gestures, one after another.",
        target="vlcli_motion.data.procedural:ProceduralMotions",
        options="vlcli_motion.data_options:ProceduralOptions",
        modalities=("motion",),
        license="Apache-2.0",
    )
