"""Registration of the molecules plugin: what it offers, named lazily."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import (
    CommandSpec,
    DatasetSpec,
    EncoderSpec,
    FilterSpec,
    HealthCheckSpec,
    MethodSpec,
    ModalitySpec,
    RecipeFolderSpec,
    hookimpl,
)

EXTENSIONS = (".smi", ".smiles", ".selfies", ".inchi", ".sdf", ".sd", ".mol", ".mdl", ".smi.gz", ".sdf.gz")
COLUMNS = ("smiles", "canonical_smiles", "canonicalsmiles", "isomeric_smiles", "isosmiles", "selfies", "inchi",
           "standard_inchi", "structure", "mol", "molecule")  # fmt: skip


@hookimpl
def vlcli_modalities() -> Iterator[ModalitySpec]:
    """Molecules in files and in columns of tables."""
    yield ModalitySpec(
        name="molecules",
        summary="Molecules: SMILES, SELFIES, InChI, SDF and MOL files, columns of tables.",
        target="vlcli_molecules.modality:MoleculesModality",
        extensions=EXTENSIONS,
        columns=COLUMNS,
    )


@hookimpl
def vlcli_encoders() -> Iterator[EncoderSpec]:
    """Networks that read a molecule's string."""
    yield EncoderSpec(
        name="fingerprint",
        summary="count fingerprints and descriptors of a molecule, embedded; to train from scratch",
        target="vlcli_molecules.encoders:FingerprintEncoder",
        options="vlcli_molecules.encoder_options:FingerprintOptions",
        modality="molecules",
    )
    yield EncoderSpec(
        name="hashed-text",
        summary="words and parts of words, hashed and embedded, for names of compounds; to train from scratch",
        target="vlcli_molecules.encoders:HashedTextEncoder",
        options="vlcli_molecules.encoder_options:HashedTextOptions",
        modality="text",
    )
    yield EncoderSpec(
        name="selformer",
        summary="SELFormer's transformer over SELFIES or SMILES, small or from a checkpoint (option checkpoint).",
        target="vlcli_molecules.methods.selformer.encoder:SelformerEncoder",
        options="vlcli_molecules.methods.selformer.options:EncoderOptions",
        modality="molecules",
    )


