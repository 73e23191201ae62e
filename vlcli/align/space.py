"""The space: one tower per modality into one joint embedding space, with its temperature; saved as a folder."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.align.encoder import Encoded, Encoder
from vlcli.align.projection import Head, Identity
from vlcli.align.weights import fingerprint, version_key, weights_sha256
from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from vlcli.registry import Registry

# CLIP's start value (arXiv:2103.00020, section 2.5).
DEFAULT_LOGIT_SCALE = math.log(1 / 0.07)
# Options that only say where the weights lie; the weights themselves are hashed.
PLACE_OPTIONS = frozenset({"checkpoint"})


class Tower(nn.Module):
    """An encoder and its projection head.

    Args:
        encoder: freshly built, so with its published weights if it has a `reference()`. Load trained weights after the
            tower is made: that is how a changed encoder is told from an untouched one.
        head: from the encoder's pooled vector to the joint space; the identity by default.
        name: the encoder's full registry name, `images/efficientnet-lite0`.
        options: the options that the encoder was built with, JSON-serialisable.

    Attributes:
        of_space: the space that a recipe took the whole tower from, or None.

    Raises:
        VlcliError: W131 when the head does not fit the encoder.
    """

    encoder: Encoder
    head: Head
    of_space: str | None = None

    def __init__(
        self, encoder: Encoder, head: Head | None = None, name: str = "", options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = Identity(encoder.dim) if head is None else head
        self.name = name
        self.options = dict(options or {})
        if isinstance(self.head, Identity) and self.head.dim != encoder.dim:
            raise VlcliError("W131", name, f"its encoder gives {encoder.dim} numbers, its head takes {self.head.dim}")
        self._published = fingerprint(encoder) if encoder.reference() is not None else None

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """A collated batch to joint vectors `[B, D]`, not normalised."""
        projected: Tensor = self.head(self.encoder(inputs).pooled)
        return projected

    def reference(self) -> dict[str, str] | None:
        """The encoder's reference while its weights are the published ones, else None."""
        if self._published is None or fingerprint(self.encoder) != self._published:
            return None
        return self.encoder.reference()

    def own_weights(self) -> dict[str, Tensor]:
        """What must be stored: the head's tensors, and the encoder's unless a reference stands for them.

        Half precision is widened to float32, which is exact, so a saved space loads with the hash it had.
        """
        tensors = {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}
        if self.reference() is None:
            tensors |= {f"encoder.{name}": tensor for name, tensor in self.encoder.state_dict().items()}
        return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}

    def describe(self) -> dict[str, Any]:
        """Encoder name, options, head spec, reference and the hash of the stored weights."""
        weights = self.own_weights()
        return {
            "encoder": self.name,
            "options": self.options,
            "head": dict(self.head.spec),
            "reference": self.reference(),
            "weights_sha256": weights_sha256(weights) if weights else None,
        }


