"""The starter space: pictures and sentences in one space, without training and without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlcli.align import Space, Tower
from vlcli.align.projection import Centre
from vlcli_images.starter_head import load_starter_heads

if TYPE_CHECKING:
    import torch

    from vlcli.registry import Registry


def starter(registry: Registry, device: torch.device, **options: Any) -> Space:
    """`images/starter`: the plugin's image side; MiniLM (found by its registry name) less the mean caption for text."""
    sentences = registry.build("encoder", "text/minilm")
    settings = registry.check_options(registry.find("encoder", "text/minilm"))
    centre = Centre(sentences.dim)
    centre.mean.copy_(load_starter_heads()[1].mean)
    towers = {
        "images": Tower(registry.build("encoder", "images/starter", options), name="images/starter", options=options),
        "text": Tower(sentences, centre, "text/minilm", settings),
    }
    return Space("images/starter", towers, license="Apache-2.0").to(device)
