"""The built-in plugin `core`: what the core itself registers, through the same hooks as everybody else."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import EncoderSpec, MethodSpec, ObjectiveSpec, RecipeFolderSpec, SpaceSpec, StoreSpec, hookimpl


@hookimpl
def vlcli_recipes() -> Iterator[RecipeFolderSpec]:
    yield RecipeFolderSpec(package="vlcli", folder="recipes")


@hookimpl
def vlcli_objectives() -> Iterator[ObjectiveSpec]:
    options = "vlcli.align.objectives.options"
    yield ObjectiveSpec(
        name="info-nce",
        summary="Softmax contrastive loss (CLIP, ALIGN) in memory linear in the batch.",
        target="vlcli.align.objectives.info_nce:InfoNCE",
        options=f"{options}:InfoNCEOptions",
    )
    yield ObjectiveSpec(
        name="siglip",
        summary="Sigmoid contrastive loss in memory linear in the batch.",
        target="vlcli.align.objectives.siglip:SigLIP",
    )
    yield ObjectiveSpec(
        name="margin",
        summary="Hinge loss on cosines, over all negatives or the hardest one (VSE++).",
        target="vlcli.align.objectives.margin:Margin",
        options=f"{options}:MarginOptions",
    )
    yield ObjectiveSpec(
        name="similarity-distillation",
        summary="KL from a teacher's to the student's similarity distribution.",
        target="vlcli.align.objectives.distillation:SimilarityDistillation",
        options=f"{options}:DistillationOptions",
    )
    yield ObjectiveSpec(
        name="off-diagonal",
        summary="Mod-X: contrast plus distillation of the previous model's similarities where it ranks right.",
        target="vlcli.align.objectives.off_diagonal:OffDiagonal",
        options=f"{options}:OffDiagonalOptions",
    )
    yield ObjectiveSpec(
        name="matching",
        summary="Two-way classification of true and hard negative pairs (ALBEF).",
        target="vlcli.align.objectives.matching:Matching",
    )
    yield ObjectiveSpec(
        name="masked-language-model",
        summary="Cross entropy at masked tokens, with optional soft targets.",
        target="vlcli.align.objectives.masked_lm:MaskedLanguageModel",
    )


@hookimpl
def vlcli_stores() -> Iterator[StoreSpec]:
    yield StoreSpec(
        name="sqlite",
        summary="One folder: SQLite holds everything, durably; searched exactly through a memory-mapped cache.",
        target="vlcli.store.sqlite:SqliteStore",
    )
    yield StoreSpec(
        name="lance",
        summary="The same catalog with vectors in LanceDB, for its file format; not synced to disk (extra [lance]).",
        target="vlcli.store.lance:LanceStore",
        requires=("lancedb",),
    )


@hookimpl
def vlcli_methods() -> Iterator[MethodSpec]:
    """Methods that belong to no modality."""
    yield MethodSpec(
        name="contrastive",
        summary="Contrastive alignment of any modalities with text: the plain dual encoder.",
        target="vlcli.methods.contrastive:Contrastive",
        options="vlcli.methods.options:ContrastiveOptions",
        kind=("align",),
        recipe="core/quickstart",
    )
    yield MethodSpec(
        name="mod-x",
        summary="Continual training that keeps the previous model's off-diagonal similarities.",
        target="vlcli.methods.mod_x:ModX",
        options="vlcli.methods.options:ModXOptions",
        paper="Continual Vision-Language Representation Learning with Off-Diagonal Information",
        kind=("align",),
        recipe="core/mod-x",
    )


@hookimpl
def vlcli_encoders() -> Iterator[EncoderSpec]:
    """Towers over Hugging Face checkpoints."""
    options = "vlcli.align.checkpoint_options"
    for name, summary, attribute, modality in (
        ("hf-image", "image side of a CLIP, SigLIP, SigLIP 2 or ALIGN checkpoint", "ImageSide", "images"),
        ("hf-text", "text side of a CLIP, SigLIP, SigLIP 2, ALIGN or CLAP checkpoint", "TextSide", "text"),
        ("hf-audio", "audio side of a CLAP checkpoint", "AudioSide", "speech"),
    ):
        yield EncoderSpec(
            name=name,
            summary=summary,
            target=f"vlcli.align.huggingface:{attribute}",
            options=f"{options}:DualOptions",
            modality=modality,
        )
    yield EncoderSpec(
        name="hf-sentences",
        summary="any text encoder, with the pooling of sentence-transformers",
        target="vlcli.align.text_encoder:TextEncoder",
        options=f"{options}:SentenceOptions",
        modality="text",
    )


@hookimpl
def vlcli_spaces() -> Iterator[SpaceSpec]:
    """Adapters over Hugging Face checkpoints, written `hf:PATH_OR_NAME`."""
    options = "vlcli.align.checkpoint_options"
    yield SpaceSpec(
        name="hf-dual",
        summary="hf:PATH_OR_NAME of a CLIP, SigLIP, SigLIP 2, ALIGN or CLAP checkpoint",
        target="vlcli.align.huggingface:dual",
        options=f"{options}:DualSpaceOptions",
        modalities=("images", "speech", "text"),
        model_types=("align", "clap", "clip", "siglip", "siglip2"),
    )
    yield SpaceSpec(
        name="hf-sentences",
        summary="hf:PATH_OR_NAME of any text encoder (mean pooling, or as sentence-transformers saved it)",
        target="vlcli.align.huggingface:sentences",
        options=f"{options}:SentenceSpaceOptions",
        modalities=("text",),
        model_types=("*",),
    )
