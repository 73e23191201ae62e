"""What files of motions do not say about themselves, from the environment variable `VLCLI_MOTION`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from vlcli.errors import VlcliError, did_you_mean

OPTIONS_VARIABLE = "VLCLI_MOTION"


@dataclass(frozen=True)
class ReadingOptions:
    """How files are read.

    Attributes:
        fps: frames a second of arrays that do not state it; 20 for HumanML3D's joints, 12.5 for KIT's.
        up: the axis that points upwards; z for AMASS files and y for all others when it is not said.
    """

    fps: float | None = None
    up: Literal["y", "z"] | None = None


def options_from(text: str) -> ReadingOptions:
    """Options from words such as `fps=30 up=z`.

    Raises:
        VlcliError: U801 for an unknown option or value.
    """
    fps: float | None = None
    up: Literal["y", "z"] | None = None
    for word in text.replace(",", " ").split():
        name, _, value = word.partition("=")
        if name == "fps":
            try:
                fps = float(value)
            except ValueError:
                fps = -1.0
            if not 1 <= fps <= 1000:
                raise VlcliError("U801", OPTIONS_VARIABLE, f"fps can not be '{value}'", "use a number from 1 to 1000")
        elif name == "up":
            if value not in ("y", "z"):
                raise VlcliError("U801", OPTIONS_VARIABLE, f"up can not be '{value}'", "use y or z")
            up = "z" if value == "z" else "y"
        else:
            hint = did_you_mean(name, ["fps", "up"]) or "known: fps, up"
            raise VlcliError("U801", OPTIONS_VARIABLE, f"has no option '{name}'", hint)
    return ReadingOptions(fps, up)


def environment_options() -> ReadingOptions:
    """The options in the environment variable `VLCLI_MOTION`."""
    return options_from(os.environ.get(OPTIONS_VARIABLE, ""))
