"""Files that would run code if anything unpickled them, and safetensors files that lie about themselves."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

MARKER = "executed-marker"


class Bomb:
    """Writes the marker file when it is unpickled."""

    def __init__(self, marker: Path, how: Callable[..., Any], *arguments: Any) -> None:
        self.call = how, arguments
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def bombs(marker: Path) -> dict[str, Bomb]:
    """Several ways to run something, each of which leaves the marker."""
    import os
    import runpy
    import subprocess

    script = marker.with_suffix(".py")
    script.write_text(f"open({str(marker)!r}, 'w').close()\n")
    return {
        "exec": Bomb(marker, exec, f"open({str(marker)!r}, 'w').close()"),
        "mkdir": Bomb(marker, os.mkdir, str(marker)),
        "system": Bomb(marker, os.system, f"touch '{marker}'"),
        "run": Bomb(marker, subprocess.call, ["touch", str(marker)]),
        "runpy": Bomb(marker, runpy.run_path, str(script)),
    }


def payloads(marker: Path) -> dict[str, bytes]:
    """Name -> bytes of every kind of file that hides a pickle."""
    found: dict[str, bytes] = {}
    made = bombs(marker)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found[f"pickle protocol {protocol}"] = pickle.dumps(made["mkdir"], protocol)
    for name, bomb in made.items():
        found[f"pickle of {name}"] = pickle.dumps({"weights": bomb}, 4)
        found[f"torch zip with {name}"] = torch_file(OrderedDict(weight=bomb), zipped=True)
    found["torch legacy file"] = torch_file({"weight": made["mkdir"]}, zipped=False)
    objects = np.array([made["mkdir"], 1], dtype=object)
    found["npy of objects"] = saved(lambda file: np.save(file, objects, allow_pickle=True))
    found["npz of objects"] = saved(lambda file: np.savez(file, weight=objects))
    raw = pickle.dumps(made["mkdir"], 2)
    found["zlib pickle"] = zlib.compress(raw)
    found["gzip pickle"] = gzip.compress(raw)
    header = b'{"weight":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (len(raw), len(raw))
    found["pickle inside safetensors"] = struct.pack("<Q", len(header)) + header + raw
    found["pickle behind a PNG header"] = b"\x89PNG\r\n\x1a\n" + raw
    found["pickle as JSON text"] = json.dumps({"__reduce__": ["os.mkdir", [str(marker)]], "data": raw.hex()}).encode()
    found["Python source"] = f"open({str(marker)!r}, 'w').close()\n".encode()
    return found


def torch_file(value: Any, *, zipped: bool) -> bytes:
    """What `torch.save` writes."""
    return saved(lambda file: torch.save(value, file, _use_new_zipfile_serialization=zipped))


def saved(write: Callable[[io.BytesIO], object]) -> bytes:
    """The bytes that a function writes."""
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def lying_safetensors() -> dict[str, bytes]:
    """Name -> a safetensors file whose header is wrong."""

    def tensor(start: int, end: int, shape: list[Any], dtype: str = "F32") -> dict[str, Any]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}

    def file(header: Any, body: int = 64, length: int | None = None) -> bytes:
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + b"\0" * body

    good = tensor(0, 64, [16])
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("data.pkl", b"x")
    return {
        "overlapping tensors": file({"a": tensor(0, 64, [16]), "b": tensor(32, 64, [8])}),
        "the same bytes twice": file({"a": good, "b": good}),
        "a hole": file({"a": tensor(0, 16, [4]), "b": tensor(32, 64, [8])}),
        "data after the last tensor": file({"a": tensor(0, 16, [4])}),
        "offsets behind the end": file({"a": tensor(0, 1 << 40, [1 << 38])}),
        "offsets backwards": file({"a": tensor(64, 0, [16])}),
        "negative offsets": file({"a": tensor(-64, 0, [16])}),
        "shape larger than the data": file({"a": tensor(0, 64, [1 << 20])}),
        "shape that overflows": file({"a": tensor(0, 64, [1 << 33, 1 << 33])}),
        "negative shape": file({"a": tensor(0, 64, [-16])}),
        "shape of text": file({"a": tensor(0, 64, ["16"])}),
        "an unknown type": file({"a": tensor(0, 64, [16], "F31")}),
        "no offsets": file({"a": {"dtype": "F32", "shape": [16]}}),
        "header of 2^63 bytes": file({"a": good}, length=1 << 63),
        "header of 2^64 - 1 bytes": file({"a": good}, length=(1 << 64) - 1),
        "header longer than the file": file({"a": good}, length=10_000),
        "header of 200 MB announced": file({"a": good}, length=200_000_000),
        "header of no bytes": file(b"", length=0),
        "header is a list": file([good]),
        "header is no JSON": file(b"{" * 64),
        "header is no UTF-8": file(b'{"a\xff":{}}'),
        "header nested 100,000 deep": file(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "a name twice": file(b'{"a":' + json.dumps(good).encode() + b',"a":' + json.dumps(good).encode() + b"}"),
        "truncated data": file({"a": good}, body=32),
        "metadata that is no text": file({"__metadata__": {"x": [1]}, "a": good}),
        "a million tensors announced": file({str(number): tensor(0, 0, [0]) for number in range(100_000)}, body=64),
        "an empty file": b"",
        "seven bytes": b"\1" * 7,
        "a zip": zipped.getvalue(),
    }
