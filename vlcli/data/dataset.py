"""What a data set is: examples that hold one source per modality, captions and, where there is one, a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from vlcli.api import Source


@dataclass(frozen=True, slots=True)
class Example:
    """One example.

    Attributes:
        id: unique in the data set and stable over runs.
        sources: modality -> source, e.g. `{"images": Source(...)}`. Captions are not repeated here as text.
        captions: sentences that describe it, the main one first; may be empty.
        label: its class, or None.
        split: `train`, `val`, `test`, or None when the data set has no splits.
        metadata: anything else, JSON-serialisable (language, author, licence …).
    """

    id: str
    sources: Mapping[str, Source]
    captions: tuple[str, ...] = ()
    label: str | None = None
    split: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Dataset(Protocol):
    """A finite, indexable collection of examples. Reading an example must be cheap: files are loaded later."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...
