"""Words and character n-grams of texts as numbers, computed for a whole batch of bytes at once.

A polynomial hash modulo 2^64 with an odd base: from running sums of `byte * base^position` the hash of any stretch is a
difference, brought to a common position by a power of the base's inverse. Integers wrap, so the same text gives the
same numbers on every machine and at every place of every batch.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

BASE = 1_099_511_628_211  # odd, so it has an inverse modulo 2^64
SPACE = 32
# Mixing constants of splitmix64 as signed integers.
FIRST, SECOND = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15


def signed(value: int) -> int:
    """A number modulo 2^64 as torch's int64 holds it."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


@cache
def powers(length: int) -> tuple[Tensor, Tensor]:
    """Powers of the base and of its inverse, `[length]` each."""
    inverse = pow(BASE, -1, 1 << 64)
    up, down = [1], [1]
    for _ in range(length - 1):
        up.append(up[-1] * BASE % (1 << 64))
        down.append(down[-1] * inverse % (1 << 64))
    return torch.tensor([signed(value) for value in up]), torch.tensor([signed(value) for value in down])


def mix(values: Tensor, salt: int) -> Tensor:
    """Well-mixed non-negative numbers of 31 bits (splitmix64's finaliser)."""
    mixed = values + signed(salt * 0x9E3779B97F4A7C15)
    mixed = (mixed ^ ((mixed >> 30) & ((1 << 34) - 1))) * FIRST
    mixed = (mixed ^ ((mixed >> 27) & ((1 << 37) - 1))) * SECOND
    return (mixed ^ ((mixed >> 31) & ((1 << 33) - 1))) & ((1 << 31) - 1)


def feature_ids(text: Tensor, sizes: tuple[int, ...], buckets: int) -> tuple[Tensor, Tensor]:
    """Buckets of all features of a batch, text after text, and how many each text has.

    Args:
        text: bytes `[B, T]`, 0 behind the end; words are parted by whatever is no letter, digit or byte above 127.
        sizes: lengths of the n-grams.
        buckets: bucket 0 is left free for padding.

    Returns:
        ids `[N]` and counts `[B]` (int64). Features: n-grams of bytes, words, and pairs of neighbouring words.
    """
    batch, length = text.shape
    up, down = (part.to(text.device) for part in powers(1 << max(4, length.bit_length())))
    codes = text.long()
    sums = torch.nn.functional.pad(((codes + 1) * up[:length]).cumsum(1), (1, 0))
    real = codes > 0
    ids, held = [], []
    for size in sizes:
        if length >= size:
            ids.append(mix((sums[:, size:] - sums[:, :-size]) * down[: length - size + 1], size))
            held.append(real[:, size - 1 :])
    letter = ((codes >= 97) & (codes <= 122)) | ((codes >= 48) & (codes <= 57)) | (codes >= 128)
    padded = torch.nn.functional.pad(letter, (1, 1))
    rows, starts = torch.nonzero(padded[:, 1:-1] & ~padded[:, :-2], as_tuple=True)
    ends = torch.nonzero(padded[:, 1:-1] & ~padded[:, 2:], as_tuple=True)[1] + 1
    words = (sums[rows, ends] - sums[rows, starts]) * down[starts]
    same = rows[1:] == rows[:-1]
    pairs = (words[1:] * 3 + words[:-1])[same]
    grid = torch.arange(batch, device=text.device)[:, None]
    owner = torch.cat([*(grid.expand_as(mask)[mask] for mask in held), rows, rows[1:][same]])
    found = torch.cat([*(part[mask] for part, mask in zip(ids, held, strict=True)), mix(words, 101), mix(pairs, 102)])
    order = owner.argsort(stable=True)
    return found[order] % (buckets - 1) + 1, torch.bincount(owner, minlength=batch)
