"""The shared alignment core: encoders, projection heads, spaces, objectives."""

from vlcli.align.embedder import Embedded, Embedder
from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.load import load_space
from vlcli.align.projection import build_head
from vlcli.align.space import Space, Tower

__all__ = ["Embedded", "Embedder", "Encoded", "Encoder", "Space", "Tower", "build_head", "load_space"]
