"""Contract checks of what a plugin registers: modalities, encoders and spaces by their names. Plugins' tests call them.

`vlcli.testing.items` checks an object by itself; these checks also go through the registry, refuse bad inputs, save and
load. Each raises `AssertionError` with a sentence that names what is broken.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.errors import VlcliError
from vlcli.testing.items import check_encoder, check_modality

if TYPE_CHECKING:
    from vlcli.align import Encoder, Space
    from vlcli.api import Modality, Source
    from vlcli.registry import Registry


def check_registered_modality(
    registry: Registry, name: str, sources: Sequence[Source], bad: Sequence[Source] = ()
) -> list[Any]:
    """A registered modality is named as registered, loads good inputs and refuses bad ones.

    Args:
        registry: of all installed plugins (`check_plugin` gives it).
        name: of the modality.
        sources: inputs that it must load; those with a path also pass `check_modality`.
        bad: inputs that it must refuse with a VlcliError whose code begins with D.

    Returns:
        the loaded items.
    """
    entry = registry.find("modality", name)
    modality: Modality = registry.load(entry)()
    assert modality.name == entry.spec.name, (
        f"its name is '{modality.name}', but it is registered as '{entry.spec.name}'"
    )
    for extension in entry.spec.extensions:
        assert extension.startswith(".") and extension == extension.lower(), (
            f"'{extension}' is not lower case with a dot"
        )
    for source in sources:
        if source.path is not None:
            check_modality(modality, source.path)
    for source in bad:
        try:
            modality.load(source)
        except VlcliError as error:
            assert error.code.startswith("D"), f"{source.id} is refused with {error.code}, not with a D code"
        else:
            raise AssertionError(f"{source.id} is loaded, but must be refused")
    return [modality.load(source) for source in sources]


def check_registered_encoder(
    registry: Registry, name: str, items: Sequence[Any], options: dict[str, Any] | None = None
) -> Encoder:
    """A registered encoder passes `check_encoder`, batches its preprocessing alike, and survives saving and loading.

    Args:
        registry: of all installed plugins.
        name: of the encoder.
        items: at least two different loaded items of its modality, of different lengths where lengths vary.
        options: to build it with; choose the smallest.

    Returns:
        the encoder, on the CPU, in evaluation mode.
    """
    import torch

    from vlcli.align import Space, Tower

    entry = registry.find("encoder", name)
    encoder: Encoder = registry.build("encoder", name, options)
    check_encoder(encoder, items)
    assert encoder.modality == entry.spec.modality, f"its modality is '{encoder.modality}', not '{entry.spec.modality}'"
    modality: Modality = registry.load(registry.find("modality", encoder.modality))()
    rows = [encoder.preprocess(item) for item in items]
    for one, many in zip(rows, encoder.preprocess_many(items), strict=True):
        assert one.keys() == many.keys(), "preprocess and preprocess_many give different keys"
        assert all(torch.equal(one[key], many[key]) for key in one), "preprocess and preprocess_many differ"
    checked = registry.check_options(entry, options)
    space = Space("check", {encoder.modality: Tower(encoder, name=entry.name, options=checked)})
    check_round_trip(registry, space, encoder.modality, modality.collate(rows))
    return encoder


def check_round_trip(registry: Registry, space: Space, modality: str, inputs: dict[str, Any]) -> None:
    """A space gives the same vectors and identity after saving and loading, also when its weights were trained."""
    import torch

    from vlcli.align import Space

    space.eval()
    for trained in (False, True):
        if trained:
            parameter = next((p for p in space.tower(modality).encoder.parameters() if p.is_floating_point()), None)
            if parameter is None:
                return
            before = space.identity
            with torch.no_grad():
                parameter.mul_(1.01).add_(1e-3)
            assert space.identity != before, "the identity does not change when a weight does"
        with tempfile.TemporaryDirectory(prefix="vlcli-check-") as folder:
            space.save(Path(folder))
            loaded = Space.load(Path(folder), registry)
            assert loaded.identity == space.identity, "the identity changes by saving and loading"
            with torch.inference_mode():
                difference = float((space.embed(modality, inputs) - loaded.embed(modality, inputs)).abs().max())
            assert difference <= 1e-6, f"vectors change by {difference:.2g} by saving and loading"


def check_space(registry: Registry, name: str, sources: dict[str, Sequence[Source]]) -> Space:
    """A space embeds, gives unit vectors at every Matryoshka width, and survives a round trip.

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
