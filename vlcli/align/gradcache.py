"""GradCache: a loss over a batch that does not fit, with the gradient of the whole batch.

Gao et al., "Scaling deep contrastive learning batch size under memory limited setup", 2021:

1. encode the batch in micro-batches without a graph and keep the embeddings only;
2. compute the loss on all embeddings, and its gradient with respect to them;
3. encode each micro-batch again, with a graph and the *same* random numbers (dropout), and continue that gradient.

Memory is that of one micro-batch plus the embeddings; time is one more forward pass. Modules whose output for an item
depends on its batch (BatchNorm in training mode) see micro-batches and update their statistics twice.

Differs from the authors' package in: any number of towers, any nested output, one last backward pass that carries
all towers and the objective's parameters (so `DistributedDataParallel` synchronises once), restored random state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vlcli.errors import VlcliError

Inputs = Mapping[str, Any]
"""A tower's collated batch: tensors with the batch on the first axis, or lists of that length."""


def batch_length(inputs: Inputs) -> int:
    """Number of items in a tower's batch.

    Raises:
        VlcliError: T307 when its tensors differ in length or there is none.
    """
    lengths = {key: len(value) for key, value in inputs.items() if isinstance(value, (Tensor, list, tuple))}
    if len(set(lengths.values())) != 1:
        raise VlcliError(
            "T307", "gradcache", f"the inputs of a tower must have one length along the first axis, got {lengths}",
            "make the modality's collate put the batch on the first axis of everything",
        )  # fmt: skip
    return next(iter(lengths.values()))


def slice_inputs(inputs: Inputs, start: int, stop: int) -> dict[str, Any]:
    """Items `start` to `stop` of a tower's batch."""
    return {
        key: value[start:stop] if isinstance(value, (Tensor, list, tuple)) else value for key, value in inputs.items()
    }


def flatten(value: Any) -> list[Tensor]:
    """The tensors in a nested output (dict, list, tuple, dataclass), in a fixed order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return [tensor for key in value for tensor in flatten(value[key])]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in flatten(item)]
    if is_dataclass(value) and not isinstance(value, type):
        return [tensor for item in fields(value) for tensor in flatten(getattr(value, item.name))]
    return []


def rebuild(template: Any, tensors: list[Tensor]) -> Any:
    """`template` with its tensors replaced by `tensors`, in the order of `flatten`."""
    remaining = iter(tensors)

    def fill(value: Any) -> Any:
        if isinstance(value, Tensor):
            return next(remaining)
        if isinstance(value, Mapping):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(*map(fill, value)) if hasattr(value, "_fields") else type(value)(map(fill, value))
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{item.name: fill(getattr(value, item.name)) for item in fields(value)})
        return value

    return fill(template)


@dataclass
class RandomState:
    """The state of torch's random generators, to draw the same numbers twice."""

    cpu: Tensor
    cuda: list[Tensor]

    @classmethod
    def now(cls) -> RandomState:
        """The present state; GPU generators count only once CUDA is in use."""
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [])

    def restore(self) -> None:
        """Go back to this state."""
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


@dataclass
class Cached:
    """What a step gives back: the loss and the embeddings, both without graph."""

    loss: Tensor
    outputs: dict[str, Any]


