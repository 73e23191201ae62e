"""Contract checks for encoders and modalities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlcli.align import Encoder
    from vlcli.api import Modality, Source

MOST_VIEW_BYTES = 200_000
"""Of a page with one view: its script and its data."""


def check_encoder(encoder: Encoder, items: Sequence[Any]) -> None:
    """An encoder: preprocesses single items, pools a batch to `[B, dim]`, and each item alone as in the batch.

    Args:
        items: at least two different items in the modality's canonical form, of different lengths where they may be.
    """
    import torch

    from vlcli.align import Encoded, Encoder
    from vlcli.data.collate import pad_and_stack

    assert isinstance(encoder, Encoder), "an encoder derives from vlcli.align.Encoder"
    assert isinstance(encoder.modality, str) and encoder.modality, "an encoder names its modality"
    assert len(items) >= 2, "the check needs two items"
    encoder.eval()
    inputs = [encoder.preprocess(item) for item in items]
    for tensors in inputs:
        assert tensors and all(isinstance(value, torch.Tensor) for value in tensors.values()), (
            "preprocess gives a dict of tensors"
        )
        assert encoder.length(tensors) >= 1, "the length of an item is at least 1"
    with torch.no_grad():
        together = encoder(pad_and_stack(inputs))
        assert isinstance(together, Encoded), "forward gives vlcli.align.Encoded"
        expected = (len(items), encoder.dim)
        assert tuple(together.pooled.shape) == expected, f"pooled is {list(together.pooled.shape)}, not {expected}"
        assert bool(torch.isfinite(together.pooled).all()), "pooled must be finite"
        for index, tensors in enumerate(inputs):
            alone = encoder(pad_and_stack([tensors])).pooled[0]
            difference = float((alone - together.pooled[index]).abs().max())
            assert difference <= 1e-4, f"item {index} alone differs from it in a batch by {difference:.2g}"
    if together.tokens is not None:
        assert together.tokens.ndim == 3 and len(together.tokens) == len(items), "tokens are [B, T, D]"
    if together.mask is not None:
        assert together.tokens is not None and together.mask.shape == together.tokens.shape[:2], "the mask is [B, T]"
    assert not torch.equal(together.pooled[0], together.pooled[1]), "different items gave the same vector"


def check_modality(modality: Modality, file: Path) -> list[Source]:
    """A modality: expands a file into items with unique ids, loads each alike twice, and draws it, and views are whole.

    Returns:
        the items of the file.
    """
    from io import BytesIO

    from PIL import Image

    from vlcli.api import Modality, Source, Viewable
    from vlcli.report.page import Card, Grid, Page, render_page

    assert isinstance(modality, Modality), "a modality has name, expand, load, collate and preview"
    sources = list(modality.expand(file))
    assert sources, f"no item in {file.name}"
    assert all(isinstance(source, Source) for source in sources), "expand gives vlcli.api.Source"
    assert len({source.id for source in sources}) == len(sources), "ids of items must be unique"
    for source in sources:
        assert repr(modality.load(source)) == repr(modality.load(source)), f"'{source.id}' loads differently each time"
        for size in (64, 256):
            picture = Image.open(BytesIO(modality.preview(source, size)))
            assert picture.format == "PNG" and max(picture.size) <= size, f"a preview is a PNG of at most {size} pixels"
        if isinstance(modality, Viewable):
            view = modality.view(source)
            drawn = render_page(Page("view", [Grid([Card(source.id, "data:,", alt=source.id, view=view)])]))
            assert len(drawn) <= MOST_VIEW_BYTES, f"a page with the view alone has {len(drawn):,} bytes"
    return sources
