"""Registration of the motion plugin: what it offers, named lazily."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import (
    CommandSpec,
    DatasetSpec,
    EncoderSpec,
    GeneratorSpec,
    HealthCheckSpec,
    MethodSpec,
    ModalitySpec,
    RecipeFolderSpec,
    hookimpl,
)


@hookimpl
def vlcli_modalities() -> Iterator[ModalitySpec]:
    """Human motion in files."""
    yield ModalitySpec(
        name="motion",
        summary="Human motion: BVH, HumanML3D's and KIT's features, joint arrays, AMASS-style NPZ.",
        target="vlcli_motion.modality:MotionModality",
        extensions=(".bvh", ".npy", ".npz"),
    )


@hookimpl
def vlcli_commands() -> Iterator[CommandSpec]:
    """The command group `vlcli motion`."""
    yield CommandSpec(
        name="motion",
        summary="Convert, describe, generate and caption motions.",
        target="vlcli_motion.commands:app",
    )


@hookimpl
def vlcli_health_checks() -> Iterator[HealthCheckSpec]:
    """Motions can be read."""
    yield HealthCheckSpec(
        name="features",
        summary="Joints become HumanML3D's features and come back.",
        target="vlcli_motion.health:check_features",
    )


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
        license="CC0-1.0",
    )
    yield DatasetSpec(
        name="bandai",
        summary="Bandai Namco Research's BVH files (option path), captions worded from content and style.",
        target="vlcli_motion.data.bandai:BandaiMotions",
        options="vlcli_motion.data_options:BandaiOptions",
        modalities=("motion",),
        license="CC-BY-NC-4.0",
    )
    yield DatasetSpec(
        name="humanml3d",
        summary="The folders of HumanML3D or KIT-ML (option path): features, captions, lists of the splits.",
        target="vlcli_motion.data.humanml3d:HumanML3D",
        options="vlcli_motion.data_options:HumanML3DOptions",
        modalities=("motion",),
        license="LicenseRef-AMASS",
    )


@hookimpl
def vlcli_encoders() -> Iterator[EncoderSpec]:
    """Networks that read a motion's features."""
    yield EncoderSpec(
        name="motion-transformer",
        summary="features of HumanML3D or KIT, four frames a token, through a transformer; to train from scratch",
        target="vlcli_motion.encoders:MotionTransformer",
        options="vlcli_motion.encoder_options:MotionTransformerOptions",
        modality="motion",
    )
    yield EncoderSpec(
        name="lamp-motion",
        summary="LaMP's motion side: queries over the latents of its VQ-VAE, their mean; made by the method lamp",
        target="vlcli_motion.methods.lamp.encoders:LampMotion",
        options="vlcli_motion.methods.lamp.options:SizeOptions",
        modality="motion",
    )
    yield EncoderSpec(
        name="lamp-text",
        summary="LaMP's text side: the Q-Former's words, word order included; made by the method lamp",
        target="vlcli_motion.methods.lamp.encoders:LampText",
        options="vlcli_motion.methods.lamp.options:SizeOptions",
        modality="text",
    )


@hookimpl
def vlcli_methods() -> Iterator[MethodSpec]:
    """Papers on motion and language."""
    yield MethodSpec(
        name="lamp",
        summary="Motion VQ-VAE, language-motion pretraining with four objectives, masked generator, captioner.",
        target="vlcli_motion.methods.lamp.pretrain:LampMethod",
        options="vlcli_motion.methods.lamp.options:LampOptions",
        paper="LaMP: Language-Motion Pretraining for Motion Generation, Retrieval, and Captioning",
        kind=("align", "generate"),
        recipe="motion/lamp",
    )


@hookimpl
def vlcli_generators() -> Iterator[GeneratorSpec]:
    """Motions from sentences."""
    yield GeneratorSpec(
        name="lamp",
        summary="motions from sentences by a trained LaMP (option model: a run)",
        target="vlcli_motion.methods.lamp.generate:LampGenerator",
        options="vlcli_motion.methods.lamp.generation_options:MotionGeneratorOptions",
        modality="motion",
    )
