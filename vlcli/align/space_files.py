"""A space as a folder: `space.json`, `weights.safetensors`, and one folder of assets per tower.

Everything read here may be damaged or hostile: sizes are bounded, shapes are compared with the file's header before a
tensor is allocated, and hashes are compared before a space is handed out.
"""

from __future__ import annotations

import json
import os
import shutil
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
from vlcli.runtime.files import current_umask, make_folder, scratch_folder, sha256_file, sync_folder, sync_tree
from vlcli.runtime.tensors import save_tensors

if TYPE_CHECKING:
    from vlcli.registry import Registry

SPACE_FILE = "space.json"
WEIGHTS_FILE = "weights.safetensors"
PREVIOUS = ".previous"
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
    assets: dict[Annotated[str, Field(max_length=1024)], Sha256] = {}
    """SHA-256 of each file in the tower's folder; older spaces have none."""


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
    """Write the space. A save that fails or is interrupted leaves the space that was there before.

    Everything is complete and synced before the first file is replaced, so a full disk does no harm. While files are
    replaced, the earlier version is kept in `.previous`, which `read_space` falls back to.
    """
    description = space.describe()
    tensors: dict[str, Tensor] = {}
    with scratch_folder(folder) as scratch:
        for modality in space.modalities:
            tower = space.tower(modality)
            own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tower.own_weights().items()}
            tensors |= {f"{modality}.{name}": tensor for name, tensor in own.items()}
            if tower.reference() is None:
                assets = scratch / "towers" / modality
                assets.mkdir(parents=True)
                tower.encoder.save_assets(assets)
                description["towers"][modality]["assets"] = hashes_below(assets)
        description["identity"] = identity_of(description)
        text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
        (scratch / SPACE_FILE).write_text(text, encoding="utf-8")
        save_tensors(tensors, scratch / WEIGHTS_FILE, {"format": "pt"})
        (scratch / WEIGHTS_FILE).chmod(0o666 & ~current_umask())
        sync_tree(scratch)
        replace_files(scratch, folder)


def replace_files(scratch: Path, folder: Path) -> None:
    """Put the new files in their places, `space.json` last, in a way that an interruption can be undone."""
    previous = folder / PREVIOUS
    if (folder / SPACE_FILE).exists() and not previous.exists():
        link_files(folder, scratch / PREVIOUS)
        (scratch / PREVIOUS).rename(previous)
        sync_folder(folder)
    files = [path for path in sorted(scratch.rglob("*")) if path.is_file()]
    for file in sorted(files, key=lambda path: path.name == SPACE_FILE):
        target = folder / file.relative_to(scratch)
        make_folder(target.parent)
        os.replace(file, target)
        sync_folder(target.parent)
    if previous.exists():
        # Its name goes first, so that a half removed version is never taken for whole.
        previous.rename(scratch / PREVIOUS)
        sync_folder(folder)


def link_files(folder: Path, copy: Path) -> None:
    """The files of a space under a second name each, durably; copied where the file system has no hard links."""
    files = [folder / SPACE_FILE, folder / WEIGHTS_FILE]
    files += [path for path in sorted((folder / "towers").rglob("*")) if path.is_file()]
    for file in files:
        target = copy / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, target)
        except FileNotFoundError:
            continue  # a space that only refers to published weights may have no file of its own
        except OSError:
            shutil.copy2(file, target)
    sync_tree(copy)


def hashes_below(folder: Path) -> dict[str, str]:
    """Path below the folder -> SHA-256, for all files in it."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


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
    """Build the towers through the registry, load their weights and compare all hashes; the space is on the CPU.

    After a save that was interrupted between two files this is the space from before it.
    """
    try:
        return read_version(folder, folder, registry)
    except VlcliError as error:
        if not error.code.startswith("W") or not (folder / PREVIOUS / SPACE_FILE).is_file():
            raise
        return read_version(folder / PREVIOUS, folder, registry)


def read_version(folder: Path, load: Path, registry: Registry) -> Space:
    """The space whose files are in `folder`, to be loaded again as `load`."""
    content = read_space_file(folder)
    try:
        towers = {modality: read_tower(folder, modality, tower, registry) for modality, tower in content.towers.items()}
    except VlcliError as error:
        # An option or a name that nobody knows may be one that was damaged.
        if error.code.startswith("W") or identity_of(content.model_dump(by_alias=True)) == content.identity:
            raise
        what = f"is not what was saved ({error.where}: {error.message})"
        raise VlcliError(error.code, str(folder / SPACE_FILE), what, RESTORE, error.exit_code) from error
    space = Space(content.name, towers, logit_scale=content.logit_scale, logit_bias=content.logit_bias,
                  license=content.license, load=str(load))  # fmt: skip
    if space.dim != content.dim:
        raise VlcliError("W106", str(folder / SPACE_FILE), f"dim is {content.dim}, but the towers give {space.dim}",
                         RESTORE)  # fmt: skip
    if space.identity != content.identity:
        raise VlcliError("W107", str(folder), "the space is not the one that was saved: its identity is "
                         f"{space.identity[:19]}… instead of {content.identity[:19]}…", RESTORE)  # fmt: skip
    return space.eval()


def read_tower(folder: Path, modality: str, content: TowerFile, registry: Registry) -> Tower:
    """One tower with its weights."""
    compare_assets(folder / "towers" / modality, content)
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


def compare_assets(folder: Path, content: TowerFile) -> None:
    """Raise W107 when a file that preprocessing needs is not the one that was saved."""
    for name, expected in content.assets.items():
        path = folder / name
        inside = path.resolve().is_relative_to(folder.resolve())
        if not inside or not path.is_file() or sha256_file(path) != expected:
            raise VlcliError("W107", str(path), "is missing, or not the file that was saved with the space", RESTORE)


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
