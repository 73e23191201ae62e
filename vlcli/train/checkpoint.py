"""Atomic checkpoints without pickle: tensors in safetensors, all else in JSON, a checksum over both.

A checkpoint is a folder. It is written beside its place, synced, and renamed, so it is either whole or absent; the
previous one is removed only afterwards, and loses its name before its files.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vlcli.errors import VlcliError
from vlcli.runtime.files import make_folder, sha256_file, sync_folder, sync_tree
from vlcli.runtime.tensors import save_tensors

UNFINISHED = ".writing-"
TENSOR_KEY = "__tensor__"


def pack(value: Any, tensors: dict[str, Tensor], path: str = "state") -> Any:
    """Replace every tensor in a nested structure by a reference, collecting the tensors.

    Dictionaries with keys that are not text (optimizer state has integers) are kept as lists of pairs.
    """
    if isinstance(value, Tensor):
        # A clone: safetensors refuses tensors that share memory, and tied weights do.
        name = f"{len(tensors)}:{path}"
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {TENSOR_KEY: name}
    if isinstance(value, dict):
        return {"__pairs__": [[key, pack(item, tensors, f"{path}/{key}")] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [pack(item, tensors, f"{path}/{index}") for index, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint can not hold {type(value).__name__} at '{path}'")


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `pack` (tuples come back as lists)."""
    if isinstance(value, dict):
        if TENSOR_KEY in value:
            return tensors[value[TENSOR_KEY]]
        return {key: unpack(item, tensors) for key, item in value["__pairs__"]}
    if isinstance(value, list):
        return [unpack(item, tensors) for item in value]
    return value


def random_state() -> dict[str, Any]:
    """The state of the Python, numpy and torch generators (and CUDA's, when it is in use)."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": [version, list(internal), gauss],
        "numpy": [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def restore_random_state(state: dict[str, Any]) -> None:
    """Set the generators to what `random_state` gave."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write `folder/step-NNNNNNNN` atomically, then drop all but the newest `keep` checkpoints.

    Args:
        state: nested dictionaries and lists of tensors and plain values.
    """
    make_folder(folder)
    clear_unfinished(folder)
    temporary = folder / f"{UNFINISHED}{step:08d}"
    final = folder / f"step-{step:08d}"
    try:
        temporary.mkdir()
        tensors: dict[str, Tensor] = {}
        content = json.dumps(pack(state, tensors))
        save_tensors(tensors, temporary / "tensors.safetensors")
        (temporary / "state.json").write_text(content, encoding="utf-8")
        sums = {name: sha256_file(temporary / name) for name in ("tensors.safetensors", "state.json")}
        (temporary / "checksums.json").write_text(json.dumps(sums), encoding="utf-8")
        sync_tree(temporary)
        if final.exists():
            discard(final)
        temporary.rename(final)
        sync_folder(folder)
    except BaseException:
        # Room for whatever is to be saved next: the disk may be full.
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in checkpoints(folder)[:-keep]:
        discard(old)
    return final


def discard(checkpoint: Path) -> None:
    """Remove a checkpoint: it loses its name first, durably, so that a half removed one is never taken for whole."""
    unnamed = checkpoint.with_name(f"{UNFINISHED}{checkpoint.name}")
    checkpoint.rename(unnamed)
    sync_folder(checkpoint.parent)
    shutil.rmtree(unnamed)


def clear_unfinished(folder: Path) -> None:
    """Remove what a process that was killed left half written or half removed; the run's lock keeps others away."""
    for leftover in folder.glob(f"{UNFINISHED}*"):
        shutil.rmtree(leftover)


def checkpoints(folder: Path) -> list[Path]:
    """All finished checkpoints, oldest first."""
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint back.

    Raises:
        VlcliError: T201 when it is damaged.
    """
    try:
        sums = json.loads((path / "checksums.json").read_text(encoding="utf-8"))
        for name, expected in sums.items():
            if sha256_file(path / name) != expected:
                raise ValueError(f"the checksum of {name} does not match")
        tensors = load_file(path / "tensors.safetensors")
        state = unpack(json.loads((path / "state.json").read_text(encoding="utf-8")), tensors)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        help = "delete this folder and resume from the one before, or start the run anew"
        raise VlcliError("T201", str(path), f"the checkpoint is damaged ({error})", help) from error
    if not isinstance(state, dict):
        raise VlcliError("T201", str(path), "the checkpoint is damaged (no table in state.json)", "delete this folder")
    return state
