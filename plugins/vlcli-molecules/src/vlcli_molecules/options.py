"""Options shared by the plugin. Imported by recipe checks, so nothing heavy may be imported here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Strict and frozen: an unknown or mistyped option is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
