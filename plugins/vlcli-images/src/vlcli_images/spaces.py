"""The starter space: pictures and sentences in one space, without training and without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlcli.align import Space, Tower

if TYPE_CHECKING:
    import torch

    from vlcli.registry import Registry


def starter(registry: Registry, device: torch.device, **options: Any) -> Space:
    """`images/starter`: the plugin's image side, and MiniLM (found by its registry name) for sentences."""
    towers = {
        "images": Tower(registry.build("encoder", "images/starter", options), name="images/starter", options=options),
        "text": Tower(registry.build("encoder", "text/minilm"), name="text/minilm"),
    }
    return Space("images/starter", towers, license="Apache-2.0").to(device)
