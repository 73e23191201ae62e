"""Loading a space by name: a registered space, a saved folder, or a Hugging Face checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlcli.errors import VlcliError
from vlcli.runtime.device import resolve_device

if TYPE_CHECKING:
    from vlcli.align.space import Space
    from vlcli.registry import Registry

HUB_PREFIX = "hf:"


def load_space(name: str, registry: Registry, device: str = "auto", options: dict[str, Any] | None = None) -> Space:
    """Load a space, in evaluation mode.

    Args:
        name: a registry name (`images/starter`), a folder that `Space.save` wrote, or `hf:PATH_OR_NAME` for a
            checkpoint of a type that a registered adapter knows.
        registry: the plugins' specs.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        options: of a registered space or adapter.

    Raises:
        VlcliError: P201 when there is no such space, a W code when its weights are missing or damaged, X101 when the
            device is absent.
    """
    from vlcli.align.space import Space

    target_device = resolve_device(device)
    if name.startswith(HUB_PREFIX):
        from vlcli.align.checkpoints import open_checkpoint, read_config

        checkpoint = name.removeprefix(HUB_PREFIX)
        folder = open_checkpoint(checkpoint)
        entry = find_adapter(registry, str(read_config(folder).get("model_type", "")))
        checked = registry.check_options(entry, options)
        space = registry.load(entry)(registry, target_device, checkpoint=checkpoint, **checked)
    elif is_registered(registry, name) or not looks_like_folder(name):
        space = registry.build("space", name, options, registry=registry, device=target_device)
    else:
        if options:
            raise VlcliError("U212", name, f"a saved space takes no options, got {', '.join(sorted(options))}")
        space = Space.load(Path(name).expanduser(), registry, target_device)
    if not isinstance(space, Space):
        raise VlcliError("P208", name, "its target does not give a vlcli.align.Space", "run `vlcli plugins doctor`")
    space.load_name = name
    return space.to(target_device).eval()


def is_registered(registry: Registry, name: str) -> bool:
    """True when one or more plugins register a space of this name."""
    return any(name in (entry.name, entry.spec.name) and not entry.spec.model_types for entry in registry.list("space"))


def looks_like_folder(name: str) -> bool:
    """True when the name is an existing folder, or is written as a path."""
    return Path(name).expanduser().is_dir() or name.startswith((".", "/", "~", "\\"))


def find_adapter(registry: Registry, model_type: str) -> Any:
    """The registered adapter for a checkpoint's `model_type`; `*` takes what no other names.

    Raises:
        VlcliError: P202 when two plugins name the type, P201 when none does.
    """
    adapters = [entry for entry in registry.list("space") if entry.spec.model_types]
    matches = [entry for entry in adapters if model_type in entry.spec.model_types]
    matches = matches or [entry for entry in adapters if "*" in entry.spec.model_types]
    if len(matches) > 1:
        names = " and ".join(entry.name for entry in matches)
        raise VlcliError("P202", f"hf: {model_type}", f"both {names} read this type of checkpoint",
                         "disable one of the plugins")  # fmt: skip
    if not matches:
        raise VlcliError("P201", "", f"no plugin reads checkpoints of the type '{model_type}'")
    return matches[0]