@hookimpl
def vlcli_methods() -> Iterator[MethodSpec]:
    """Papers on molecules and language."""
    yield MethodSpec(
        name="selformer",
        summary="Masked SELFIES symbols, then properties: classes, several labels or numbers.",
        target="vlcli_molecules.methods.selformer.method:Selformer",
        options="vlcli_molecules.methods.selformer.options:SelformerOptions",
        paper="SELFormer: Molecular Representation Learning via SELFIES Language Models",
        kind=("pretrain", "adapt"),
        recipe="molecules/selformer",
    )
    yield MethodSpec(
        name="fingerprint-ridge",
        summary="Ridge regression on Morgan fingerprints: the baseline of property prediction.",
        target="vlcli_molecules.methods.selformer.ridge:FingerprintRidge",
        options="vlcli_molecules.methods.selformer.options:RidgeOptions",
        kind=("adapt",),
    )
    yield MethodSpec(
        name="text-chem-t5",
        summary="One T5 for five prompted tasks: reactions forward and back, procedures, captions, structures.",
        target="vlcli_molecules.methods.text_chem_t5.method:TextChemT5",
        options="vlcli_molecules.methods.text_chem_t5.options:TextChemT5Options",
        paper="Unifying Molecular and Textual Representations via Multi-task Language Modelling",
        kind=("generate",),
        recipe="molecules/text-chem-t5",
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
def vlcli_filters() -> Iterator[FilterSpec]:
    """Filters of molecules."""
    yield FilterSpec(
        name="substructure",
        summary="Molecules that hold a SMARTS pattern.",
        target="vlcli_molecules.filters.substructure:Substructure",
        options="vlcli_molecules.options:SubstructureOptions",
        search_option="smarts",
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


@hookimpl
def vlcli_datasets() -> Iterator[DatasetSpec]:
    """Data sets that installed packages hold, and loaders for files that the user brings."""
    yield DatasetSpec(
        name="chemicals",
        summary="76,000 substances with IUPAC names, common names and synonyms; scaffold split.",
        target="vlcli_molecules.data.chemicals:ChemicalsDataset",
        options="vlcli_molecules.data_options:ChemicalsOptions",
        modalities=("molecules",),
        license="MIT",
    )
    yield DatasetSpec(
        name="drugs",
        summary="2,628 approved drugs with names and years of approval.",
        target="vlcli_molecules.data.drugs:DrugsDataset",
        options="vlcli_molecules.data_options:DrugsOptions",
        modalities=("molecules",),
        license="CC-BY-SA-3.0",
    )
    yield DatasetSpec(
        name="nci",
        summary="4,892 structures of the NCI open database, without names.",
        target="vlcli_molecules.data.nci:NciDataset",
        options="vlcli_molecules.data_options:NciOptions",
        modalities=("molecules",),
        license="BSD-3-Clause",
    )
    yield DatasetSpec(
        name="table",
        summary="A column of structures in any table, or SMILES and SDF files (option path); scaffold split.",
        target="vlcli_molecules.data.table:TableDataset",
        options="vlcli_molecules.data_options:TableOptions",
        modalities=("molecules",),
    )
    yield DatasetSpec(
        name="moleculenet",
        summary="A CSV file of MoleculeNet (option path): ESOL, SIDER, ClinTox …; scaffold split.",
        target="vlcli_molecules.data.moleculenet:MoleculeNetDataset",
        options="vlcli_molecules.data_options:MoleculeNetOptions",
        modalities=("molecules",),
    )
    yield DatasetSpec(
        name="esol",
        summary="Measured solubility in water of 1,128 molecules (option path: MoleculeNet's file); scaffold split.",
        target="vlcli_molecules.methods.selformer.esol_data:EsolDataset",
        options="vlcli_molecules.methods.selformer.options:EsolOptions",
        modalities=("molecules",),
    )
    yield DatasetSpec(
        name="nci-logp",
        summary="NCI structures with a partition coefficient that RDKit calculates, 200 to train on; scaffold split.",
        target="vlcli_molecules.methods.selformer.logp_data:NciLogp",
        options="vlcli_molecules.methods.selformer.options:LogpOptions",
        modalities=("molecules",),
        license="BSD-3-Clause",
    )
    yield DatasetSpec(
        name="text-chem",
        summary="Five tasks of chemistry and language made from the NCI molecules: nothing in them is guessed.",
        target="vlcli_molecules.chemistry_tasks.procedural:TextChemDataset",
        options="vlcli_molecules.methods.text_chem_t5.options:TextChemOptions",
        modalities=("text",),
        license="BSD-3-Clause",
    )
    yield DatasetSpec(
        name="text-chem-files",
        summary="The five tasks from files (option path): prompted JSONL, ChEBI-20, reactions in USPTO's form.",
        target="vlcli_molecules.chemistry_tasks.files:TextChemFiles",
        options="vlcli_molecules.methods.text_chem_t5.options:TextChemFileOptions",
        modalities=("text",),
    )
    yield DatasetSpec(
        name="chebi-20",
        summary="The files of ChEBI-20 (option path): molecules with descriptions.",
        target="vlcli_molecules.data.chebi:ChebiDataset",
        options="vlcli_molecules.data_options:ChebiOptions",
        modalities=("molecules",),
        license="CC-BY-4.0",
    )
    yield DatasetSpec(
        name="reactions",
        summary="Reaction SMILES, reactants>agents>products (option path).",
        target="vlcli_molecules.data.reactions:ReactionsDataset",
        options="vlcli_molecules.data_options:ReactionsOptions",
        modalities=("molecules",),
    )
