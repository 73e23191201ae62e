"""SMILES to SELFIES and back (selfies: Krenn et al. 2020, arXiv:1905.13741)."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator

from vlcli.errors import VlcliError

MAX_SYMBOLS = 5_000
"""Decoding in `selfies` takes time that grows faster than the string (200,000 symbols: over 25 s)."""
MAX_SMILES_CHARACTERS = 10_000

SELFIES = re.compile(r"(\[[^\[\]]+\]|\.)+")
MOST_BONDS = 8

# The library keeps its constraints on bonds in a global table, so only one thread at a time may change or use it.
_LOCK = threading.Lock()

# What the encoder raises; besides its own errors some aromatic atoms end in a KeyError, and its walk is recursive.
ENCODER_ERRORS = (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError)


def to_selfies(smiles: str, *, relaxed: bool = False) -> str:
    """A SMILES in SELFIES.

    Args:
        smiles: the structure.
        relaxed: accept atoms with more bonds than selfies' semantic constraints allow (hypervalent chlorine, …). The
            string then decodes to another molecule, unless it is decoded with relaxed constraints too.

    Raises:
        VlcliError: D621 when the molecule can not be written in SELFIES, with the reason that selfies gives.
    """
    import selfies

    if len(smiles) > MAX_SMILES_CHARACTERS:
        raise VlcliError("D603", shown(smiles), f"has {len(smiles):,} characters, more than {MAX_SMILES_CHARACTERS:,}",
                         "leave it out")  # fmt: skip
    try:
        with constraints(relaxed):
            return str(selfies.encoder(smiles))
    except (selfies.EncoderError, *ENCODER_ERRORS) as error:
        raise VlcliError("D621", shown(smiles), f"can not be written in SELFIES ({reason_of(error)})",
                         "keep it as SMILES, or relax the constraints") from error  # fmt: skip


def to_smiles(text: str, *, relaxed: bool = False, limit: int = MAX_SYMBOLS) -> str:
    """A SELFIES string in SMILES.

    Args:
        text: symbols in brackets, fragments separated by dots.
        relaxed: allow every atom up to eight bonds: the counterpart of `to_selfies(relaxed=True)`.
        limit: largest number of symbols.

    Raises:
        VlcliError: D622 when it is not SELFIES, D623 when it has more than `limit` symbols.
    """
    import selfies

    symbols = text.count("[")
    if symbols > limit:
        raise VlcliError("D623", shown(text), f"has {symbols:,} symbols, more than the limit of {limit:,}",
                         "leave it out: decoding time grows faster than the length")  # fmt: skip
    if not SELFIES.fullmatch(text):
        raise VlcliError("D622", shown(text), "is not SELFIES (it is not a row of symbols in brackets)",
                         "correct the structure")  # fmt: skip
    try:
        with constraints(relaxed):
            return str(selfies.decoder(text))
    except (selfies.DecoderError, *ENCODER_ERRORS) as error:
        raise VlcliError("D622", shown(text), f"is not SELFIES ({reason_of(error)})",
                         "correct the structure") from error  # fmt: skip


@contextlib.contextmanager
def constraints(relaxed: bool) -> Iterator[None]:
    """The library's default constraints on bonds, or `MOST_BONDS` for every atom, for one call."""
    import selfies

    with _LOCK:
        if not relaxed:
            yield
            return
        before = selfies.get_semantic_constraints()
        selfies.set_semantic_constraints(dict.fromkeys(before, MOST_BONDS))
        try:
            yield
        finally:
            selfies.set_semantic_constraints(before)


def split_selfies(text: str) -> list[str]:
    """The symbols of a SELFIES string, dots included.

    Raises:
        VlcliError: D622 when brackets do not match.
    """
    import selfies

    try:
        return list(selfies.split_selfies(text))
    except ValueError as error:
        raise VlcliError("D622", shown(text), f"is not SELFIES ({reason_of(error)})",
                         "correct the structure") from error  # fmt: skip


def reason_of(error: BaseException) -> str:
    """The first line of an error that says something, in a few words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # selfies writes a headline, the input, and then a heading `Errors:` over what was wrong.
    told = [line for line in lines if not line.startswith(("SMILES:", "SELFIES:", "Errors:", "Error:"))]
    text = "; ".join(told[:2]).replace("a max. of", "at most")
    return f"{type(error).__name__} {error}"[:200].strip() if not text or isinstance(error, KeyError) else text[:200]


def shown(structure: str) -> str:
    """A structure for an error message, cut when it is long."""
    return structure if len(structure) <= 80 else structure[:60] + f"… ({len(structure):,} characters)"
