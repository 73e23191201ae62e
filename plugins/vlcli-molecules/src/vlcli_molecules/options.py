"""Options shared by the plugin. Imported by recipe checks, so nothing heavy may be imported here."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field

from vlcli.errors import VlcliError, did_you_mean

OPTIONS_VARIABLE = "VLCLI_MOLECULES"
Notation = Literal["auto", "smiles", "selfies", "inchi", "molblock"]
Fallback = Literal["skip", "keep-smiles", "relax"]


class Options(BaseModel):
    """Strict and frozen: an unknown or mistyped option is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def as_tuple(value: Any) -> Any:
    """A TOML array as a tuple."""
    return tuple(value) if isinstance(value, list) else value


class SubstructureOptions(Options):
    """Options of the filter `molecules/substructure`."""

    smarts: str = Field(description="The pattern, as SMARTS.")
    keep: Literal["matching", "others"] = Field("matching", description="Molecules that hold it, or the others.")
    chirality: bool = Field(False, description="Stereocentres of the pattern must agree.")


@dataclass(frozen=True)
class StructureOptions:
    """How structures become canonical.

    Attributes:
        salts: `keep` all fragments, or only the `largest` (organic before inorganic).
        charges: `keep`, or `neutralise` by adding and removing protons where that is possible.
        selfies: what to do with a molecule that SELFIES can not write: `skip` refuses it, `keep-smiles` leaves its
            `selfies` empty, `relax` lifts the constraints on bonds (the string then needs `to_smiles(relaxed=True)`).
    """

    salts: Literal["keep", "largest"] = "keep"
    charges: Literal["keep", "neutralise"] = "keep"
    selfies: Fallback = "keep-smiles"


DEFAULT = StructureOptions()


def options_from(text: str) -> StructureOptions:
    """Options from words such as `salts=largest charges=neutralise selfies=skip`.

    Raises:
        VlcliError: U601 for an unknown option or value.
    """
    hints = get_type_hints(StructureOptions)
    known = {field.name: get_args(hints[field.name]) for field in fields(StructureOptions)}
    chosen: dict[str, Any] = {}
    for word in text.replace(",", " ").split():
        name, _, value = word.partition("=")
        if name not in known:
            hint = did_you_mean(name, list(known)) or f"known: {', '.join(known)}"
            raise VlcliError("U601", OPTIONS_VARIABLE, f"has no option '{name}'", hint)
        if value not in known[name]:
            raise VlcliError("U601", OPTIONS_VARIABLE, f"{name} can not be '{value}'",
                             f"use {' or '.join(known[name])}")  # fmt: skip
        chosen[name] = value
    return StructureOptions(**chosen)


def environment_options() -> StructureOptions:
    """The options in the environment variable `VLCLI_MOLECULES`, which hold where no other place states any."""
    return options_from(os.environ.get(OPTIONS_VARIABLE, ""))