class GradCache:
    """Forward and backward of a large batch in micro-batches.

    Args:
        towers: by name, a function from a slice of that tower's batch to its output: a tensor, or a nested dict,
            tuple or dataclass (`vlcli.align.Encoded`) of tensors with the items on the first axis.
        loss: from `{tower: output of the whole batch}` to a scalar.
        parameters: trainable parameters that `loss` itself uses (logit scale, a head on top of the embeddings).
        micro_batch: items encoded at once.
        distributed: modules wrapped in `DistributedDataParallel`; they synchronise only in the last backward pass.
        scale_loss: applied to the loss before differentiation (`accelerator.scaler.scale` for fp16).
    """

    def __init__(
        self,
        towers: Mapping[str, Callable[[dict[str, Any]], Any]],
        loss: Callable[[dict[str, Any]], Tensor],
        parameters: Iterable[nn.Parameter] = (),
        *,
        micro_batch: int,
        distributed: Iterable[nn.Module] = (),
        scale_loss: Callable[[Tensor], Tensor] = lambda loss: loss,
    ) -> None:
        if micro_batch < 1:
            raise VlcliError("T308", "micro_batch", f"micro_batch must be at least 1, got {micro_batch}", "set it to 32")
        self.towers = dict(towers)
        self.loss = loss
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.micro_batch = micro_batch
        self.distributed = [module for module in distributed if hasattr(module, "no_sync")]
        self.scale_loss = scale_loss

    def step(self, batch: Mapping[str, Inputs]) -> Cached:
        """Add the whole batch's gradient to `.grad` of all parameters involved; does not step an optimizer.

        Args:
            batch: a collated batch for each tower; the towers' lengths may differ.

        Raises:
            VlcliError: T307 for a batch that cannot be cut, T309 when the loss does not depend on any tower.
        """
        pieces = [
            (name, start, start + self.micro_batch)
            for name in self.towers
            for start in range(0, batch_length(batch[name]), self.micro_batch)
        ]
        states: list[RandomState] = []
        parts: dict[str, list[Any]] = {name: [] for name in self.towers}
        with torch.no_grad():
            for name, start, stop in pieces:
                states.append(RandomState.now())
                parts[name].append(self.towers[name](slice_inputs(batch[name], start, stop)))
        outputs = {name: _join(some) for name, some in parts.items()}
        del parts
        loss, gradients, parameter_gradients, outputs = self._differentiate(outputs)
        after = RandomState.now()
        self._continue(batch, pieces, states, gradients, parameter_gradients)
        after.restore()
        return Cached(loss.detach(), outputs)

    def _differentiate(
        self, outputs: dict[str, Any]
    ) -> tuple[Tensor, dict[str, list[Tensor | None]], list[Tensor | None], dict[str, Any]]:
        leaves: dict[str, list[Tensor]] = {}
        for name, output in outputs.items():
            leaves[name] = [
                tensor.detach().requires_grad_(tensor.is_floating_point()) for tensor in flatten(output)
            ]
        with torch.enable_grad():
            loss = self.loss({name: rebuild(outputs[name], leaves[name]) for name in outputs})
        wanted = [leaf for some in leaves.values() for leaf in some if leaf.requires_grad]
        if not loss.requires_grad:
            raise VlcliError(
                "T309", "gradcache", "the loss does not depend on any tower's output", "check the objective's inputs"
            )
        found = list(torch.autograd.grad(self.scale_loss(loss), wanted + self.parameters, allow_unused=True))
        of_leaves = iter(found[: len(wanted)])
        gradients = {
            name: [next(of_leaves) if leaf.requires_grad else None for leaf in some] for name, some in leaves.items()
        }
        detached = {name: rebuild(outputs[name], [leaf.detach() for leaf in leaves[name]]) for name in outputs}
        return loss, gradients, found[len(wanted) :], detached

    def _continue(
        self,
        batch: Mapping[str, Inputs],
        pieces: list[tuple[str, int, int]],
        states: list[RandomState],
        gradients: dict[str, list[Tensor | None]],
        parameter_gradients: list[Tensor | None],
    ) -> None:
        # The last piece of each tower waits for one common backward pass: DistributedDataParallel then meets every
        # parameter once, with all that the earlier pieces have added to it.
        last = {name: index for index, (name, _, _) in enumerate(pieces)}
        order = [index for index in range(len(pieces)) if index not in last.values()]
        with contextlib.ExitStack() as quiet:
            for module in self.distributed:
                quiet.enter_context(module.no_sync())  # type: ignore[operator]
            for index in order:
                torch.autograd.backward(*self._encode_again(batch, pieces[index], states[index], gradients))
        roots: list[Tensor] = []
        seeds: list[Tensor] = []
        for index in last.values():
            more_roots, more_seeds = self._encode_again(batch, pieces[index], states[index], gradients)
            roots += more_roots
            seeds += more_seeds
        for parameter, gradient in zip(self.parameters, parameter_gradients, strict=True):
            if gradient is not None:
                roots.append(parameter.view_as(parameter))
                seeds.append(gradient)
        if roots:
            torch.autograd.backward(roots, seeds)

    def _encode_again(
        self,
        batch: Mapping[str, Inputs],
        piece: tuple[str, int, int],
        state: RandomState,
        gradients: dict[str, list[Tensor | None]],
    ) -> tuple[list[Tensor], list[Tensor]]:
        name, start, stop = piece
        if all(gradient is None for gradient in gradients[name]):
            return [], []
        state.restore()
        with torch.enable_grad():
            tensors = flatten(self.towers[name](slice_inputs(batch[name], start, stop)))
        pairs = [
            (tensor, gradient[start:stop])
            for tensor, gradient in zip(tensors, gradients[name], strict=True)
            if gradient is not None and tensor.requires_grad
        ]
        return [tensor for tensor, _ in pairs], [gradient.to(tensor.dtype) for tensor, gradient in pairs]


def _join(outputs: list[Any]) -> Any:
    flat = [flatten(output) for output in outputs]
    lengths = {len(some) for some in flat}
    if len(lengths) != 1:
        raise VlcliError(
            "T307", "gradcache", "a tower gave outputs of different structure for different micro-batches",
            "return the same tensors (or None) for every batch",
        )  # fmt: skip
    return rebuild(outputs[0], [torch.cat(some) for some in zip(*flat, strict=True)])
