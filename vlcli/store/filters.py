"""Filters of plugins over what a store holds: `vlcli search STORE … --NAME VALUE`.

A registered filter that states `search_option` can be asked for items as well as for training examples. It is applied
to the whole store before the nearest items are ranked, so `top` counts items that pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from vlcli.api import Source
from vlcli.data.names import real_path
from vlcli.errors import VlcliError, did_you_mean

if TYPE_CHECKING:
    from vlcli.registry import Entry, Registry
    from vlcli.store.types import Item, VectorStore

PAGE = 1000


class ItemFilter(Protocol):
    """What the target of a `FilterSpec` with a `search_option` gives, beside being a filter of examples."""

    def select(self, modality: str, sources: Iterable[Source]) -> Iterator[bool | VlcliError]:
        """For each source, in order: whether it passes, or why that can not be told."""
        ...


@dataclass
class Selection:
    """The ids of the items that pass all filters, in the order of arrival, and those that could not be judged."""

    ids: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, VlcliError]] = field(default_factory=list)


def search_filters(registry: Registry) -> dict[str, Entry]:
    """Filters that searches can use, by the name of their option (`substructure` for `--substructure`)."""
    found = {entry.spec.name: entry for entry in registry.list("filter") if getattr(entry.spec, "search_option", "")}
    return {name: registry.find("filter", entry.name) for name, entry in found.items()}


def build_filters(registry: Registry, asked: Sequence[str]) -> list[ItemFilter]:
    """The filters that were asked for as `NAME=VALUE`.

    Raises:
        VlcliError: U307 when one is not of that form or no such filter is registered, and what the filter raises for
            a value that it can not use.
    """
    known = search_filters(registry)
    filters: list[ItemFilter] = []
    for text in asked:
        name, equals, value = text.partition("=")
        if name in known and not equals:
            raise VlcliError("U307", "--filter", f"'{name}' has no value", f"write {name}=VALUE")
        if name not in known:
            hint = did_you_mean(name, list(known)) or (f"known: {', '.join(known)}" if known else "no plugin has any")
            raise VlcliError("U307", "--filter", f"there is no filter '{name}' of items, as NAME=VALUE", hint)
        entry = known[name]
        option: str = getattr(entry.spec, "search_option", "")
        filters.append(registry.build("filter", entry.name, {option: value}))
    return filters


def select_items(
    store: VectorStore, filters: Sequence[ItemFilter], where: str | None = None, modality: str | None = None
) -> Selection:
    """Ask the filters about every item that passes `where` and `modality`; pages of items, so memory stays flat."""
    selection = Selection()
    stream = store.items(where=where, modality=modality)
    while page := list(islice(stream, PAGE)):
        for items in by_modality(page).values():
            select_page(items, filters, selection)
    return selection


def select_page(items: list[Item], filters: Sequence[ItemFilter], selection: Selection) -> None:
    """Narrow items of one modality by each filter in turn, so that a later one sees only what is left."""
    left = items
    for one in filters:
        sources = [source_of(item) for item in left]
        kept: list[Item] = []
        for item, verdict in zip(left, one.select(items[0].modality, sources), strict=True):
            if isinstance(verdict, VlcliError):
                selection.unreadable.append((item.id, verdict))
            elif verdict:
                kept.append(item)
        left = kept
    selection.ids += [item.id for item in left]


def by_modality(items: list[Item]) -> dict[str, list[Item]]:
    """Items grouped by modality, their order kept."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.modality, []).append(item)
    return groups


def source_of(item: Item) -> Source:
    """A stored item as the source that it was: its file, or its inline value."""
    columns: dict[str, Any] = dict(item.metadata)
    if item.path is not None:
        return Source(id=item.id, path=real_path(item.path), metadata=columns)
    return Source(id=item.id, value=item.text or "", metadata=columns)
