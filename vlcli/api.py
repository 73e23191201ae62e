"""Everything a plugin's registration module may import: `hookimpl`, the Spec dataclasses and `Source`.

This module imports neither torch nor pydantic, so registering a plugin costs `vlcli --help` nothing. A Spec names its
implementation lazily (`target="package.module:attribute"`); the implementation is imported when it is used. `options`
names a pydantic model the same way; that module must not import torch, because `vlcli recipes check` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pluggy

from vlcli.errors import ExitCode, VlcliError

__all__ = [
    "CodecSpec", "CommandSpec", "DatasetSpec", "EncoderSpec", "ExitCode", "FilterSpec", "GeneratorSpec",
    "HealthCheckSpec", "MethodSpec", "MetricSpec", "Modality", "ModalitySpec", "ObjectiveSpec", "RecipeFolderSpec",
    "Source", "SpaceSpec", "Spec", "StoreSpec", "View", "Viewable", "VlcliError", "hookimpl",
]  # fmt: skip

hookimpl = pluggy.HookimplMarker("vlcli")


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What every registration says of itself.

    Attributes:
        name: short name, unique for its kind within the plugin; users write `plugin/name`, or `name` while unique.
        summary: one line for lists.
        target: where the implementation is, `"package.module:attribute"`.
        options: the pydantic model of its options, `"package.module:Model"`, or None for no options.
        requires: distributions that must be installed beyond the plugin's own dependencies (its extras).
        license: SPDX id of the weights or data behind it, where there are any.
    """

    name: str
    summary: str
    target: str
    options: str | None = None
    requires: tuple[str, ...] = ()
    license: str = ""


@dataclass(frozen=True, kw_only=True)
class ModalitySpec(Spec):
    """A modality. `target` is a class that satisfies `vlcli.api.Modality`.

    Attributes:
        extensions: of the files that it reads, lower case with dot.
        columns: names of table columns, lower case, whose cells are items themselves (a SMILES string, …), the
            preferred one first. The source of such a cell has the column's name in `metadata["column"]`.
    """

    extensions: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EncoderSpec(Spec):
    """An encoder of one modality. `target(**options)` gives a `vlcli.align.Encoder`."""

    modality: str


@dataclass(frozen=True, kw_only=True)
class SpaceSpec(Spec):
    """A ready space. `target(registry, device, **options)` gives a `vlcli.align.Space`.

    `model_types` makes it an adapter over Hugging Face checkpoints (`hf:PATH_OR_NAME`): it is chosen by the
    `model_type` in the checkpoint's `config.json`; `"*"` takes what no other adapter names. An adapter's target is
    called with the further argument `checkpoint: str`.
    """

    modalities: tuple[str, ...] = ()
    model_types: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ObjectiveSpec(Spec):
    """A loss. `target(**options)` gives a `torch.nn.Module`."""


@dataclass(frozen=True, kw_only=True)
class MethodSpec(Spec):
    """A paper. `target(**options)` gives a `vlcli.train.Method`.

    Attributes:
        paper: title of the paper.
        kind: some of `align, pretrain, generate, adapt, data, measure`.
        recipe: name of the recipe that runs it, as `plugin/recipe`.
    """

    paper: str = ""
    kind: tuple[str, ...] = ()
    recipe: str = ""


@dataclass(frozen=True, kw_only=True)
class GeneratorSpec(Spec):
    """A generator: text (or an embedding) in, items of `modality` out."""

    modality: str


@dataclass(frozen=True, kw_only=True)
class CodecSpec(Spec):
    """A codec: items of `modality` to discrete codes `[B, n_q, T]` and back."""

    modality: str


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(Spec):
    """A data set. `target(**options)` gives a `vlcli.data.Dataset`; `modalities` lists what its examples hold."""

    modalities: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MetricSpec(Spec):
    """A metric. `target` is a function documented in `vlcli.evaluate`."""


@dataclass(frozen=True, kw_only=True)
class StoreSpec(Spec):
    """A store back end. `target` is a class that satisfies `vlcli.store.VectorStore`."""


@dataclass(frozen=True, kw_only=True)
class FilterSpec(Spec):
    """A filter of training data. `target(**options)` gives a callable from a list of examples to those it keeps.

    Attributes:
        search_option: the option that takes what the user gives to `vlcli search --NAME VALUE`; empty for a filter of
            training data alone. Its target then also has `select(modality, sources)`, see `vlcli.store.filters`.
    """

    search_option: str = ""


@dataclass(frozen=True, kw_only=True)
class CommandSpec(Spec):
    """A command group. `target` is a `typer.Typer`; it is loaded only when the command is run."""


@dataclass(frozen=True, kw_only=True)
class RecipeFolderSpec:
    """A folder of recipes inside a package: `package="vlcli_images"`, `folder="recipes"`."""

    package: str
    folder: str = "recipes"


@dataclass(frozen=True, kw_only=True)
class HealthCheckSpec(Spec):
    """A check for `vlcli plugins doctor`. `target()` returns a sentence when well and raises when not."""


@dataclass(frozen=True, slots=True)
class Source:
    """One input before it is loaded: a file, or an inline value such as a sentence or a SMILES string.

    Attributes:
        id: unique within its collection: the file's path, or `manifest.csv#12` for a row.
        path: the file, when it is one.
        value: the inline value, when it is one.
        metadata: flat columns that go with it (from a manifest), JSON-serialisable.
    """

    id: str
    path: Path | None = None
    value: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.path is None) == (self.value is None):
            raise ValueError(f"source {self.id!r} needs either a path or a value")


@runtime_checkable
class Modality(Protocol):
    """How a file or record becomes tensors. Implementations are stateless and cheap to construct (no arguments)."""

    name: str

    def expand(self, path: Path) -> Iterator[Source]:
        """The items in a file: most files hold one; a `.txt` or `.smi` holds one a line."""
        ...

    def load(self, source: Source) -> Any:
        """The item in the modality's canonical form (images: `PIL.Image` in RGB).

        Raises:
            VlcliError: with a `D` code, when the input is refused (truncated, too large, not of this modality …).
        """
        ...

    def collate(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Stack what an encoder's `preprocess` gave for each item, padding and adding masks where lengths differ."""
        ...

    def preview(self, source: Source, size: int = 256) -> bytes:
        """A PNG that shows the item, at most `size` pixels a side."""
        ...


@dataclass(frozen=True)
class View:
    """An item as something that a reader can turn or play inside a page.

    Attributes:
        script: a JavaScript file of a package, `"package:viewer.js"`. It calls `vlcli.viewer(start)` once, where
            `start(canvas, data, reduced)` draws on the canvas and handles its pointer and key events. `reduced` says
            that the reader wants no motion of its own accord. It gives an object with `stop()`, which ends drawing, or
            nothing. No network can be reached from it.
        data: what `start` draws, as JSON; at most some 60 kB, because a page holds many.
    """

    script: str
    data: Mapping[str, Any]


@runtime_checkable
class Viewable(Protocol):
    """A modality whose items can be shown in motion or in depth. Its preview stands in until the view starts."""

    def view(self, source: Source) -> View:
        """The item's view.

        Raises:
            VlcliError: as `Modality.load` does.
        """
        ...
