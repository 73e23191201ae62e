"""What is tried under faults and has no command of its own; `zygote.py` calls these in a forked child."""

from __future__ import annotations

from pathlib import Path


def save_other_space(source: str, folder: str) -> None:
    """Save over the space in `folder` another one: that of `source` with other weights."""
    import torch

    from vlcli.align.load import load_space
    from vlcli.plugins import load_plugins

    space = load_space(source, load_plugins().registry, "cpu")
    with torch.no_grad():
        for parameter in space.parameters():
            parameter.mul_(0.5)
    space.save(Path(folder))


def convert_weights(file: str) -> None:
    """Convert the published weights of EfficientNet-Lite0 into the cache file."""
    from vlcli_images.efficientnet import _convert

    Path(file).parent.mkdir(parents=True, exist_ok=True)
    _convert(Path(file))


def write_carelessly(file: str) -> None:
    """Write a file as one should not: without a sync."""
    Path(file).write_text("important", encoding="utf-8")
