"""Projection heads: from an encoder's pooled vector to the joint space, `[B, D_in] -> [B, D]`.

Every head has `dim` (its output width) and `spec` (the plain dictionary from which `build_head` makes it again).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vlcli.errors import VlcliError, did_you_mean

MAX_WIDTH = 65_536
MAX_LAYERS = 32

KINDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "identity": {"dim": int},
    "centre": {},
    "linear": {"dim": int, "bias": bool},
    "refine": {"dim": int, "hidden": int, "dropout": (int, float)},
    "mlp": {"dim": int, "hidden": int, "layers": int, "dropout": (int, float), "residual": bool, "norm": bool},
}  # fmt: skip


class Head(nn.Module):
    """Base of the heads.

    Attributes:
        dim: width of the output.
        spec: what `build_head` needs to make an equal head, JSON-serialisable.
    """

    dim: int
    spec: dict[str, Any]

    def forward(self, pooled: Tensor) -> Tensor:
        """`[B, D_in] -> [B, dim]`, not normalised."""
        raise NotImplementedError


class Identity(Head):
    """No head: the encoder's pooled vector is in the joint space already."""

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.dim = in_dim
        self.spec = {"kind": "identity"}

    def forward(self, pooled: Tensor) -> Tensor:
        """`[B, D_in] -> [B, D_in]`."""
        return pooled


class Centre(Head):
    """Normalises, then takes off a fixed mean: what all items share no longer hides what tells them apart.

    After Mu and Viswanath, "All-but-the-Top" (arXiv:1702.01417), without the removal of directions. The mean is a
    buffer, zero at first.
    """

    mean: Tensor

    def __init__(self, in_dim: int) -> None:
        super().__init__()
        self.dim = in_dim
        self.spec = {"kind": "centre"}
        self.register_buffer("mean", torch.zeros(in_dim))

    def forward(self, pooled: Tensor) -> Tensor:
        """`[B, D_in] -> [B, D_in]`."""
        return functional.normalize(pooled.float(), dim=-1) - self.mean


class Linear(Head):
    """One linear map, as in CLIP (arXiv:2103.00020), which has no bias."""

    def __init__(self, in_dim: int, dim: int, *, bias: bool = False) -> None:
        super().__init__()
        self.dim = dim
        self.spec = {"kind": "linear", "dim": dim, "bias": bias}
        self.linear = nn.Linear(in_dim, dim, bias=bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """`[B, D_in] -> [B, dim]`."""
        output: Tensor = self.linear(pooled)
        return output


class MLP(Head):
    """`layers` hidden layers with GELU and dropout, then a linear map.

    Args:
        in_dim: width of the input.
        dim: width of the output.
        hidden: width of the hidden layers; 0 takes `dim`.
        layers: number of hidden layers, at least 1.
        dropout: dropout after each hidden layer and before the sum of the residual.
        residual: add a linear map of the input to the output (as the projection heads of LiT-style models do).
        norm: layer norm of the output.
    """

    def __init__(
        self, in_dim: int, dim: int, *, hidden: int = 0, layers: int = 1, dropout: float = 0.0,
        residual: bool = False, norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.dim = dim
        self.spec = {"kind": "mlp", "dim": dim, "hidden": hidden, "layers": layers, "dropout": dropout,
                     "residual": residual, "norm": norm}  # fmt: skip
        width = hidden or dim
        parts: list[nn.Module] = []
        for index in range(layers):
            parts += [nn.Linear(in_dim if index == 0 else width, width), nn.GELU(), nn.Dropout(dropout)]
        self.body = nn.Sequential(*parts, nn.Linear(width, dim), nn.Dropout(dropout if residual else 0.0))
        self.shortcut = nn.Linear(in_dim, dim, bias=False) if residual else None
        self.norm = nn.LayerNorm(dim) if norm else None

    def forward(self, pooled: Tensor) -> Tensor:
        """`[B, D_in] -> [B, dim]`."""
        output: Tensor = self.body(pooled)
        if self.shortcut is not None:
            output = output + self.shortcut(pooled)
        return output if self.norm is None else self.norm(output)


class Refine(Head):
    """A correction of a vector that is in the joint space already.

    The input's first `dim` numbers are that vector, the rest are features: `x[:dim] + MLP(x[dim:])`. The last layer
    starts at zero, so training starts from the given space and a small data set can only improve on it so far.

    Args:
        in_dim: width of the input, more than `dim`.
        dim: width of the joint space.
        hidden: width of the hidden layer; 0 takes `dim`.
        dropout: of the features and of the hidden layer.
    """

    def __init__(self, in_dim: int, dim: int, *, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        if in_dim <= dim:
            raise VlcliError("W130", "head.dim", f"a head of kind 'refine' needs more than {dim} inputs, not {in_dim}",
                             "use an encoder that gives features beside its vector")  # fmt: skip
        self.dim = dim
        self.spec = {"kind": "refine", "dim": dim, "hidden": hidden, "dropout": dropout}
        width = hidden or dim
        last = nn.Linear(width, dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        first = nn.Linear(in_dim - dim, width)
        self.body = nn.Sequential(nn.Dropout(dropout), first, nn.GELU(), nn.Dropout(dropout), last)

    def forward(self, pooled: Tensor) -> Tensor:
        """`[B, D_in] -> [B, dim]`."""
        corrected: Tensor = pooled[:, : self.dim] + self.body(pooled[:, self.dim :])
        return corrected


def build_head(spec: Mapping[str, Any], in_dim: int) -> Head:
    """The head that a spec describes, e.g. `{"kind": "mlp", "dim": 384, "hidden": 1024}`.

    `kind` is `identity`, `centre`, `linear`, `refine` or `mlp`; without it `linear` if `dim` is given, else `identity`.

    Raises:
        VlcliError: W130 when the kind or an option is unknown, of the wrong type or out of bounds.
    """
    options = dict(spec)
    kind = options.pop("kind", "linear" if "dim" in options else "identity")
    if not isinstance(kind, str) or kind not in KINDS:
        hint = did_you_mean(str(kind), list(KINDS)) or f"known: {', '.join(KINDS)}"
        raise VlcliError("W130", "head", f"'{kind}' is not a kind of head", hint)
    for key, value in options.items():
        expected = KINDS[kind].get(key)
        if expected is None:
            raise VlcliError("W130", f"head.{key}", f"a head of kind '{kind}' has no such option",
                             did_you_mean(key, list(KINDS[kind])))  # fmt: skip
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            raise VlcliError("W130", f"head.{key}", f"{value!r} has the wrong type")
    limits = {"dim": (1, MAX_WIDTH), "hidden": (0, MAX_WIDTH), "layers": (1, MAX_LAYERS), "dropout": (0.0, 0.99)}
    for key, (low, high) in limits.items():
        if key in options and not low <= options[key] <= high:
            raise VlcliError("W130", f"head.{key}", f"{options[key]} is not between {low} and {high}")
    if kind == "identity":
        if options.get("dim", in_dim) != in_dim:
            raise VlcliError("W130", "head.dim", f"an identity head keeps the encoder's width {in_dim}, "
                             f"not {options['dim']}", "use a linear head")  # fmt: skip
        return Identity(in_dim)
    if kind == "centre":
        return Centre(in_dim)
    if "dim" not in options:
        raise VlcliError("W130", "head.dim", f"a head of kind '{kind}' needs its output width")
    builders: dict[str, type[Linear] | type[MLP] | type[Refine]] = {"linear": Linear, "mlp": MLP, "refine": Refine}
    return builders[kind](in_dim, **options)
