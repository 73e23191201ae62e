"""A registry with toy encoders, and tiny tokenizers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from vlcli.api import EncoderSpec, ModalitySpec
from vlcli.registry import Registry

# The toys are registered by module name, as a plugin's parts are.
sys.path.append(str(Path(__file__).parent / "toys"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def toys() -> Registry:
    registry = Registry()
    registry.add("toys", "modality", ModalitySpec(name="numbers", summary="", target="align_toys:Numbers"))
    for name, attribute in (("toy", "Toy"), ("published", "Published")):
        spec = EncoderSpec(name=name, summary="", target=f"align_toys:{attribute}", options="align_toys:ToyOptions",
                           modality="numbers")  # fmt: skip
        registry.add("toys", "encoder", spec)
    return registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    from vlcli.plugins import load_plugins

    return load_plugins().registry
