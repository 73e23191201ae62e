"""Checks that `vlcli plugins doctor images` runs."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from PIL import Image

from vlcli_images.emoji_data import EmojiDataset
from vlcli_images.modality import FORMATS, open_picture, supported_formats


def check_formats() -> str:
    """Write and read a small picture; say which formats can be read."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (200, 30, 30)).save(buffer, "PNG")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "check.png"
        path.write_bytes(buffer.getvalue())
        size = open_picture(path).size
    if size != (4, 3):
        raise RuntimeError(f"a picture of 4 × 3 pixels was read as {size}")
    readable = sorted(set(FORMATS) & supported_formats())
    return f"pictures are read ({', '.join(readable)})"


def check_emoji() -> str:
    """Count the emoji and their test split."""
    dataset = EmojiDataset()
    held_out = sum(example.split == "test" for example in dataset.examples)
    return f"{len(dataset):,} emoji, {held_out} of them held out for testing"
