"""The shared alignment core: encoders, projection heads, spaces, objectives."""

from vlcli.align.encoder import Encoded, Encoder

__all__ = ["Encoded", "Encoder"]
