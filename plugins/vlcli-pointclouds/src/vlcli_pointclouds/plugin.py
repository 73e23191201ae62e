"""Registration of the pointclouds plugin: what it offers, named lazily."""

from __future__ import annotations

from collections.abc import Iterator

from vlcli.api import (
    CommandSpec,
    DatasetSpec,
    EncoderSpec,
    HealthCheckSpec,
    MethodSpec,
    ModalitySpec,
    RecipeFolderSpec,
    hookimpl,
)

ENDINGS = (".off", ".obj", ".ply", ".stl", ".xyz", ".pts", ".npy", ".npz", ".gltf", ".glb")
EXTENSIONS = (*ENDINGS, *(f"{ending}.gz" for ending in ENDINGS if ending not in (".npz", ".gltf", ".glb")))


@hookimpl
def vlcli_modalities() -> Iterator[ModalitySpec]:
    """Point clouds and meshes in files."""
    yield ModalitySpec(
        name="pointclouds",
        summary="Point clouds and meshes: OFF, OBJ, PLY, STL, XYZ, PTS, NPY, NPZ, glTF; also gzipped.",
        target="vlcli_pointclouds.modality:PointcloudsModality",
        extensions=EXTENSIONS,
    )


@hookimpl
def vlcli_encoders() -> Iterator[EncoderSpec]:
    """Networks that read points."""
    yield EncoderSpec(
        name="pointnet2",
        summary="PointNet++ with single-scale grouping, as in ULIP or small; to train from scratch.",
        target="vlcli_pointclouds.encoders.pointnet2:PointNet2",
        options="vlcli_pointclouds.encoder_options:PointNet2Options",
        modality="pointclouds",
    )
    yield EncoderSpec(
        name="point-bert",
        summary="A transformer over groups of points, as in ULIP or small; to train from scratch.",
        target="vlcli_pointclouds.encoders.point_bert:PointBert",
        options="vlcli_pointclouds.encoder_options:PointBertOptions",
        modality="pointclouds",
    )
    yield EncoderSpec(
        name="pointmlp",
        summary="PointMLP: groups in a common geometric scale and residual layers; to train from scratch.",
        target="vlcli_pointclouds.encoders.pointmlp:PointMlp",
        options="vlcli_pointclouds.encoder_options:PointMlpOptions",
        modality="pointclouds",
    )


@hookimpl
def vlcli_datasets() -> Iterator[DatasetSpec]:
    """A procedural world, and loaders for files that the user brings."""
    yield DatasetSpec(
        name="shapes",
        summary="A procedural world of small coloured objects: 35 categories of 3 sub-types, with descriptions.",
        target="vlcli_pointclouds.data.shapes:ShapesDataset",
        options="vlcli_pointclouds.data_options:ShapesOptions",
        modalities=("pointclouds", "images"),
        license="CC0-1.0",
    )
    yield DatasetSpec(
        name="modelnet",
        summary="The folder of ModelNet10 or ModelNet40 (option path): OFF meshes, or the resampled clouds.",
        target="vlcli_pointclouds.data.modelnet:ModelNetDataset",
        options="vlcli_pointclouds.data_options:ModelNetOptions",
        modalities=("pointclouds",),
    )
    yield DatasetSpec(
        name="h5",
        summary="Clouds in HDF5 files (option path): ScanObjectNN, ModelNet40 as PointNet's authors sampled it.",
        target="vlcli_pointclouds.data.h5:H5Dataset",
        options="vlcli_pointclouds.data_options:H5Options",
        modalities=("pointclouds",),
    )
    yield DatasetSpec(
        name="shapenetpart",
        summary="The folder of ShapeNet's part annotation (option path); names on two levels with JM3D's lists.",
        target="vlcli_pointclouds.data.shapenetpart:ShapeNetPartDataset",
        options="vlcli_pointclouds.data_options:ShapeNetPartOptions",
        modalities=("pointclouds",),
    )


@hookimpl
def vlcli_methods() -> Iterator[MethodSpec]:
    """Papers on points and language."""
    yield MethodSpec(
        name="ulip",
        summary="Points learn to lie where a frozen image-text model puts the object's picture and name.",
        target="vlcli_pointclouds.methods.ulip:Ulip",
        options="vlcli_pointclouds.methods.options:UlipOptions",
        paper="ULIP: Learning a Unified Representation of Language, Images, and Point Clouds for 3D Understanding",
        kind=("align",),
        recipe="pointclouds/ulip",
    )
    yield MethodSpec(
        name="jm3d",
        summary="Points learn from several views weighed by the text, and from finer names and categories.",
        target="vlcli_pointclouds.methods.jm3d.method:Jm3d",
        options="vlcli_pointclouds.methods.options:Jm3dOptions",
        paper="JM3D & JM3D-LLM: Elevating 3D Representation with Joint Multi-modal Cues",
        kind=("align",),
        recipe="pointclouds/jm3d",
    )
    yield MethodSpec(
        name="jm3d-llm",
        summary="A frozen language model learns to read points through one linear map, and writes captions.",
        target="vlcli_pointclouds.methods.jm3d.llm:Jm3dLlm",
        options="vlcli_pointclouds.methods.options:Jm3dLlmOptions",
        paper="JM3D & JM3D-LLM: Elevating 3D Representation with Joint Multi-modal Cues",
        kind=("align", "generate"),
        recipe="pointclouds/jm3d-llm",
    )


@hookimpl
def vlcli_commands() -> Iterator[CommandSpec]:
    """The command group `vlcli pointclouds`."""
    yield CommandSpec(
        name="pointclouds",
        summary="Look at point clouds and meshes, draw and convert them.",
        target="vlcli_pointclouds.commands:app",
    )


@hookimpl
def vlcli_recipes() -> Iterator[RecipeFolderSpec]:
    """The plugin's recipes."""
    yield RecipeFolderSpec(package="vlcli_pointclouds", folder="recipes")


@hookimpl
def vlcli_health_checks() -> Iterator[HealthCheckSpec]:
    """Reading shapes works."""
    yield HealthCheckSpec(
        name="files",
        summary="Shapes are written and read in each format.",
        target="vlcli_pointclouds.health:check_reading",
    )
