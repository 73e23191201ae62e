"""The space that a verb takes when the user names none: the `starter` of the inputs' modality."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.registry import Registry

STARTER = "starter"


def starter_space(registry: Registry, modalities: Collection[str]) -> str:
    """Full name of the one registered space called `starter` that embeds all these modalities.

    Raises:
        VlcliError: U220 when there is none or more than one; it lists the spaces that would do.
    """
    spaces = [entry for entry in registry.list("space") if not entry.spec.model_types]
    fitting = [entry for entry in spaces if set(modalities) <= set(entry.spec.modalities)]
    starters = [entry.name for entry in fitting if entry.spec.name == STARTER]
    if len(starters) == 1:
        return starters[0]
    what = " and ".join(sorted(modalities)) or "these inputs"
    known = ", ".join(starters or [entry.name for entry in fitting or spaces])
    raise VlcliError("U220", "--space", f"there is no default space for {what}",
                     f"name one with --space: {known}" if known else "install a plugin that registers one")  # fmt: skip