class Space(nn.Module):
    """Towers of several modalities into one space of `dim` numbers.

    Args:
        name: what users call it; not part of its identity.
        towers: modality -> tower; all must give the same width.
        logit_scale: the logarithm of the factor on cosine similarities.
        logit_bias: added to logits (SigLIP), or None.
        license: SPDX id of its weights.
        load: the string that `load_space` takes to load it again (a registry name, folder or `hf:` name).

    Raises:
        VlcliError: W131 when there is no tower or the towers differ in width.
    """

    logit_bias: nn.Parameter | None

    def __init__(
        self, name: str, towers: Mapping[str, Tower], *, logit_scale: float = DEFAULT_LOGIT_SCALE,
        logit_bias: float | None = None, license: str = "", load: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        widths = {modality: tower.head.dim for modality, tower in towers.items()}
        if len(set(widths.values())) != 1:
            given = ", ".join(f"{modality} {width}" for modality, width in widths.items()) or "no tower"
            raise VlcliError("W131", name, f"the towers of a space must give vectors of one width, not {given}",
                             "give their heads the same dim")  # fmt: skip
        self.name = name
        self.license = license
        self.load_name = load or name
        self.dim = next(iter(widths.values()))
        self.towers = nn.ModuleDict(dict(towers))
        self.logit_scale = nn.Parameter(torch.tensor(float(logit_scale)))
        self.logit_bias = None if logit_bias is None else nn.Parameter(torch.tensor(float(logit_bias)))
        self._identity: tuple[tuple[int, str], str] | None = None

    @property
    def modalities(self) -> list[str]:
        """Names of the modalities that it embeds."""
        return list(self.towers)

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.logit_scale.device

    def tower(self, modality: str) -> Tower:
        """The tower of a modality.

        Raises:
            VlcliError: U210 when the space has none.
        """
        if modality not in self.towers:
            raise VlcliError(
                "U210",
                self.name,
                f"this space does not embed '{modality}', only {', '.join(self.modalities)}",
                "choose another one from `vlcli spaces list`",
            )
        return cast(Tower, self.towers[modality])

    @property
    def identity(self) -> str:
        """`sha256:…` over everything that decides its vectors: encoders, options, heads, weights, temperature.

        Referenced weights count by their published hash. The name and the folder do not count. It is computed when
        first asked for and again after training or loading changed a weight.
        """
        key = version_key(self)
        if self._identity is None or self._identity[0] != key:
            self._identity = (key, identity_of(self.describe()))
        return self._identity[1]

    def describe(self) -> dict[str, Any]:
        """The content of `space.json` without its identity."""
        return {
            "schema": 1,
            "name": self.name,
            "license": self.license,
            "dim": self.dim,
            "logit_scale": self.logit_scale.item(),
            "logit_bias": None if self.logit_bias is None else self.logit_bias.item(),
            "towers": {modality: self.tower(modality).describe() for modality in self.modalities},
        }

    def preprocess(self, modality: str, item: Any) -> dict[str, Tensor]:
        """One loaded item to the tensors of one item (CPU)."""
        return self.tower(modality).encoder.preprocess(item)

    def length(self, modality: str, inputs: dict[str, Tensor]) -> int:
        """Cost of one preprocessed item, in tokens or frames; 1 for items of a fixed size."""
        return self.tower(modality).encoder.length(inputs)

    def encode(self, modality: str, inputs: dict[str, Tensor]) -> Encoded:
        """The encoder's own output for a collated batch, before the head."""
        encoded: Encoded = self.tower(modality).encoder(inputs)
        return encoded

    def embed(self, modality: str, inputs: dict[str, Tensor], dim: int | None = None) -> Tensor:
        """A collated batch to unit vectors `[B, D]`, float32.

        Args:
            modality: which tower.
            inputs: tensors with a batch axis, on the space's device.
            dim: keep the first `dim` numbers and normalise again (Matryoshka, arXiv:2205.13147).

        Raises:
            VlcliError: U211 when `dim` is not between 1 and the space's width.
        """
        vectors = self.tower(modality)(inputs).float()
        if dim is not None:
            self.check_dim(dim)
            vectors = vectors[:, :dim]
        return functional.normalize(vectors, dim=-1)

    def check_dim(self, dim: int) -> None:
        """Raise U211 when vectors can not be cut to this width."""
        if not 1 <= dim <= self.dim:
            raise VlcliError("U211", "--dim", f"{dim} is not between 1 and {self.dim}, the width of {self.name}")

    def save(self, folder: Path) -> None:
        """Write `space.json`, `weights.safetensors` and what preprocessing needs; each file is replaced atomically."""
        from vlcli.align.space_files import save_space

        save_space(self, folder)

    @staticmethod
    def load(folder: Path, registry: Registry, device: torch.device | str = "cpu") -> Space:
        """Read a folder that `save` wrote.

        Raises:
            VlcliError: a W code when a file is missing, damaged or not what the space was saved with; P201 when the
                plugin of an encoder is missing.
        """
        from vlcli.align.space_files import read_space

        return read_space(folder, registry).to(device)


def identity_of(description: Mapping[str, Any]) -> str:
    """The identity of a space from its description: canonical JSON without names, licences and places, hashed."""
    towers = {
        modality: {
            "encoder": tower["encoder"],
            "options": {key: value for key, value in tower["options"].items() if key not in PLACE_OPTIONS},
            "head": tower["head"],
            "reference": tower["reference"]["sha256"] if tower["reference"] else None,
            "weights_sha256": tower["weights_sha256"],
        }
        for modality, tower in description["towers"].items()
    }
    canonical = {key: description[key] for key in ("schema", "dim", "logit_scale", "logit_bias")} | {"towers": towers}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
