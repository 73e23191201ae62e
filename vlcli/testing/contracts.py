"""Contract checks for modalities, encoders and spaces. A plugin's own tests call them.

Each raises `AssertionError` with a sentence that names what is broken.
"""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.align import Encoded, Encoder, Space
    from vlcli.api import Modality, Source
    from vlcli.registry import Registry

TOLERANCE = 1e-4


def check_modality(registry: Registry, name: str, sources: Sequence[Source], bad: Sequence[Source] = ()) -> list[Any]:
    """A modality expands, loads, previews and refuses as `vlcli.api.Modality` promises.

    Args:
        registry: of all installed plugins (`check_plugin` gives it).
        name: of the modality.
        sources: inputs that it must load; those with a path must also expand.
        bad: inputs that it must refuse with a VlcliError whose code begins with D.

    Returns:
        the loaded items.
    """
    from PIL import Image

    from vlcli.api import Modality

    entry = registry.find("modality", name)
    modality: Modality = registry.load(entry)()
    assert isinstance(modality, Modality), f"{entry.name} lacks some of: name, expand, load, collate, preview"
    assert modality.name == entry.spec.name, (
        f"its name is '{modality.name}', but it is registered as '{entry.spec.name}'"
    )
    for extension in entry.spec.extensions:
        assert extension.startswith(".") and extension == extension.lower(), (
            f"'{extension}' is not lower case with a dot"
        )
    items = []
    for source in sources:
        items.append(modality.load(source))
        if source.path is not None:
            expanded = list(modality.expand(source.path))
            assert expanded, f"{source.path} expands to nothing"
            ids = [part.id for part in expanded]
            assert len(set(ids)) == len(ids), f"{source.path} expands to sources with the same id"
            for part in expanded:
                modality.load(part)
        with Image.open(io.BytesIO(modality.preview(source, 64))) as picture:
            assert picture.format == "PNG", f"the preview of {source.id} is {picture.format}, not PNG"
            assert max(picture.size) <= 64, f"the preview of {source.id} is {picture.size}, larger than asked for"
    for source in bad:
        try:
            modality.load(source)
        except VlcliError as error:
            assert error.code.startswith("D"), f"{source.id} is refused with {error.code}, not with a D code"
        else:
            raise AssertionError(f"{source.id} is loaded, but must be refused")
    return items


def check_encoder(
    registry: Registry, name: str, items: Sequence[Any], options: dict[str, Any] | None = None
) -> Encoder:
    """An encoder gives finite vectors of its promised shape that do not depend on the batch, and survives a round trip.

    Args:
        registry: of all installed plugins.
        name: of the encoder.
        items: at least two loaded items of its modality, of different lengths where lengths vary.
        options: to build it with; choose the smallest.

    Returns:
        the encoder, on the CPU, in evaluation mode.
    """
    import torch

    from vlcli.align import Encoder, Space, Tower

    assert len(items) >= 2, "give at least two items"
    entry = registry.find("encoder", name)
    encoder = registry.build("encoder", name, options)
    assert isinstance(encoder, Encoder), f"{entry.name} gives {type(encoder).__name__}, not a vlcli.align.Encoder"
    assert encoder.modality == entry.spec.modality, f"its modality is '{encoder.modality}', not '{entry.spec.modality}'"
    encoder.eval()
    modality: Modality = registry.load(registry.find("modality", encoder.modality))()
    rows = [encoder.preprocess(item) for item in items]
    together = encoder.preprocess_many(items)
    for one, many in zip(rows, together, strict=True):
        assert one.keys() == many.keys(), "preprocess and preprocess_many give different keys"
        assert all(torch.equal(one[key], many[key]) for key in one), "preprocess and preprocess_many differ"
    for row in rows:
        assert encoder.length(row) >= 1, "the length of an item must be at least 1"
    with torch.inference_mode():
        batch = encoder(modality.collate(rows))
        alone = [encoder(modality.collate([row])) for row in rows]
    check_encoded(batch, len(rows), encoder.dim)
    for index, single in enumerate(alone):
        check_encoded(single, 1, encoder.dim)
        difference = float((batch.pooled[index] - single.pooled[0]).abs().max())
        scale = max(1.0, float(single.pooled.abs().max()))
        assert difference <= TOLERANCE * scale, f"item {index} differs by {difference:.2g} alone and in a batch"
    space = Space("check", {encoder.modality: Tower(encoder, name=entry.name, options=options)})
    check_round_trip(registry, space, encoder.modality, modality.collate(rows))
    return encoder


