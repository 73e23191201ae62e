"""Options of this plugin's modality. Imported by recipe checks, so nothing heavy may be imported here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Strict and frozen: an unknown or mistyped option is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def as_tuple(value: Any) -> Any:
    """A TOML array as a tuple."""
    return tuple(value) if isinstance(value, list) else value
