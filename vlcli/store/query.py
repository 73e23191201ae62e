"""Search a store by text, by an example file, or by both; by meaning or by words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vlcli.api import Source
from vlcli.errors import VlcliError
from vlcli.store.filters import ItemFilter, select_items
from vlcli.store.types import Hit

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.registry import Registry
    from vlcli.store.types import VectorStore


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
    modality: str | None = None, item: str | None = None,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """One unit vector `[D]` for a text, a file, or both.

    Args:
        weight: share of the text when both are given; the rest is the file's.
        modality: how to read the file or the item; by default the file's extension decides, or the space.
        item: an inline value, in the place of a file.

    Raises:
        VlcliError: U301 when neither is given, U302 for a weight outside 0 … 1, U303 when the space can not take the
            query, the modality's own error when the file is refused.
    """
    from vlcli.align.embedder import Embedder

    text = text.strip() if text is not None else None
    if file is not None and item is not None:
        raise VlcliError("U305", "--item", "takes the place of --file", "give one of the two")
    example = example_source(file, item)
    if not text and example is None:
        raise VlcliError("U301", "", "there is nothing to search for", "give a text, --file FILE or --item VALUE")
    if not 0 <= weight <= 1:
        raise VlcliError("U302", "--text-weight", f"{weight} is not between 0 and 1")
    embedder = Embedder(space, registry, batch_size=1)
    parts: list[tuple[float, npt.NDArray[np.float32]]] = []
    if text:
        if "text" not in space.modalities:
            raise VlcliError("U303", space.name, "this space does not embed text", "search with --file instead")
        parts.append((weight if example is not None else 1.0, embedder.embed_texts([text])[0]))
    if example is not None:
        name = modality or (modality_of_file(file, space, registry) if file is not None else modality_of_item(space))
        found = next(iter(embedder.embed_sources(name, [example])))
        if found.vector is None:
            raise found.error or VlcliError("E407", example.id, "gave no vector")
        parts.append((1 - weight if text else 1.0, found.vector))
    mixed = sum(share * vector / max(float(np.linalg.norm(vector)), 1e-12) for share, vector in parts)
    vector: npt.NDArray[np.float32] = np.asarray(mixed, np.float32)
    length = float(np.linalg.norm(vector))
    if length < 1e-9:
        raise VlcliError("U304", "", "text and file cancel each other out", "change --text-weight")
    unit: npt.NDArray[np.float32] = vector / np.float32(length)
    return unit


def example_source(file: Path | None, item: str | None) -> Source | None:
    """What the user gave as an example, or None."""
    if file is not None:
        return Source(id=str(file), path=file)
    return Source(id=item[:100], value=item) if item is not None and item.strip() else None


def modality_of_item(space: Space) -> str:
    """The one modality besides text that the space embeds.

    Raises:
        VlcliError: U303 when there is none, or more than one.
    """
    names = [name for name in space.modalities if name != "text"]
    if len(names) == 1:
        return str(names[0])
    if not names:
        raise VlcliError("U303", "--item", f"space '{space.name}' embeds text alone", "give it as the text")
    raise VlcliError("U303", "--item", f"can be read as {', '.join(names)}", "say which with --file-modality")


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
    words: bool = False, device: str = "auto", file_modality: str | None = None, item: str | None = None,
    filters: Sequence[ItemFilter] = (), on_unreadable: Callable[[list[tuple[str, VlcliError]]], None] | None = None,
    approximate: bool | None = None,
) -> list[Hit]:  # fmt: skip
    """The `top` items nearest to a query, best first.

    Args:
        space: the store's own space when it is loaded already; None loads it.
        text, file: what to search for; both together are mixed, `weight` being the text's share.
        where: SQL condition over item columns. modality: only items of this modality.
        words: match the words of stored texts and captions instead of meaning; needs no space.
        file_modality: how to read `file` or `item`; by default the file's extension decides, or the space.
        item: an inline value to search for as an example, such as a SMILES string.
        filters: only items that pass; see `vlcli.store.filters`. Without any query, the first `top` of them are
            answered in the order of arrival, with scores that are not numbers.
        approximate: use the approximate index, or do not; None does what the store was told to. `store.searched` says
            what was done.
        on_unreadable: told which items the filters could not judge; they are not answered.

    Raises:
        VlcliError: U301 no query, U305 `top` below 1 or a word search with a file; an M code when `space` is not the
            store's.
    """
    if top < 1:
        raise VlcliError("U305", "--top", f"{top} is not a number of results", "use 1 or more")
    if words and (file is not None or item is not None or not text or not text.strip()):
        raise VlcliError("U305", "--text-match", "searches words, so it needs a text and no file")
    narrowed: dict[str, Any] = {}
    if filters:
        selection = select_items(store, filters, where, modality)
        if selection.unreadable and on_unreadable is not None:
            on_unreadable(selection.unreadable)
        narrowed = {"ids": selection.ids}
        if file is None and item is None and not (text and text.strip()):
            return as_they_came(store, selection.ids[:top])
    if words:
        return store.fulltext(str(text), top, where=where, modality=modality, **narrowed)
    if space is None:
        space = load_store_space(store, registry, device=device)
    else:
        store.check_space(space.identity, space.name)
    vector = query_vector(space, registry, text=text, file=file, weight=weight, modality=file_modality, item=item)
    return store.search(vector[None], top, where=where, modality=modality, approximate=approximate, **narrowed)[0]


def as_they_came(store: VectorStore, ids: Sequence[str]) -> list[Hit]:
    """Items without a ranking, as answers whose score is not a number."""
    found = store.get(ids)
    items = [found[id] for id in ids if id in found]
    return [Hit(rank, math.nan, item.id, item.path, item.modality, item.metadata, item.text)
            for rank, item in enumerate(items, 1)]  # fmt: skip
