"""GradCache: a loss over a batch that does not fit, with the gradient of the whole batch.

Gao et al., "Scaling deep contrastive learning batch size under memory limited setup", 2021:

1. encode the batch in micro-batches without a graph and keep the embeddings only;
2. compute the loss on all embeddings, and its gradient with respect to them;
3. encode each micro-batch again, with a graph and the *same* random numbers (dropout), and continue that gradient.

Memory is that of one micro-batch plus the embeddings; time is one more forward pass. Modules whose output for an item
depends on its batch (BatchNorm in training mode) see micro-batches, and update their statistics twice.

Differs from the authors' package in: any nested output; parameters that only the loss uses (a logit scale) join the
last backward pass, so that `DistributedDataParallel` synchronises every parameter exactly once; the random state
afterwards is that of a run without the second encoding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from vlcli.errors import VlcliError

Part = TypeVar("Part")


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


def rebuild(template: Any, tensors: Sequence[Tensor]) -> Any:
    """`template` with its tensors replaced by `tensors`, in the order of `flatten`."""
    remaining = iter(tensors)

    def fill(value: Any) -> Any:
        if isinstance(value, Tensor):
            return next(remaining)
        if isinstance(value, Mapping):
            return {key: fill(item) for key, item in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(fill, value))
        if isinstance(value, (list, tuple)):
            return type(value)(map(fill, value))
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{item.name: fill(getattr(value, item.name)) for item in fields(value)})
        return value

    return fill(template)


def split_inputs(inputs: Any, size: int) -> list[Any]:
    """Cut a nested batch (dicts of tensors, dataclasses …) into micro-batches of at most `size` along the first axis.

    Raises:
        VlcliError: T307 when its tensors differ in length, or there is none.
    """
    tensors = flatten(inputs)
    lengths = sorted({len(tensor) for tensor in tensors})
    if len(lengths) != 1:
        raise VlcliError(
            "T307", "micro_batch", f"the tensors of a batch must have one length along the first axis, got {lengths}",
            "make the modality's collate put the batch on the first axis of everything",
        )  # fmt: skip
    pieces = [torch.split(tensor, size) for tensor in tensors]
    return [rebuild(inputs, some) for some in zip(*pieces, strict=True)]


@dataclass
class RandomState:
    """The state of torch's random generators (and further ones), to draw the same numbers twice."""

    cpu: Tensor
    cuda: list[Tensor]
    others: list[Tensor]

    @classmethod
    def now(cls, generators: Sequence[torch.Generator] = ()) -> RandomState:
        """The present state; GPU generators count where there are GPUs."""
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return cls(torch.get_rng_state(), cuda, [generator.get_state() for generator in generators])

    def restore(self, generators: Sequence[torch.Generator] = ()) -> None:
        """Go back to this state."""
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
        for generator, state in zip(generators, self.others, strict=True):
            generator.set_state(state)


