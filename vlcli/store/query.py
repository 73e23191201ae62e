"""Search a store by text, by an example file, or by both; by meaning or by words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vlcli.api import Source
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.registry import Registry
    from vlcli.store.types import Hit, VectorStore


def load_store_space(
    store: VectorStore, registry: Registry, *, device: str = "auto", space: str | None = None
) -> Space:
    """The space that the store is pinned to, or `space` when it is the same one.

    Raises:
        VlcliError: an M code when the space found is not the store's; what loading a space raises.
    """
    from vlcli.align.load import load_space

    loaded = load_space(space or store.info.load, registry, device=device)
    store.check_space(loaded.identity, loaded.name)
    return loaded


def query_vector(
    space: Space, registry: Registry, *, text: str | None = None, file: Path | None = None, weight: float = 0.5,
    modality: str | None = None,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """One unit vector `[D]` for a text, a file, or both.

    Args:
        weight: share of the text when both are given; the rest is the file's.
        modality: how to read the file; by default its extension decides.

    Raises:
        VlcliError: U301 when neither is given, U302 for a weight outside 0 … 1, U303 when the space can not take the
            query, the modality's own error when the file is refused.
    """
    from vlcli.align.embedder import Embedder

    text = text.strip() if text is not None else None
    if not text and file is None:
        raise VlcliError("U301", "", "there is nothing to search for", "give a text, or --file FILE")
    if not 0 <= weight <= 1:
        raise VlcliError("U302", "--text-weight", f"{weight} is not between 0 and 1")
    embedder = Embedder(space, registry, batch_size=1)
    parts: list[tuple[float, npt.NDArray[np.float32]]] = []
    if text:
        if "text" not in space.modalities:
            raise VlcliError("U303", space.name, "this space does not embed text", "search with --file instead")
        parts.append((weight if file is not None else 1.0, embedder.embed_texts([text])[0]))
    if file is not None:
        name = modality or modality_of_file(file, space, registry)
        found = next(iter(embedder.embed_sources(name, [Source(id=str(file), path=file)])))
        if found.vector is None:
            raise found.error or VlcliError("E407", str(file), "gave no vector")
        parts.append((1 - weight if text else 1.0, found.vector))
    mixed = sum(share * vector / max(float(np.linalg.norm(vector)), 1e-12) for share, vector in parts)
    vector: npt.NDArray[np.float32] = np.asarray(mixed, np.float32)
    length = float(np.linalg.norm(vector))
    if length < 1e-9:
        raise VlcliError("U304", "", "text and file cancel each other out", "change --text-weight")
    unit: npt.NDArray[np.float32] = vector / np.float32(length)
    return unit


def modality_of_file(file: Path, space: Space, registry: Registry) -> str:
    """The modality that reads a query file and that the space embeds.

    Raises:
        VlcliError: U303 when there is none, or more than one.
    """
    if not file.exists():
        raise VlcliError("X303", str(file), "no such file", "check the path given to --file")
    names = [entry.spec.name for entry in registry.modality_of(file.suffix) if entry.spec.name in space.modalities]
    if len(names) == 1:
        return str(names[0])
    if names:
        raise VlcliError("U303", str(file), f"can be read as {', '.join(names)}", "say which with --file-modality")
    raise VlcliError("U303", str(file), f"space '{space.name}' embeds {', '.join(space.modalities)}, not "
                     f"'{file.suffix or 'files without extension'}'", "use a file of such a modality")  # fmt: skip


def search_store(
    store: VectorStore, space: Space | None, registry: Registry, text: str | None = None, file: Path | None = None,
    top: int = 10, where: str | None = None, modality: str | None = None, *, weight: float = 0.5,
    words: bool = False, device: str = "auto", file_modality: str | None = None,
) -> list[Hit]:  # fmt: skip
    """The `top` items nearest to a query, best first.

    Args:
        space: the store's own space when it is loaded already; None loads it.
        text, file: what to search for; both together are mixed, `weight` being the text's share.
        where: SQL condition over item columns. modality: only items of this modality.
        words: match the words of stored texts and captions instead of meaning; needs no space.
        file_modality: how to read `file`; by default its extension decides.

    Raises:
        VlcliError: U301 no query, U305 `top` below 1 or a word search with a file; an M code when `space` is not the
            store's.
    """
    if top < 1:
        raise VlcliError("U305", "--top", f"{top} is not a number of results", "use 1 or more")
    if words:
        if file is not None or not text or not text.strip():
            raise VlcliError("U305", "--text-match", "searches words, so it needs a text and no file")
        return store.fulltext(text, top, where=where, modality=modality)
    if space is None:
        space = load_store_space(store, registry, device=device)
    else:
        store.check_space(space.identity, space.name)
    vector = query_vector(space, registry, text=text, file=file, weight=weight, modality=file_modality)
    return store.search(vector[None], top, where=where, modality=modality)[0]
