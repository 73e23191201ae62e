"""Options of this plugin's modality. Imported by recipe checks, so nothing heavy may be imported here."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from vlcli.errors import VlcliError, did_you_mean


class Options(BaseModel):
    """Strict and frozen: an unknown or mistyped option is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def as_tuple(value: Any) -> Any:
    """A TOML array as a tuple."""
    return tuple(value) if isinstance(value, list) else value


OPTIONS_VARIABLE = "VLCLI_POINTCLOUDS"
MOST_POINTS = 1_000_000


@dataclass(frozen=True)
class CloudOptions:
    """How files become clouds.

    Attributes:
        up: the axis of the files that points up; it is turned to y.
        points: how many are drawn from a mesh, and kept of a cloud at most.
    """

    up: Literal["x", "y", "z"] = "y"
    points: int = 8192


def options_from(text: str) -> CloudOptions:
    """Options from words such as `up=z points=4096`.

    Raises:
        VlcliError: U701 for an unknown option or value.
    """
    up: Literal["x", "y", "z"] = "y"
    points = CloudOptions.points
    for word in text.replace(",", " ").split():
        name, _, value = word.partition("=")
        if name == "up" and value in ("x", "y", "z"):
            up = value  # type: ignore[assignment]
        elif name == "points" and value.isdecimal() and 1 <= int(value[:9]) <= MOST_POINTS:
            points = int(value)
        elif name in ("up", "points"):
            said = "x, y or z" if name == "up" else f"a number from 1 to {MOST_POINTS:,}"
            raise VlcliError("U701", OPTIONS_VARIABLE, f"{name} can not be '{value}'", f"use {said}")
        else:
            hint = did_you_mean(name, ["up", "points"]) or "known: up, points"
            raise VlcliError("U701", OPTIONS_VARIABLE, f"has no option '{name}'", hint)
    return CloudOptions(up, points)


def environment_options() -> CloudOptions:
    """The options in the environment variable `VLCLI_POINTCLOUDS`."""
    return options_from(os.environ.get(OPTIONS_VARIABLE, ""))
