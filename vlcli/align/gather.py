"""Embeddings of all processes, with gradients: the distributed half of every contrastive objective.

Convention, used by all objectives here: with W processes each one returns `L_r`, its own share scaled so that the loss
of the global batch is `mean_r L_r`. `backward` on every process then gives each local embedding the gradient of
`sum_r L_r`, and the averaging of `DistributedDataParallel` turns it into the gradient of the global loss.
Without an initialised process group every function here is the identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

Group = dist.ProcessGroup | None


def world_size(group: Group = None) -> int:
    """Number of processes; 1 without a process group."""
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def rank(group: Group = None) -> int:
    """This process's place in the group; 0 without a process group."""
    return dist.get_rank(group) if world_size(group) > 1 else 0


def batch_sizes(tensor: Tensor, group: Group = None) -> list[int]:
    """First-axis lengths of `tensor` on every process; they may differ (the last batch of an epoch)."""
    world = world_size(group)
    if world == 1:
        return [tensor.shape[0]]
    own = torch.tensor([tensor.shape[0]], device=tensor.device)
    sizes = [torch.empty_like(own) for _ in range(world)]
    dist.all_gather(sizes, own, group=group)
    return [int(size) for size in sizes]


def gather_constant(tensor: Tensor, group: Group = None) -> Tensor:
    """`[b, ...]` of every process joined to `[N, ...]` in rank order, without gradient (ids, queue features)."""
    if world_size(group) == 1:
        return tensor.detach()
    return torch.cat([chunk for _, (chunk,) in ring([tensor.detach()], group)])


def ring(tensors: Sequence[Tensor], group: Group = None) -> Iterator[tuple[int, list[Tensor]]]:
    """One process's tensors after another: yields `(offset, tensors)`, where `offset` counts the rows before.

    Only one foreign chunk is held at a time, so memory stays that of the local batch however many processes there
    are. The sent volume is that of one all-gather.
    """
    world = world_size(group)
    if world == 1:
        yield 0, list(tensors)
        return
    own = rank(group)
    offset = 0
    for source, size in enumerate(batch_sizes(tensors[0], group)):
        chunks = []
        for tensor in tensors:
            chunk = tensor.contiguous() if source == own else tensor.new_empty((size, *tensor.shape[1:]))
            dist.broadcast(chunk, group_src=source, group=group)
            chunks.append(chunk)
        yield offset, chunks
        offset += size


def reduce_to(tensor: Tensor, destination: int, group: Group = None) -> None:
    """Sum `tensor` over the processes into the one of rank `destination`, in place there."""
    if world_size(group) > 1:
        dist.reduce(tensor, group_dst=destination, group=group)


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group) -> Tensor:
        ctx.group = group
        ctx.sizes = batch_sizes(tensor, group)
        return gather_constant(tensor, group)

    @staticmethod
    @once_differentiable  # a second derivative would be wrong, so it is refused
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        own = rank(ctx.group)
        # Each process's rows collect what every process's loss sends back: a reduce-scatter, by pieces, because
        # gloo has none and the pieces may differ in length.
        pieces = [piece.contiguous() for piece in torch.split(gradients[0], ctx.sizes)]
        for destination, piece in enumerate(pieces):
            reduce_to(piece, destination, ctx.group)
        return pieces[own], None


class _AllReduce(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Group) -> Tensor:
        ctx.group = group
        total = tensor.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    @once_differentiable  # a second derivative would be wrong, so it is refused
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


def all_gather(tensor: Tensor, group: Group = None) -> Tensor:
    """`[b, ...]` of every process joined to `[N, ...]` in rank order; gradients flow back to every process.

    Differs from `torch.distributed.nn.functional.all_gather` in that the lengths may differ between processes.
    """
    if world_size(group) == 1:
        return tensor
    gathered: Tensor = _AllGather.apply(tensor, group)  # type: ignore[no-untyped-call]
    return gathered


def all_reduce_sum(tensor: Tensor, group: Group = None) -> Tensor:
    """The sum of a tensor over the processes; its gradient is summed over them too."""
    if world_size(group) == 1:
        return tensor
    total: Tensor = _AllReduce.apply(tensor, group)  # type: ignore[no-untyped-call]
    return total


def all_reduce_logsumexp(values: Tensor, group: Group = None) -> Tensor:
    """`log sum_r exp(values_r)` element by element over the processes, without gradient."""
    if world_size(group) == 1:
        return values
    top = values.clone()
    dist.all_reduce(top, op=dist.ReduceOp.MAX, group=group)
    finite_top = torch.where(top.isinf(), torch.zeros_like(top), top)
    total = (values - finite_top).exp()
    dist.all_reduce(total, group=group)
    return total.log() + finite_top
