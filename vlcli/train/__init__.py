"""Training: what a method is, the loop, stages, checkpoints, batches.

The public names are loaded when they are used, so that naming one of them does not import all of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlcli.train.batches import Batch, embed_side, encode_side
    from vlcli.train.loaders import ExampleLoader, Loader, LoaderSpec
    from vlcli.train.method import Evaluate, Method, Setup, Stage, StepState, freeze

_PLACES = {
    "Batch": "batches", "Evaluate": "method", "ExampleLoader": "loaders", "Loader": "loaders",
    "LoaderSpec": "loaders", "Method": "method", "Setup": "method", "Stage": "method",
    "StepState": "method", "embed_side": "batches", "encode_side": "batches", "freeze": "method",
}  # fmt: skip

__all__ = [
    "Batch", "Evaluate", "ExampleLoader", "Loader", "LoaderSpec", "Method", "Setup", "Stage", "StepState", "embed_side",
    "encode_side", "freeze",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'vlcli.train' has no attribute '{name}'")
    return getattr(importlib.import_module(f"vlcli.train.{_PLACES[name]}"), name)
