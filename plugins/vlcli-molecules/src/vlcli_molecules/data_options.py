"""Options of this plugin's data sets (nothing heavy here: recipes are checked without RDKit)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vlcli_molecules.options import Options

Split = Annotated[Literal["train", "val", "test"] | None, Field(description="Only this split; all when left out.")]
Seed = Annotated[int, Field(ge=0, description="Of the random split.")]
Names = Annotated[int, Field(ge=1, le=12, description="At most so many names a substance.")]


class ChemicalsOptions(Options):
    """Options of `molecules/chemicals`."""

    part: Annotated[Literal["all", "small"], Field(description="All tables, or those beside the large one.")] = "all"
    captions: Annotated[
        Literal["all", "names", "iupac", "descriptions"],
        Field(description="Names, the IUPAC name alone, descriptions computed by RDKit, or names and descriptions."),
    ] = "names"
    names: Names = 8
    descriptions: Annotated[int, Field(ge=1, le=5, description="At most so many descriptions a substance.")] = 3
    split: Split = None


class DrugsOptions(Options):
    """Options of `molecules/drugs`."""

    split: Split = None
    by: Annotated[Literal["scaffold", "random", "year"], Field(description="How it is split.")] = "scaffold"


class NciOptions(Options):
    """Options of `molecules/nci`."""

    split: Split = None


class TableOptions(Options):
    """Options of `molecules/table`."""

    path: Annotated[str | None, Field(description="The file.")] = None
    paths: Annotated[list[str], Field(default_factory=list, description="Several files instead of one.")]
    column: Annotated[str | None, Field(description="Column of the structures; found by name.")] = None
    targets: Annotated[list[str], Field(default_factory=list, description="Columns kept as numbers.")]
    captions: Annotated[list[str], Field(default_factory=list, description="Columns of captions; found by name.")]
    split: Annotated[
        Literal["scaffold", "random", "column", "none"] | None,
        Field(description="How it is split; by default its column of splits, else scaffold."),
    ] = None
    seed: Seed = 0


class MoleculeNetOptions(Options):
    """Options of `molecules/moleculenet`."""

    path: Annotated[str, Field(description="The CSV file, gzipped or not.")]
    targets: Annotated[list[str], Field(default_factory=list, description="Instead of the benchmark's own.")]
    split: Annotated[Literal["scaffold", "random", "none"], Field(description="How it is split.")] = "scaffold"
    seed: Seed = 0


class ChebiOptions(Options):
    """Options of `molecules/chebi-20`."""

    path: Annotated[str, Field(description="One of the files, or the folder that holds them.")]
    split: Split = None
    limit: Annotated[int | None, Field(ge=1, description="At most so many examples of each file.")] = None


class ReactionsOptions(Options):
    """Options of `molecules/reactions`."""

    path: Annotated[str, Field(description="A table with a column of reactions, or a text file with one a line.")]
    column: Annotated[str | None, Field(description="Column of the reactions; found by name.")] = None
    split: Annotated[Literal["scaffold", "random", "none"], Field(description="How it is split.")] = "random"
    seed: Seed = 0
