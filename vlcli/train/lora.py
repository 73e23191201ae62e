"""Low-rank adapters (Hu et al., arXiv:2106.09685) through `peft`, merged into the weights before a space is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from vlcli.errors import VlcliError
from vlcli.train.method import matches

if TYPE_CHECKING:
    from vlcli.recipe.schema_train import Lora


def add_adapters(module: nn.Module, options: Lora) -> list[str]:
    """Put adapters into the layers whose names match `options.targets`; gives their names.

    Raises:
        VlcliError: P203 when `peft` is not installed, T120 when no layer matches.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise VlcliError("P203", "train.lora", "needs peft", "install it: pip install 'vlcli[lora]'") from error
    layers = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    targets = [name for name in layers if matches(name, options.targets)]
    if not targets:
        some = ", ".join(layers[:6]) or "none"
        raise VlcliError("T120", "train.lora.targets", "no linear or convolutional layer matches", f"layers: {some} …")
    config = LoraConfig(
        r=options.rank, lora_alpha=options.alpha, lora_dropout=options.dropout, target_modules=targets, bias="none"
    )
    # peft freezes everything else; what trains is decided by the stages, so their state is put back.
    before = {name: parameter.requires_grad for name, parameter in module.named_parameters()}
    by_identity = {id(parameter): before[name] for name, parameter in module.named_parameters()}
    inject_adapter_in_model(config, module)
    for parameter in module.parameters():
        parameter.requires_grad_(by_identity.get(id(parameter), True))
    return targets


def merge_adapters(module: nn.Module) -> None:
    """Add every adapter to its layer's weight and take the adapter away, so that only plain layers remain."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(module.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            parent_name, _, attribute = name.rpartition(".")
            base = layer.get_base_layer()
            for parameter in base.parameters():
                parameter.stays_frozen = False
            setattr(module.get_submodule(parent_name), attribute, base)
