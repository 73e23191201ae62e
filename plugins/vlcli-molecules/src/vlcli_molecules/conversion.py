"""SMILES to SELFIES and back (selfies: Krenn et al. 2020, arXiv:1905.13741)."""

from __future__ import annotations

from vlcli.api import VlcliError


def to_selfies(smiles: str) -> str:
    """A SMILES in SELFIES.

    Raises:
        VlcliError: D621 when the molecule can not be written in SELFIES, with the reason that selfies gives.
    """
    import selfies

    try:
        return str(selfies.encoder(smiles))
    except selfies.EncoderError as error:
        raise VlcliError("D621", smiles, f"can not be written in SELFIES ({str(error).splitlines()[0]})",
                         "choose another fallback") from error  # fmt: skip


def to_smiles(text: str) -> str:
    """A SELFIES string in SMILES.

    Raises:
        VlcliError: D622 when it is not SELFIES.
    """
    import selfies

    try:
        return str(selfies.decoder(text))
    except selfies.DecoderError as error:
        raise VlcliError("D622", text, f"is not SELFIES ({error})", "correct the structure") from error