def check_encoded(encoded: Encoded, count: int, dim: int) -> None:
    """Shapes and finiteness of an encoder's output."""
    pooled, tokens, mask = encoded.pooled, encoded.tokens, encoded.mask
    assert tuple(pooled.shape) == (count, dim), f"pooled is {tuple(pooled.shape)}, not {(count, dim)}"
    assert bool(pooled.isfinite().all()), "pooled holds NaN or infinite values"
    if tokens is not None:
        assert tokens.ndim == 3 and len(tokens) == count, f"tokens are {tuple(tokens.shape)}, not [B, T, D]"
        assert bool(tokens.isfinite().all()), "tokens hold NaN or infinite values"
    if mask is not None:
        assert tokens is not None, "a mask without tokens"
        assert mask.shape == tokens.shape[:2], f"the mask is {tuple(mask.shape)}, the tokens {tuple(tokens.shape)}"
        assert bool(mask.any(1).all()), "the mask of an item is empty"


def check_round_trip(registry: Registry, space: Space, modality: str, inputs: dict[str, Any]) -> None:
    """A space gives the same vectors and identity after saving and loading, also when its weights were trained."""
    import torch

    from vlcli.align import Space

    for trained in (False, True):
        if trained:
            parameter = next((p for p in space.tower(modality).encoder.parameters() if p.is_floating_point()), None)
            if parameter is None:
                return
            before = space.identity
            with torch.no_grad():
                parameter.mul_(1.01).add_(1e-3)
            assert space.identity != before, "the identity does not change when a weight does"
        with tempfile.TemporaryDirectory(prefix="vlcli-check-") as folder, torch.inference_mode():
            space.save(Path(folder))
            loaded = Space.load(Path(folder), registry)
            assert loaded.identity == space.identity, "the identity changes by saving and loading"
            difference = float((space.embed(modality, inputs) - loaded.embed(modality, inputs)).abs().max())
            assert difference <= 1e-6, f"vectors change by {difference:.2g} by saving and loading"


def check_space(registry: Registry, name: str, sources: dict[str, Sequence[Source]]) -> Space:
    """A registered space embeds, gives unit vectors at every Matryoshka width, and survives a round trip.

    Args:
        registry: of all installed plugins.
        name: of the space, or a folder, or `hf:PATH`.
        sources: modality -> two or more inputs.

    Returns:
        the space, on the CPU.
    """
    import numpy as np

    from vlcli.align import Embedder, Space, load_space

    space = load_space(name, registry, "cpu")
    missing = set(sources) - set(space.modalities)
    assert not missing, f"the space has no tower for {', '.join(sorted(missing))}"
    assert math.isfinite(space.logit_scale.item()), "the temperature is not finite"
    for modality, given in sources.items():
        for dim in (space.dim, max(1, space.dim // 2)):
            results = list(Embedder(space, registry, dim=dim, workers=1).embed_sources(modality, given))
            errors = [str(result.error) for result in results if result.error is not None]
            assert not errors, f"refused: {errors[0]}"
            vectors = np.stack([result.vector for result in results if result.vector is not None])
            assert vectors.shape == (len(given), dim), f"vectors are {vectors.shape}, not {(len(given), dim)}"
            assert np.allclose((vectors**2).sum(1), 1, atol=1e-4), "vectors are not of length 1"
    with tempfile.TemporaryDirectory(prefix="vlcli-check-") as folder:
        space.save(Path(folder))
        assert Space.load(Path(folder), registry).identity == space.identity, "the identity changes by saving"
    return space
