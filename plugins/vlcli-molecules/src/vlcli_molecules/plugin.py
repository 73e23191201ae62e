"""Registration of the molecules plugin: what it offers, named lazily."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import CommandSpec, HealthCheckSpec, ModalitySpec, RecipeFolderSpec, hookimpl

EXTENSIONS = (".smi", ".smiles", ".selfies", ".inchi", ".sdf", ".sd", ".mol", ".mdl", ".smi.gz", ".sdf.gz")


@hookimpl
def vlcli_modalities() -> Iterator[ModalitySpec]:
    """Molecules in files and in columns of tables."""
    yield ModalitySpec(
        name="molecules",
        summary="Molecules: SMILES, SELFIES, InChI, SDF and MOL files, columns of tables.",
        target="vlcli_molecules.modality:MoleculesModality",
        extensions=EXTENSIONS,
    )


@hookimpl
def vlcli_commands() -> Iterator[CommandSpec]:
    """The command group `vlcli molecules`."""
    yield CommandSpec(
        name="molecules",
        summary="Draw, describe and predict molecules.",
        target="vlcli_molecules.commands:app",
    )


@hookimpl
def vlcli_recipes() -> Iterator[RecipeFolderSpec]:
    """The plugin's recipes."""
    yield RecipeFolderSpec(package="vlcli_molecules", folder="recipes")


@hookimpl
def vlcli_health_checks() -> Iterator[HealthCheckSpec]:
    """Reading structures works."""
    yield HealthCheckSpec(
        name="structures",
        summary="RDKit and selfies read a structure.",
        target="vlcli_molecules.health:check_structures",
    )
