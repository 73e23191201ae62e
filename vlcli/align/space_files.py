"""A space as a folder: `space.json`, `weights.safetensors`, and one folder of assets per tower.

Everything read here may be damaged or hostile: sizes are bounded, shapes are compared with the file's header before a
tensor is allocated, and hashes are compared before a space is handed out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from torch import Tensor

from vlcli.align.encoder import Encoder
from vlcli.align.projection import MAX_WIDTH, Head, build_head
from vlcli.align.space import Space, Tower, identity_of
from vlcli.align.weights import read_safetensors, weights_sha256
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.registry import Registry

SPACE_FILE = "space.json"
WEIGHTS_FILE = "weights.safetensors"
MAX_SPACE_FILE_BYTES = 1_000_000
RESTORE = "restore the folder from its source, or train the space again"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ReferenceFile(BaseModel):
    """Published weights that are not copied into the folder."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    source: str
    sha256: Sha256


class TowerFile(BaseModel):
    """One tower in `space.json`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    encoder: str
    options: dict[str, Any]
    head: dict[str, Any]
    reference: ReferenceFile | None
    weights_sha256: Sha256 | None


class SpaceFile(BaseModel):
    """`space.json`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    format_version: Literal[1] = Field(alias="schema")
    name: str
    license: str = ""
    dim: Annotated[int, Field(ge=1, le=MAX_WIDTH)]
    logit_scale: FiniteFloat
    logit_bias: FiniteFloat | None
    towers: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")], TowerFile], Field(min_length=1, max_length=64)
    ]
    identity: str


def save_space(space: Space, folder: Path) -> None:
    """Write the space; a save that is interrupted between its two files is noticed by their hashes, never half-read."""
    from safetensors.torch import save_file

    from vlcli.runtime.files import atomic_path

    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for modality in space.modalities:
        tower = space.tower(modality)
        own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tower.own_weights().items()}
        tensors |= {f"{modality}.{name}": tensor for name, tensor in own.items()}
        if tower.reference() is None:
            assets = folder / "towers" / modality
            assets.mkdir(parents=True, exist_ok=True)
            tower.encoder.save_assets(assets)
    description = space.describe()
    description["identity"] = identity_of(description)
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    # Both are complete and synced before either replaces an older file, so a full disk leaves the older space whole.
    with atomic_path(folder / SPACE_FILE) as space_file, atomic_path(folder / WEIGHTS_FILE) as weights_file:
        space_file.write_text(text, encoding="utf-8")
        save_file(tensors, weights_file, metadata={"format": "pt"})


def read_space_file(folder: Path) -> SpaceFile:
    """Parse and check `space.json`.

    Raises:
        VlcliError: W101 when it is missing, too large, no JSON, or not what `save_space` writes.
    """
    path = folder / SPACE_FILE
    if not path.is_file():
        hint = f"write hf:{folder} for a Hugging Face checkpoint" if (folder / "config.json").is_file() else ""
        raise VlcliError("W101", str(folder), f"holds no {SPACE_FILE}, so it is not a space",
                         hint or "name a folder that `vlcli` saved")  # fmt: skip
    if path.stat().st_size > MAX_SPACE_FILE_BYTES:
        raise VlcliError("W101", str(path), f"is larger than {MAX_SPACE_FILE_BYTES:,} bytes", RESTORE)
    try:
        return SpaceFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise VlcliError("W101", str(path), f"{key + ': ' if key else ''}{first['msg']}", RESTORE) from error


def read_space(folder: Path, registry: Registry) -> Space:
    """Build the towers through the registry, load their weights and compare all hashes; the space is on the CPU."""
    content = read_space_file(folder)
    towers = {modality: read_tower(folder, modality, tower, registry) for modality, tower in content.towers.items()}
    space = Space(content.name, towers, logit_scale=content.logit_scale, logit_bias=content.logit_bias,
                  license=content.license, load=str(folder))  # fmt: skip
    if space.dim != content.dim:
        raise VlcliError("W106", str(folder / SPACE_FILE), f"dim is {content.dim}, but the towers give {space.dim}",
                         RESTORE)  # fmt: skip
    if space.identity != content.identity:
        raise VlcliError("W107", str(folder), "the space is not the one that was saved: its identity is "
                         f"{space.identity[:19]}… instead of {content.identity[:19]}…", RESTORE)  # fmt: skip
    return space.eval()


def read_tower(folder: Path, modality: str, content: TowerFile, registry: Registry) -> Tower:
    """One tower with its weights."""
    encoder = build_encoder(folder / "towers" / modality, content, registry)
    if getattr(encoder, "modality", modality) != modality:
        raise VlcliError("W106", str(folder / SPACE_FILE), f"the encoder '{content.encoder}' is of the modality "
                         f"'{encoder.modality}', not '{modality}'", RESTORE)  # fmt: skip
    if content.reference is not None:
        compare_reference(content, encoder.reference())
    # On the meta device a head of any claimed size costs nothing until the file's header has confirmed it.
    with torch.device("meta"):
        head = build_head(content.head, encoder.dim)
    expected: dict[str, Tensor] = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    if content.reference is None:
        expected |= {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    path = folder / WEIGHTS_FILE
    tensors = read_safetensors(path, expected, prefix=f"{modality}.") if expected else {}
    found = weights_sha256(tensors) if tensors else None
    if found != content.weights_sha256:
        raise VlcliError(
            "W107",
            str(path),
            f"the weights of '{modality}' are not those that were saved "
            f"(SHA-256 {str(found)[:12]}… instead of {str(content.weights_sha256)[:12]}…)",
            RESTORE,
        )
    return assemble(encoder, head, content, tensors)


def assemble(encoder: Encoder, head: Head, content: TowerFile, tensors: Mapping[str, Tensor]) -> Tower:
    """Put checked tensors into the modules."""
    parts: dict[str, dict[str, Tensor]] = {"head": {}, "encoder": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    head.load_state_dict(parts["head"], assign=True)
    tower = Tower(encoder, head, content.encoder, content.options)
    if content.reference is None:
        encoder.load_state_dict(parts["encoder"])
    return tower


def build_encoder(assets: Path, content: TowerFile, registry: Registry) -> Encoder:
    """The encoder through the registry: with its published weights when referenced, else only its structure."""
    entry = registry.find("encoder", content.encoder)
    options = registry.check_options(entry, content.options)
    target = registry.load(entry)
    try:
        if content.reference is None and hasattr(target, "restore"):
            encoder = target.restore(assets, **options)
        else:
            encoder = target(**options)
    except (ValueError, TypeError, KeyError, RuntimeError, MemoryError) as error:
        raise VlcliError("W108", entry.name, f"the encoder can not be built ({type(error).__name__}: {error})",
                         RESTORE) from error  # fmt: skip
    if not isinstance(encoder, Encoder):
        raise VlcliError("P208", entry.name, f"its target '{entry.spec.target}' does not give a vlcli.align.Encoder",
                         f"run `vlcli plugins doctor {entry.plugin}`")  # fmt: skip
    return encoder


def compare_reference(content: TowerFile, found: Mapping[str, str] | None) -> None:
    """Raise W109 when the published weights on this machine are not those that the space was saved with."""
    assert content.reference is not None
    if found is None or found["sha256"] != content.reference.sha256:
        have = f"SHA-256 {found['sha256'][:12]}…" if found else "no published weights"
        raise VlcliError("W109", content.encoder, f"the space needs the weights {content.reference.source} with "
                         f"SHA-256 {content.reference.sha256[:12]}…, here are {have}",
                         "install the version that the space was made with")  # fmt: skip
