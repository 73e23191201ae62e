"""Which of a database's synonyms are names, and not numbers of a catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable

# CAS, EC, UNII and suppliers' numbers: "64-17-5", "nsc-123", "ai3-01234", "zinc00012", "schembl123", "dtxsid70123".
CATALOGUE = re.compile(
    r"""^(
        \d+(-\d+)*                                  # numbers alone
      | [a-z]{1,12}[\s_.:#-]*\d[\d\s_.:/-]*[a-z]?   # letters, then a number
      | [a-z]{1,3}\d[a-z0-9]*[\s_-]*\d[\w-]*        # "ai3-14", "cb1d2345"
      | agn-pc-\S+ | unii-\S+ | inchi=\S* | mfcd\d+
      | .*\b(cas|einecs|fema|ccris|hsdb|nsc|brn|rcra|caswell|epa|icsc)\b.*\d.*
    )$""",
    re.VERBOSE | re.IGNORECASE,
)
MAX_CHARACTERS = 300


def is_name(text: str) -> bool:
    """True for what a chemist would call a name: it holds a word of four letters or more and is no catalogue number."""
    return bool(
        2 < len(text) <= MAX_CHARACTERS and re.search(r"[a-z]{4}", text, re.IGNORECASE) and not CATALOGUE.match(text)
    )


def comparable(name: str) -> str:
    """A name without case, spaces and punctuation, to tell repetitions."""
    return "".join(character for character in name.casefold() if character.isalnum())


def distinct_names(names: Iterable[str], limit: int) -> list[str]:
    """The first `limit` names, those left out that differ from an earlier one in case, spaces or punctuation only."""
    found: dict[str, str] = {}
    for name in names:
        clean = " ".join(name.split())
        if is_name(clean):
            found.setdefault(comparable(clean), clean)
            if len(found) == limit:
                break
    return list(found.values())
