"""Reductions over all pairs of two batches, in memory linear in the batch: the arithmetic of contrastive losses.

With similarities `S = scale * x @ y.T` of shape `[N, M]`, a softmax loss needs `log sum_j exp S_ij` for every row (and
column), a sigmoid loss needs `sum_ij softplus(S_ij + bias)`. Both are computed tile by tile; backward computes the
tiles again instead of keeping them (the idea of memory-efficient attention: Rabe and Staats, "Self-attention does not
need O(n^2) memory", 2021; for contrastive losses: Cheng et al., "Breaking the memory barrier", 2024). Extra memory is
one tile, and the gradients of `x` and `y`. What remains of each loss is linear in `S`, hence in its targets' mean key
(`vlcli.align.soft_targets`), and costs `O(N D)`.

With several processes, `x` rows stay where they are and the `y` chunks go round (`vlcli.align.gather.ring`): every pair
is computed once, on one process, and no process holds the global batch.

All arithmetic is in float32 (float64 for float64 inputs), whatever the inputs' type and the autocast state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vlcli.align.gather import Group, all_reduce_logsumexp, batch_sizes, gather_constant, rank, reduce_to, ring

# Tiles that stay in the last-level cache of a CPU; a GPU wants larger ones to fill its units.
_CPU_TILE = (512, 2048)
_GPU_TILE = (4096, 8192)
# |S| up to this, exp(S) and sums over 10^8 entries of it fit float32 without subtracting a maximum first.
_SAFE_EXPONENT = 40.0
# Probabilities below exp(-60) count as exp(-60): denormal numbers would make the matrix products many times slower.
_FLOOR = -60.0


def _tiles(rows: int, columns: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    height, width = _GPU_TILE if device.type == "cuda" else _CPU_TILE
    for top in range(0, rows, height):
        for left in range(0, columns, width):
            yield slice(top, min(top + height, rows)), slice(left, min(left + width, columns))


def _working_type(*tensors: Tensor) -> torch.dtype:
    return torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32


def _is_small(x: Tensor, y: Tensor, scale: float) -> bool:
    """Whether every `|scale * x_i . y_j|` is certainly small enough for `exp` without a shift (Cauchy-Schwarz)."""
    if x.shape[0] == 0 or y.shape[0] == 0:
        return True
    longest = float(torch.linalg.vector_norm(x, dim=1).amax() * torch.linalg.vector_norm(y, dim=1).amax())
    return abs(scale) * longest <= _SAFE_EXPONENT


class _RunningLogSumExp:
    """Streaming `log sum exp` of many rows: a running maximum and a running sum in float64."""

    def __init__(self, size: int, like: Tensor) -> None:
        self.top = torch.full((size,), -math.inf, dtype=torch.float64, device=like.device)
        self.total = torch.zeros(size, dtype=torch.float64, device=like.device)

    def add_small(self, where: slice, exponentials: Tensor, dim: int) -> None:
        """Add entries given as `exp(S)`; a caller uses either this or `add` for one accumulator slice."""
        self._merge(where, torch.zeros((), dtype=torch.float64, device=self.top.device), exponentials.sum(dim))

    def add(self, where: slice, scores: Tensor, dim: int) -> None:
        top = scores.amax(dim)
        self._merge(where, top.double(), (scores - top.unsqueeze(dim)).exp_().sum(dim))

    def _merge(self, where: slice, top: Tensor, total: Tensor) -> None:
        new_top = torch.maximum(self.top[where], top)
        self.total[where] = self.total[where] * (self.top[where] - new_top).exp() + total * (top - new_top).exp()
        self.top[where] = new_top

    def value(self) -> Tensor:
        return self.top + self.total.log()


class _PairwiseLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, scale: Tensor, columns: bool, own_dots: bool, group: Group, distributed: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        dtype = _working_type(x, y)
        x32, y32, factor = x.detach().to(dtype), y.detach().to(dtype), float(scale)
        with torch.autocast(x.device.type, enabled=False):
            row = _RunningLogSumExp(x.shape[0], x)
            column_parts = []
            for _, (keys,) in ring([y32], group) if distributed else [(0, [y32])]:
                column = _RunningLogSumExp(keys.shape[0], x)
                small = _is_small(x32, keys, factor)
                for i, j in _tiles(x.shape[0], keys.shape[0], x.device):
                    scores = (x32[i] * factor) @ keys[j].T
                    if small:
                        scores.exp_()
                        row.add_small(i, scores, 1)
                        if columns:
                            column.add_small(j, scores, 0)
                    else:
                        row.add(i, scores, 1)
                        if columns:
                            column.add(j, scores, 0)
                column_parts.append(column.value())
            row_value = row.value()
            column_all = torch.cat(column_parts) if columns else x.new_empty(0, dtype=torch.float64)
            sizes = batch_sizes(y, group) if distributed else [y.shape[0]]
            if columns and distributed:
                column_all = all_reduce_logsumexp(column_all, group)
        ctx.save_for_backward(x, y, scale, row_value, column_all)
        ctx.columns, ctx.group, ctx.distributed, ctx.sizes = columns, group, distributed, sizes
        own = rank(group) if distributed else 0
        column_own = torch.split(column_all, sizes)[own] if columns else column_all
        ctx.own_dots = own_dots
        dots = _row_dots(x32, y32) if own_dots else x32.new_empty(0)
        return row_value.to(dtype), column_own.to(dtype), dots

    @staticmethod
    @once_differentiable  # a second derivative would be wrong, so it is refused
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y, scale, row_value, column_all = ctx.saved_tensors
        group, distributed = ctx.group, ctx.distributed
        dtype = _working_type(x, y)
        x32, y32, factor = x.to(dtype), y.to(dtype), float(scale)
        row_gradient = gradients[0].double()
        column_gradient = column_all
        if ctx.columns:
            own_gradient = gradients[1].double()
            column_gradient = gather_constant(own_gradient, group) if distributed else own_gradient
        x_gradient = torch.zeros_like(x32)
        y_gradient = torch.zeros_like(y32) if ctx.needs_input_grad[1] else None
        with torch.autocast(x.device.type, enabled=False):
            for source, (offset, (keys,)) in enumerate(ring([y32], group) if distributed else [(0, [y32])]):
                part = slice(offset, offset + keys.shape[0])
                weights = _SoftmaxWeights(
                    row_value, row_gradient,
                    column_all[part] if ctx.columns else None, column_gradient[part] if ctx.columns else None,
                    small=_is_small(x32, keys, factor), dtype=dtype,
                )  # fmt: skip
                own_chunk = not distributed or source == rank(group)
                key_gradient = y_gradient if own_chunk else torch.zeros_like(keys) if y_gradient is not None else None
                for i, j in _tiles(x.shape[0], keys.shape[0], x.device):
                    coefficient = weights.apply_(torch.mm(x32[i] * factor, keys[j].T), i, j)
                    x_gradient[i].addmm_(coefficient, keys[j])
                    if key_gradient is not None:
                        key_gradient[j].addmm_(coefficient.T, x32[i])
                if distributed and key_gradient is not None:
                    reduce_to(key_gradient, source, group)
        # x_gradient still lacks the factor, so that the scale's gradient is a dot product and needs no further tiles.
        scale_gradient = (x32 * x_gradient).sum(dtype=torch.float64).to(scale.dtype).reshape(scale.shape)
        x_gradient *= factor
        if y_gradient is not None:
            y_gradient *= factor
        if ctx.own_dots:
            dots_gradient = gradients[2].to(dtype).unsqueeze(1)
            x_gradient.addcmul_(y32, dots_gradient)
            if y_gradient is not None:
                y_gradient.addcmul_(x32, dots_gradient)
        y_gradient = None if y_gradient is None else y_gradient.to(y.dtype)
        return x_gradient.to(x.dtype), y_gradient, scale_gradient, None, None, None, None


def _row_dots(x: Tensor, y: Tensor) -> Tensor:
    """`x_i . y_i`, `[N]`, without a product of full size."""
    return torch.cat([(a * b).sum(1) for a, b in zip(torch.split(x, 1024), torch.split(y, 1024), strict=True)])


class _SoftmaxWeights:
    """Turns a tile of scores, in place, into `g_i * softmax_row + h_j * softmax_column`."""

    def __init__(
        self, row: Tensor, row_gradient: Tensor, column: Tensor | None, column_gradient: Tensor | None, *,
        small: bool, dtype: torch.dtype,
    ) -> None:  # fmt: skip
        self.small = small
        self.row_gradient = row_gradient.to(dtype)
        self.column_gradient = None if column_gradient is None else column_gradient.to(dtype)
        if small:
            self.row = (row_gradient * (-row).exp()).to(dtype)
            self.column = None if column is None or column_gradient is None else column_gradient * (-column).exp()
            self.column = None if self.column is None else self.column.to(dtype)
        else:
            self.row = row.to(dtype)
            self.column = None if column is None else column.to(dtype)

    def apply_(self, scores: Tensor, i: slice, j: slice) -> Tensor:
        row = self.row[i].unsqueeze(1)
        column = None if self.column is None else self.column[j]
        if self.small:
            return scores.exp_().mul_(row if column is None else row + column)
        by_column = None
        if column is not None and self.column_gradient is not None:
            by_column = (scores - column).clamp_min_(_FLOOR).exp_().mul_(self.column_gradient[j])
        by_row = scores.sub_(row).clamp_min_(_FLOOR).exp_().mul_(self.row_gradient[i].unsqueeze(1))
        return by_row if by_column is None else by_row.add_(by_column)


def pairwise_logsumexp(
    x: Tensor, y: Tensor, scale: Tensor, *, columns: bool = True, group: Group = None, distributed: bool = True
) -> tuple[Tensor, Tensor]:
    """Log-sum-exp of `S = scale * x @ y.T` along rows and columns, differentiable in `x`, `y` and `scale`.

    Args:
        x: `[N, D]`, this process's rows.
        y: `[M, D]`, this process's columns; the columns of all processes count when `distributed`.
        scale: a tensor of one element.
        columns: whether the column sums are wanted; without them half of the exponentials are saved.
        distributed: whether the columns of the other processes count; false for a queue, which all processes share.

    Returns:
        `[N]` over all columns, and `[M]` over the rows of all processes (empty without `columns`).
    """
    result = _PairwiseLogSumExp.apply(x, y, scale, columns, False, group, distributed)  # type: ignore[no-untyped-call]
    return result[0], result[1]


def pairwise_logsumexp_and_own(
    x: Tensor, y: Tensor, scale: Tensor, *, columns: bool = True, group: Group = None, distributed: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """`pairwise_logsumexp`, and the dot products of the pairs `x_i . y_i` `[N]` (for as many rows as columns).

    Taking both at once saves the gradients of the dot products, two more tensors of the batch's size.
    """
    result: tuple[Tensor, Tensor, Tensor] = _PairwiseLogSumExp.apply(  # type: ignore[no-untyped-call]
        x, y, scale, columns, True, group, distributed
    )
    return result


class _SoftmaxAverage(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, group: Group, distributed: bool
    ) -> tuple[Tensor, Tensor]:
        dtype = _working_type(query, key, value)
        q, k, v = (tensor.detach().to(dtype) for tensor in (query, key, value))
        top = torch.full((q.shape[0], 1), -math.inf, dtype=dtype, device=q.device)
        total = torch.zeros_like(top)
        average = torch.zeros(q.shape[0], v.shape[1], dtype=dtype, device=q.device)
        with torch.autocast(q.device.type, enabled=False):
            for _, (keys, values) in ring([k, v], group) if distributed else [(0, [k, v])]:
                for i, j in _tiles(q.shape[0], keys.shape[0], q.device):
                    scores = (q[i] * scale) @ keys[j].T
                    new_top = torch.maximum(top[i], scores.amax(1, keepdim=True))
                    scores.sub_(new_top).clamp_min_(_FLOOR).exp_()
                    shrink = (top[i] - new_top).exp()
                    total[i] = total[i] * shrink + scores.sum(1, keepdim=True)
                    average[i] = (average[i] * shrink).addmm_(scores, values[j])
                    top[i] = new_top
        average /= total
        log_total = (top + total.log()).squeeze(1)
        ctx.save_for_backward(q, k, log_total)
        ctx.scale, ctx.group, ctx.distributed, ctx.type = scale, group, distributed, value.dtype
        ctx.mark_non_differentiable(log_total)
        return average, log_total

    @staticmethod
    @once_differentiable  # a second derivative would be wrong, so it is refused
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        q, k, log_total = ctx.saved_tensors
        group, distributed = ctx.group, ctx.distributed
        gradient = gradients[0].to(q.dtype)
        own_result = None
        with torch.autocast(q.device.type, enabled=False):
            for source, (_, (keys,)) in enumerate(ring([k], group) if distributed else [(0, [k])]):
                result = torch.zeros(keys.shape[0], gradient.shape[1], dtype=q.dtype, device=q.device)
                for i, j in _tiles(q.shape[0], keys.shape[0], q.device):
                    scores = (q[i] * ctx.scale) @ keys[j].T
                    scores.sub_(log_total[i].unsqueeze(1)).clamp_min_(_FLOOR).exp_()
                    result[j].addmm_(scores.T, gradient[i])
                if distributed:
                    reduce_to(result, source, group)
                if not distributed or source == rank(group):
                    own_result = result
        assert own_result is not None
        return None, None, own_result.to(ctx.type), None, None, None


def softmax_average(
    query: Tensor, key: Tensor, value: Tensor, scale: float, *, group: Group = None, distributed: bool = True
) -> tuple[Tensor, Tensor]:
    """`softmax(scale * query @ key.T) @ value` without the matrix; the weights are constants (a teacher's).

    Args:
        query: `[N, D]`; key: `[M, D]`; value: `[M, V]`. Gradients flow to `value` only.

    Returns:
        The averages `[N, V]`, and the log-sum-exp `[N]` of the weights' scores.
    """
    result: tuple[Tensor, Tensor] = _SoftmaxAverage.apply(  # type: ignore[no-untyped-call]
        query, key, value, float(scale), group, distributed
    )
    return result


class _PairwiseSoftplus(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, scale: Tensor, bias: Tensor, own: bool, group: Group, distributed: bool
    ) -> Tensor:
        dtype = _working_type(x, y)
        x32, y32, factor, shift = x.detach().to(dtype), y.detach().to(dtype), float(scale), float(bias)
        total = torch.zeros((), dtype=torch.float64, device=x.device)
        bias_gradient = torch.zeros_like(total)
        wanted = any(ctx.needs_input_grad)
        # One reduction over all pairs: its gradient is known tile by tile, so forward computes it at once.
        x_gradient = torch.zeros_like(x32) if wanted else None
        y_gradient = None
        with torch.autocast(x.device.type, enabled=False):
            for source, (_, (keys,)) in enumerate(ring([y32], group) if distributed else [(0, [y32])]):
                key_gradient = torch.zeros_like(keys) if wanted else None
                for i, j in _tiles(x.shape[0], keys.shape[0], x.device):
                    scores = torch.mm(x32[i] * factor, keys[j].T).add_(shift)
                    # sum of softplus(u) = sum of -log sigmoid(-u); sigmoid(u) is its derivative
                    total += torch.nn.functional.softplus(scores).sum()
                    if x_gradient is None or key_gradient is None:
                        continue
                    coefficient = scores.clamp_min_(_FLOOR).sigmoid_()
                    bias_gradient += coefficient.sum()
                    x_gradient[i].addmm_(coefficient, keys[j])
                    key_gradient[j].addmm_(coefficient.T, x32[i])
                if key_gradient is not None and distributed:
                    reduce_to(key_gradient, source, group)
                if not distributed or source == rank(group):
                    y_gradient = key_gradient
        if own:
            total -= factor * _row_dots(x32, y32).double().sum() + shift * len(x)
        if x_gradient is not None and y_gradient is not None:
            if own:
                x_gradient -= y32
                y_gradient -= x32
                bias_gradient -= len(x)
            scale_gradient = (x32 * x_gradient).sum(dtype=torch.float64)
            ctx.save_for_backward(
                x_gradient.mul_(factor).to(x.dtype), y_gradient.mul_(factor).to(y.dtype),
                scale_gradient.to(scale.dtype).reshape(scale.shape),
                bias_gradient.to(bias.dtype).reshape(bias.shape),
            )  # fmt: skip
        return total.to(dtype)

    @staticmethod
    @once_differentiable  # a second derivative would be wrong, so it is refused
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        upstream = gradients[0]
        scaled = [gradient * upstream.to(gradient.dtype) for gradient in ctx.saved_tensors]
        return (*scaled, None, None, None)


def pairwise_softplus_sum(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    bias: Tensor,
    *,
    subtract_own: bool = False,
    group: Group = None,
    distributed: bool = True,
) -> Tensor:
    """`sum_ij softplus(scale * x_i . y_j + bias)` over this process's rows and every process's columns, a scalar.

    With `subtract_own` less `sum_i scale * x_i . y_i + bias`, which saves two gradients of the batch's size.

    Differentiable once in all four tensors. With several processes the upstream gradient must be the same on all of
    them (it is, for a loss that divides by the global batch), because forward exchanges the gradients of `y`.
    """
    total: Tensor = _PairwiseSoftplus.apply(  # type: ignore[no-untyped-call]
        x, y, scale, bias, subtract_own, group, distributed
    )
    return total


@torch.no_grad()
def pairwise_argmax(x: Tensor, y: Tensor, *, group: Group = None, distributed: bool = True) -> Tensor:
    """Global index `[N]` of the column with the largest `x_i . y_j`; the first one among equals."""
    dtype = _working_type(x, y)
    x32, y32 = x.to(dtype), y.to(dtype)
    best = torch.full((x.shape[0],), -math.inf, dtype=dtype, device=x.device)
    index = torch.zeros(x.shape[0], dtype=torch.long, device=x.device)
    with torch.autocast(x.device.type, enabled=False):
        for offset, (keys,) in ring([y32], group) if distributed else [(0, [y32])]:
            for i, j in _tiles(x.shape[0], keys.shape[0], x.device):
                value, place = (x32[i] @ keys[j].T).max(dim=1)
                better = value > best[i]
                best[i] = torch.where(better, value, best[i])
                index[i] = torch.where(better, place + j.start + offset, index[i])
    return index