def gradcache_backward(
    encode: Callable[[Part], Any],
    loss: Callable[[Any], dict[str, Tensor]],
    micro_batches: Sequence[Part],
    *,
    sync_context: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
    backward: Callable[[Tensor], Any] = Tensor.backward,
    generators: Sequence[torch.Generator] = (),
) -> dict[str, Tensor]:
    """Add the whole batch's gradient to `.grad` of every parameter involved; does not step an optimizer.

    Args:
        encode: from a micro-batch to embeddings: nested dicts, tuples or dataclasses of tensors, items on the first
            axis. It is called twice for every micro-batch, in order, with the same random numbers.
        loss: from the embeddings of the whole batch to named terms; `total` is minimised, or their sum without it.
        micro_batches: the pieces of the batch, at least one.
        sync_context: a context in which gradients are *not* synchronised between processes
            (`lambda: accelerator.no_sync(model)`); all backward passes but the last run inside it.
        backward: how the loss is differentiated (`accelerator.backward`, which also scales it for fp16).
        generators: random generators that `encode` draws from, besides torch's own.

    Returns:
        The loss terms, detached.

    Raises:
        VlcliError: T301 without micro-batches, T307 when `encode` gives differently structured outputs, T309 when the
            loss depends on nothing.
    """
    if not micro_batches:
        raise VlcliError("T301", "objective", "the batch is empty", "check the data set's filters and split")
    states: list[RandomState] = []
    encoded: list[Any] = []
    with torch.no_grad():
        for part in micro_batches:
            states.append(RandomState.now(generators))
            encoded.append(encode(part))
    lengths = [[len(tensor) for tensor in flatten(output)] for output in encoded]
    leaves = [leaf.requires_grad_(leaf.is_floating_point()) for leaf in _join(encoded)]
    whole = rebuild(encoded[0], leaves)
    del encoded

    with torch.enable_grad(), sync_context():
        terms = loss(whole)
        own = _differentiate(terms, leaves, backward)
    after = RandomState.now(generators)

    gradients = [None if leaf.grad is None else leaf.grad for leaf in leaves]
    start = [0] * len(leaves)
    for index, part in enumerate(micro_batches):
        last = index + 1 == len(micro_batches)
        with contextlib.nullcontext() if last else sync_context(), torch.enable_grad():
            states[index].restore(generators)
            roots, seeds = [], []
            for place, tensor in enumerate(flatten(encode(part))):
                gradient = gradients[place]
                rows = slice(start[place], start[place] + lengths[index][place])
                start[place] = rows.stop
                if gradient is not None and tensor.requires_grad:
                    roots.append(tensor)
                    seeds.append(gradient[rows].to(tensor.dtype))
            if last:
                # A parameter of the loss alone was met in no encoding; here a distributed wrapper meets it too.
                roots += [parameter.view_as(parameter) for parameter, _ in own]
                seeds += [gradient for _, gradient in own]
            if roots:
                torch.autograd.backward(roots, seeds)
    after.restore(generators)
    return {name: term.detach() for name, term in terms.items()}


def _join(outputs: list[Any]) -> list[Tensor]:
    """The tensors of the micro-batches' outputs, each joined along the first axis; new tensors without graph."""
    flat = [flatten(output) for output in outputs]
    if len({len(tensors) for tensors in flat}) != 1:
        raise VlcliError(
            "T307", "micro_batch", "a tower gave outputs of different structure for different micro-batches",
            "return the same tensors (or None) for every batch",
        )  # fmt: skip
    # cat of one tensor may alias it, hence the detach
    return [torch.cat(tensors).detach() for tensors in zip(*flat, strict=True)]


def _differentiate(
    terms: dict[str, Tensor], leaves: list[Tensor], backward: Callable[[Tensor], Any]
) -> list[tuple[Tensor, Tensor]]:
    """Gradients of the loss: into `.grad` of the leaves; those of other parameters are taken out and returned."""
    total = terms["total"] if "total" in terms else torch.stack(list(terms.values())).sum()
    if not total.requires_grad:
        raise VlcliError(
            "T309", "objective", "the loss depends on no embedding and no parameter", "check what trains in this stage"
        )
    ours = {id(leaf) for leaf in leaves}
    parameters = [variable for variable in _leaf_variables(total) if id(variable) not in ours]
    before = [parameter.grad for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    backward(total)
    found = [parameter.grad for parameter in parameters]
    for parameter, gradient in zip(parameters, before, strict=True):
        parameter.grad = gradient
    return [
        (parameter, gradient) for parameter, gradient in zip(parameters, found, strict=True) if gradient is not None
    ]


def _leaf_variables(tensor: Tensor) -> list[Tensor]:
    """The leaves of a tensor's graph that take a gradient, in a fixed order."""
    seen: set[Any] = set()
    stack: list[Any] = [tensor.grad_fn]
    found: list[Tensor] = [] if tensor.grad_fn is not None else [tensor]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        stack.extend(next_node for next_node, _ in node.next_functions)
    return found
