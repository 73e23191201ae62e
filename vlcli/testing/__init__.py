"""Contract checks and tiny fixtures that the tests of plugins call."""

from vlcli.testing.contracts import check_registered_encoder, check_registered_modality, check_space
from vlcli.testing.items import check_encoder, check_modality
from vlcli.testing.kinds import (
    check_codec,
    check_command,
    check_dataset,
    check_generator,
    check_method,
    check_metric,
    check_objective,
    check_recipe,
)
from vlcli.testing.plugin import check_plugin

__all__ = [
    "check_codec", "check_command", "check_dataset", "check_encoder", "check_generator", "check_method",
    "check_metric", "check_modality", "check_objective", "check_plugin", "check_recipe",
    "check_registered_encoder", "check_registered_modality", "check_space",
]  # fmt: skip
