"""Registration of the images plugin: what it offers, named lazily."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import (
    DatasetSpec,
    EncoderSpec,
    FilterSpec,
    HealthCheckSpec,
    MethodSpec,
    ModalitySpec,
    RecipeFolderSpec,
    SpaceSpec,
    hookimpl,
)

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic",
              ".heif")  # fmt: skip


@hookimpl
def vlcli_modalities() -> Iterator[ModalitySpec]:
    """Pictures in files."""
    yield ModalitySpec(
        name="images",
        summary="Pictures: JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF (HEIC where Pillow has a plugin for it).",
        target="vlcli_images.modality:ImagesModality",
        extensions=EXTENSIONS,
    )


@hookimpl
def vlcli_datasets() -> Iterator[DatasetSpec]:
    """Data sets that installed packages hold, and a loader for COCO's format."""
    yield DatasetSpec(
        name="emoji",
        summary="1,914 emoji drawings (72 px) with names in 14 languages; 300 held out for testing.",
        target="vlcli_images.emoji_data:EmojiDataset",
        options="vlcli_images.options:EmojiOptions",
        modalities=("images",),
        license="CC-BY-4.0",
    )
    yield DatasetSpec(
        name="samples",
        summary="20 photographs from scikit-image and scikit-learn with captions and labels.",
        target="vlcli_images.sample_data:SamplesDataset",
        options="vlcli_images.options:SamplesOptions",
        modalities=("images",),
    )
    yield DatasetSpec(
        name="shapes",
        summary="A procedural world: one of 432 shapes on a 32 px picture, with a caption.",
        target="vlcli_images.shapes:ShapesDataset",
        options="vlcli_images.options:ShapesOptions",
        modalities=("images",),
        license="Apache-2.0",
    )
    yield DatasetSpec(
        name="coco-captions",
        summary="A folder in the format of COCO captions: a JSON file and a folder of pictures (option path).",
        target="vlcli.data.coco:CocoCaptions",
        options="vlcli_images.options:CocoOptions",
        modalities=("images",),
    )


@hookimpl
def vlcli_health_checks() -> Iterator[HealthCheckSpec]:
    """Reading pictures works, and the data sets are on disk."""
    yield HealthCheckSpec(
        name="formats", summary="Pillow decodes pictures.", target="vlcli_images.health:check_formats"
    )
    yield HealthCheckSpec(name="emoji", summary="The emoji are installed.", target="vlcli_images.health:check_emoji")


@hookimpl
def vlcli_encoders() -> Iterator[EncoderSpec]:
    yield EncoderSpec(
        name="efficientnet-lite0",
        summary="EfficientNet-Lite0 trained on ImageNet-1k, 1,280 numbers, 7 x 7 tokens, offline",
        target="vlcli_images.encoders:ImageNetEncoder",
        options="vlcli_images.encoder_options:ImageNetOptions",
        license="Apache-2.0",
        modality="images",
    )
    yield EncoderSpec(
        name="small-cnn",
        summary="a small convolutional tower to train from scratch",
        target="vlcli_images.small_cnn:SmallCNN",
        options="vlcli_images.encoder_options:SmallCNNOptions",
        modality="images",
    )
    yield EncoderSpec(
        name="albef-image",
        summary="ALBEF's vision transformer, small, to train from scratch",
        target="vlcli_images.methods.albef_method:AlbefImage",
        options="vlcli_images.method_options:AlbefImageOptions",
        modality="images",
    )
    yield EncoderSpec(
        name="albef-text",
        summary="ALBEF's text transformer below its fusion layers, small, to train from scratch",
        target="vlcli_images.methods.albef_method:AlbefText",
        options="vlcli_images.method_options:AlbefTextOptions",
        modality="text",
    )
    yield EncoderSpec(
        name="starter",
        summary="image side of the starter space, 384 numbers, offline",
        target="vlcli_images.encoders:StarterImage",
        options="vlcli_images.encoder_options:StarterOptions",
        license="Apache-2.0",
        modality="images",
    )
    yield EncoderSpec(
        name="starter-features",
        summary="the starter's vector and the network's features, for heads of the kind refine",
        target="vlcli_images.encoders:StarterFeatures",
        options="vlcli_images.encoder_options:StarterOptions",
        license="Apache-2.0",
        modality="images",
    )


@hookimpl
def vlcli_spaces() -> Iterator[SpaceSpec]:
    yield SpaceSpec(
        name="starter",
        summary="pictures and English sentences in one space, offline, no training needed",
        target="vlcli_images.spaces:starter",
        options="vlcli_images.encoder_options:StarterOptions",
        license="Apache-2.0",
        modalities=("images", "text"),
    )


@hookimpl
def vlcli_methods() -> Iterator[MethodSpec]:
    """Papers on pictures and language."""
    yield MethodSpec(
        name="align",
        summary="A plain dual encoder with label smoothing and a learned temperature, on noisy captions.",
        target="vlcli_images.methods.align:Align",
        options="vlcli_images.method_options:AlignOptions",
        paper="Scaling Up Visual and Vision-Language Representation Learning With Noisy Text Supervision",
        kind=("align",),
        recipe="images/align",
    )
    yield MethodSpec(
        name="albef",
        summary="Contrast before fusion, matching with hard negatives, masked words, and a momentum teacher.",
        target="vlcli_images.methods.albef_method:AlbefMethod",
        options="vlcli_images.method_options:AlbefOptions",
        paper="Align before Fuse: Vision and Language Representation Learning with Momentum Distillation",
        kind=("align",),
        recipe="images/albef",
    )


@hookimpl
def vlcli_filters() -> Iterator[FilterSpec]:
    """Filters of noisy web data."""
    yield FilterSpec(
        name="align-text",
        summary="ALIGN's text filters: shared boilerplate, length, rare words.",
        target="vlcli_images.methods.align:TextFilter",
        options="vlcli_images.method_options:TextFilterOptions",
    )
    yield FilterSpec(
        name="align-image",
        summary="ALIGN's picture filters: shorter side and aspect ratio.",
        target="vlcli_images.methods.align:ImageFilter",
        options="vlcli_images.method_options:ImageFilterOptions",
    )


@hookimpl
def vlcli_recipes() -> Iterator[RecipeFolderSpec]:
    """The plugin's recipes."""
    yield RecipeFolderSpec(package="vlcli_images", folder="recipes")
