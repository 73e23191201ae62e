"""Which device and precision a command runs with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vlcli.errors import VlcliError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, then MPS, then the CPU; `cuda:1` names one of several.

    Raises:
        VlcliError: X101 when the device is absent, X102 when the name is none.
    """
    import torch

    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise VlcliError("X102", "--device", f"'{name}' is not a device", f"choose from {', '.join(DEVICES)}")
    if kind == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = name.partition(":")[2] or "0"
        if not index.isdigit() or int(index) >= count:
            raise VlcliError("X101", "--device", f"'{name}' was asked for, but torch sees {count} CUDA devices",
                             "use --device cpu, or install a CUDA build of torch and check `nvidia-smi`")  # fmt: skip
    if kind == "mps" and not torch.backends.mps.is_available():
        raise VlcliError("X101", "--device", "'mps' was asked for, but torch has no MPS device", "use --device cpu")
    return torch.device(name)


def set_threads(count: int | None = None) -> int:
    """Set torch's CPU threads from `count`, else from `VLCLI_THREADS`, else leave torch's default; gives the number.

    Raises:
        VlcliError: X103 when `VLCLI_THREADS` is no positive number.
    """
    import torch

    if count is None:
        text = os.environ.get("VLCLI_THREADS", "")
        if not text:
            return torch.get_num_threads()
        if not text.isdigit() or int(text) < 1:
            raise VlcliError("X103", "VLCLI_THREADS", f"'{text}' is not a positive number")
        count = int(text)
    torch.set_num_threads(count)
    return count


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
