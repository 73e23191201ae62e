"""Writing files through libraries in Rust so that the operating system's refusal comes as the `OSError` that it is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file.

    Raises:
        OSError: when it can not be written; safetensors itself wraps that into an error of its own.
    """
    from safetensors.torch import save_file

    with system_errors(path):
        save_file(dict(tensors), path, metadata=metadata)


@contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Raise the `OSError` behind an error of safetensors (a `SafetensorError`) or tokenizers (a bare `Exception`)."""
    try:
        yield
    except Exception as error:
        number = re.search(r"os error (\d+)", str(error))
        if isinstance(error, OSError) or number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
