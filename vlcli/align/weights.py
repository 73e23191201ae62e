"""Reading safetensors files that may be damaged or hostile, and hashing weights."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from vlcli.errors import VlcliError


def tensor_bytes(tensor: Tensor) -> memoryview:
    """The raw little-endian bytes of a tensor, copied to the CPU when it is elsewhere."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy().data) if flat.numel() else memoryview(b"")


def weights_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of the names: the same on every device."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}\n".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def fingerprint(module: nn.Module) -> int:
    """A fast checksum of a module's weights, to notice training; it protects against nobody's malice."""
    value = 0
    for name, tensor in module.state_dict().items():
        value = zlib.crc32(tensor_bytes(tensor), zlib.crc32(f"{name}|{tensor.dtype}".encode(), value))
    return value


def version_key(module: nn.Module) -> tuple[int, str]:
    """Changes whenever a weight is written in place or cast; costs nothing like a hash of the weights would."""
    tensors = [*module.parameters(), *module.buffers()]
    writes = sum(0 if tensor.is_inference() else tensor._version for tensor in tensors)
    kinds = ",".join(sorted({str(tensor.dtype) for tensor in tensors}))
    return writes, f"{len(tensors)} {kinds}"


def read_safetensors(path: Path, expected: Mapping[str, Tensor] | None = None, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a safetensors file whose names begin with `prefix`, the prefix cut off.

    Args:
        path: the file. Its header is checked (bounds, overlaps, lengths) before any tensor is allocated.
        expected: names to tensors (may be on the meta device) that the file must match in name, shape and type class.
        prefix: take only these tensors.

    Raises:
        VlcliError: W102 when the file is missing, W103 when it is damaged, W104 when a tensor is missing, unexpected
            or of another shape, W105 when a weight is NaN or infinite.
    """
    if not path.is_file():
        raise VlcliError("W102", str(path), "the weights file is missing", "restore the folder from its source")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = [name for name in list(file.keys()) if name.startswith(prefix)]
            if expected is not None:
                check_names(path, {name.removeprefix(prefix) for name in names}, expected)
                for name in names:
                    found = tuple(file.get_slice(name).get_shape())
                    wanted = tuple(expected[name.removeprefix(prefix)].shape)
                    if found != wanted:
                        raise VlcliError("W104", str(path), f"the tensor '{name}' has the shape {list(found)} instead "
                                         f"of {list(wanted)}", "restore the folder from its source")  # fmt: skip
            tensors = {name.removeprefix(prefix): file.get_tensor(name) for name in names}
    except (SafetensorError, ValueError, OverflowError) as error:
        raise VlcliError("W103", str(path), f"is damaged or not a safetensors file ({first_line(error)})",
                         "restore it from its source") from error  # fmt: skip
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise VlcliError("W105", str(path), f"the tensor '{prefix}{name}' holds NaN or infinite values",
                             "train or download it again")  # fmt: skip
    return tensors


def check_names(path: Path, found: set[str], expected: Mapping[str, Tensor]) -> None:
    """Raise W104 for the first tensor that is missing or that nothing asked for."""
    missing, extra = sorted(set(expected) - found), sorted(found - set(expected))
    if missing:
        raise VlcliError("W104", str(path), f"the tensor '{missing[0]}' is missing ({len(missing)} in all)",
                         "restore the folder from its source")  # fmt: skip
    if extra:
        raise VlcliError("W104", str(path), f"holds the tensor '{extra[0]}', which the model does not have",
                         "restore the folder from its source")  # fmt: skip


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    return (str(error).splitlines() or [type(error).__name__])[0]
