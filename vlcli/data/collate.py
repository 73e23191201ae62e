"""The generic collate: equal shapes are stacked, different lengths are padded and masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlcli.errors import VlcliError

if TYPE_CHECKING:
    from torch import Tensor

MASK = "attention_mask"


def pad_and_stack(inputs: list[dict[str, Any]]) -> dict[str, Any]:
    """Collate preprocessed items.

    Args:
        inputs: one dict of tensors an item, with the same keys; a tensor is `[...]`, or `[T, ...]` with a length T of
            its own per item. Numbers and booleans become `[B]` tensors, anything else a list.

    Returns:
        `[B, ...]` or `[B, T_max, ...]` tensors, zero-padded at the end. Where an item was padded and no
        `attention_mask` is among the keys, one is added: `[B, T_max]` int64, 1 at real positions; a given mask is
        padded with 0.

    Raises:
        VlcliError: D120 for an empty list, keys that differ, or shapes that differ beyond the first axis.
    """
    import torch

    if not inputs:
        raise VlcliError("D120", "", "there is nothing to collate: the batch is empty")
    keys = list(inputs[0])
    if any(set(item) != set(keys) for item in inputs):
        raise VlcliError("D120", "", f"the items of a batch must have the same keys, {sorted(keys)} at the first")
    batch: dict[str, Any] = {}
    lengths: list[int] | None = None
    for key in keys:
        values = [item[key] for item in inputs]
        if all(isinstance(value, bool | int | float) for value in values):
            batch[key] = torch.tensor(values)
        elif not all(isinstance(value, torch.Tensor) for value in values):
            batch[key] = values
        elif len({tuple(value.shape) for value in values}) == 1:
            batch[key] = torch.stack(values)
        else:
            batch[key] = pad(values, key)
            lengths = [len(value) for value in values] if lengths is None else lengths
    if lengths is not None and MASK not in batch:
        positions = torch.arange(max(lengths))
        batch[MASK] = (positions[None, :] < torch.tensor(lengths)[:, None]).to(torch.int64)
    return batch


def pad(values: list[Tensor], key: str) -> Tensor:
    """Stack `[T_i, ...]` tensors to `[B, max T_i, ...]`, zeros at the end."""
    first = values[0]
    if any(value.ndim == 0 or value.shape[1:] != first.shape[1:] for value in values):
        shapes = ", ".join(str(tuple(value.shape)) for value in values[:4])
        raise VlcliError("D120", key, f"shapes differ beyond the first axis ({shapes})")
    padded = first.new_zeros((len(values), max(len(value) for value in values), *first.shape[1:]))
    for row, value in zip(padded, values, strict=True):
        row[: len(value)] = value
    return padded
