"""The space `text/minilm`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlcli.align import Space, Tower

if TYPE_CHECKING:
    import torch

    from vlcli.registry import Registry


def minilm(registry: Registry, device: torch.device, **options: Any) -> Space:
    """Sentences alone, through the encoder `text/minilm`."""
    encoder = registry.build("encoder", "text/minilm", options)
    tower = Tower(encoder, name="text/minilm", options=options)
    return Space("text/minilm", {"text": tower}, license="Apache-2.0").to(device)
