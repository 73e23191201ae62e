"""The hooks that a plugin may implement.

No hook takes an argument and each yields (or returns an iterable of) frozen dataclasses from `vlcli.api`, so a
signature can never break. Implement only those you need, each marked with `@vlcli.api.hookimpl`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import pluggy

from vlcli import api

hookspec = pluggy.HookspecMarker("vlcli")


@hookspec
def vlcli_modalities() -> Iterable[api.ModalitySpec]:  # type: ignore[empty-body]
    """Modalities: how files of some extensions become tensors and previews."""


@hookspec
def vlcli_encoders() -> Iterable[api.EncoderSpec]:  # type: ignore[empty-body]
    """Encoders: torch modules from the inputs of one modality to `Encoded(pooled, tokens, mask)`."""


@hookspec
def vlcli_spaces() -> Iterable[api.SpaceSpec]:  # type: ignore[empty-body]
    """Ready-made spaces, and adapters over Hugging Face checkpoints."""


@hookspec
def vlcli_objectives() -> Iterable[api.ObjectiveSpec]:  # type: ignore[empty-body]
    """Objectives: losses over embeddings, tokens or logits."""


@hookspec
def vlcli_methods() -> Iterable[api.MethodSpec]:  # type: ignore[empty-body]
    """Methods: papers, made runnable by a recipe and testable by `vlcli reproduce`."""


@hookspec
def vlcli_generators() -> Iterable[api.GeneratorSpec]:  # type: ignore[empty-body]
    """Generators: from text or an embedding to items of a modality."""


@hookspec
def vlcli_codecs() -> Iterable[api.CodecSpec]:  # type: ignore[empty-body]
    """Codecs: from items of a modality to discrete codes and back."""


@hookspec
def vlcli_datasets() -> Iterable[api.DatasetSpec]:  # type: ignore[empty-body]
    """Data sets by name, for recipes, `eval` and `data preview`."""


@hookspec
def vlcli_metrics() -> Iterable[api.MetricSpec]:  # type: ignore[empty-body]
    """Metrics for `eval` and claims."""


@hookspec
def vlcli_stores() -> Iterable[api.StoreSpec]:  # type: ignore[empty-body]
    """Back ends of the store."""


@hookspec
def vlcli_filters() -> Iterable[api.FilterSpec]:  # type: ignore[empty-body]
    """Filters over the examples of a data set."""


@hookspec
def vlcli_commands() -> Iterable[api.CommandSpec]:  # type: ignore[empty-body]
    """Command groups, shown in `vlcli --help`; a core verb can not be replaced."""


@hookspec
def vlcli_recipes() -> Iterable[api.RecipeFolderSpec]:  # type: ignore[empty-body]
    """Folders of recipes that the package ships."""


@hookspec
def vlcli_health_checks() -> Iterable[api.HealthCheckSpec]:  # type: ignore[empty-body]
    """Checks that `vlcli plugins doctor` runs in a subprocess."""


# hook name -> (kind in the registry, type that it yields)
HOOKS: Mapping[str, tuple[str, type]] = MappingProxyType(
    {
        "vlcli_modalities": ("modality", api.ModalitySpec),
        "vlcli_encoders": ("encoder", api.EncoderSpec),
        "vlcli_spaces": ("space", api.SpaceSpec),
        "vlcli_objectives": ("objective", api.ObjectiveSpec),
        "vlcli_methods": ("method", api.MethodSpec),
        "vlcli_generators": ("generator", api.GeneratorSpec),
        "vlcli_codecs": ("codec", api.CodecSpec),
        "vlcli_datasets": ("dataset", api.DatasetSpec),
        "vlcli_metrics": ("metric", api.MetricSpec),
        "vlcli_stores": ("store", api.StoreSpec),
        "vlcli_filters": ("filter", api.FilterSpec),
        "vlcli_commands": ("command", api.CommandSpec),
        "vlcli_recipes": ("recipes", api.RecipeFolderSpec),
        "vlcli_health_checks": ("health check", api.HealthCheckSpec),
    }
)
