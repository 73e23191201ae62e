"""What the target of each kind of spec must be, checked without using it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

# What the core passes to a target beside its options, by kind.
EXTRA_ARGUMENTS: dict[str, tuple[str, ...]] = {"space": ("registry", "device")}


def broken_promise(kind: str, spec: Any, target: Any, options: Iterable[str] = ()) -> str:
    """Why `target` is not what a spec of this kind promises, or an empty string.

    Args:
        kind: as in the registry.
        options: names of the fields of its options model.
    """
    if kind == "command":
        import typer

        return "" if isinstance(target, typer.Typer) else f"must be a typer.Typer, not {words(target)}"
    if not callable(target):
        return f"must be a class or a function, not {words(target)}"
    base = base_class(kind)
    if base is not None and isinstance(target, type) and not issubclass(target, base):
        return f"must be a subclass of {base.__module__}.{base.__name__}, or a function that gives one"
    if kind == "modality":
        return broken_modality(spec, target)
    if kind == "store" and not isinstance(target, type):
        return f"must be a class, not {words(target)}"
    if kind == "metric":
        return ""
    extra = EXTRA_ARGUMENTS.get(kind, ())
    if kind == "space" and spec.model_types:
        extra = (*extra, "checkpoint")
    return broken_signature(target, (*extra, *options))


def words(value: Any) -> str:
    """What something is, for a message."""
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def base_class(kind: str) -> type | None:
    """The class that a class of this kind must derive from, where there is one."""
    if kind == "encoder":
        from vlcli.align import Encoder

        return Encoder
    if kind == "objective":
        from torch import nn

        return nn.Module
    if kind == "method":
        from vlcli.train.method import Method

        return Method
    return None


def broken_modality(spec: Any, target: Any) -> str:
    """Why a modality's class can not be used."""
    from vlcli.api import Modality

    try:
        modality = target()
    except Exception as error:  # noqa: BLE001 - whatever its constructor raises is the finding
        return f"can not be made without arguments ({type(error).__name__}: {error})"
    missing = [name for name in ("name", "expand", "load", "collate", "preview") if not hasattr(modality, name)]
    if missing or not isinstance(modality, Modality):
        return f"lacks {', '.join(missing)} of vlcli.api.Modality"
    if modality.name != spec.name:
        return f"calls itself '{modality.name}', its spec says '{spec.name}'"
    return ""


def broken_signature(target: Any, names: tuple[str, ...]) -> str:
    """Why `target` can not be called with these keyword arguments."""
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):
        # Some built-in callables do not tell their signature; calling them is the only way to know.
        return ""
    try:
        signature.bind(**dict.fromkeys(names))
    except TypeError as error:
        return f"can not be called with ({', '.join(names)}): {error}"
    return ""
